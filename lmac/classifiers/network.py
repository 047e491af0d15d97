"""Any network that maps its input to logits, as a classifier of this project."""

import torch

from lmac.classifiers.base import EmbeddingModel
from lmac.classifiers.layers import LayerTap
from lmac.io.weights import load_weights


class Network(EmbeddingModel):
    """A whole classifier, with representations from its named layers.

    Its answer is the logits, in the place of an embedding; the head in the YAML is
    ``torch.nn.Identity``.

    Arguments
    ---------
    network : nn.Module
        Waveform [B, L] (or what ``reads`` says) to logits [B, K].
    reads : str
        ``"waveform"``; or ``"mel"`` or ``"stft"``, [B, T, F] of the front end in the YAML.
    sample_rate : int, optional
        Hz, of waveforms; that of the front end when not given.
    input_length : int, optional
        Samples, for a network that takes one length only.
    layers : list of str or dict of str to str
        Layers whose outputs the decoder and GradCAM read, finest first, and their axes
        (:class:`lmac.classifiers.layers.LayerTap`). None: no representations.
    weights : path, optional
        State dict of ``network``. Without one, ``classifier_checkpoint`` has the weights, as
        train_classifier.py writes them.
    complete : bool
        The network came with its weights: nothing is loaded.
    labels : list of str, optional
        Class names in the order of the logits; otherwise those of the data set or of
        ``label_encoder.txt`` in ``classifier_checkpoint``.
    frequency_axis : str, optional
        What F counts in those layers, ``"mel"`` or ``"linear"``: of a network that reads waveforms
        and computes a spectrogram inside, from 0 Hz to half its sample rate. GradCAM needs it;
        decoders do not.
    outputs, threshold
        As of EmbeddingModel.
    """

    def __init__(
        self, network, reads="waveform", sample_rate=None, input_length=None, layers=(),
        weights=None, complete=False, labels=None, frequency_axis=None, outputs="softmax",
        threshold=0.5,
    ):  # fmt: skip
        super().__init__()
        self.network = network
        self.reads = reads
        self.sample_rate = sample_rate
        self.input_length = input_length
        self.tap = LayerTap(network, layers)
        self.labels = list(labels) if labels else None
        self.frequency_axis = frequency_axis
        if outputs not in ("softmax", "sigmoid") or not 0 < threshold < 1:
            raise ValueError(
                f"outputs is {outputs!r} and threshold {threshold!r}: expected softmax or sigmoid, "
                "and a probability."
            )
        self.outputs, self.threshold = outputs, threshold
        self.complete = complete or weights is not None
        if weights is not None:
            if any(parameter.numel() == 0 for parameter in network.parameters()):
                raise ValueError(
                    "The network was built for no classes, and no label_encoder.txt says how many "
                    "there are: add --out_n_neurons=…, and their names (labels: […]) to "
                    "embedding_model in the YAML."
                )
            load_weights(network, weights, "network")

    def forward(self, x):
        """Input to (logits [B, 1, K], representations [B, C, T', F'], finest first)."""
        logits, representations = self.tap(self.network, x)
        if not isinstance(logits, torch.Tensor) or logits.dim() != 2:
            shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits)
            raise ValueError(
                f"The network must answer with logits [batch, classes], not {shape}: wrap it in a "
                "module whose forward returns them."
            )
        return logits.unsqueeze(1), representations
