"""PIQ, Posthoc Interpretation via Quantization (Paissan, Subakan and Ravanelli, 2023).

A map of the classifier is replaced, cell by cell, by the nearest codes of the explained class, and
a decoder makes the mask of these. Quantisation and decoder are SpeechBrain's;
``lmac.training.piq`` trains both.
"""

import hashlib

import torch
from speechbrain.lobes.models.PIQ import VectorQuantizedPSI_Audio
from torch import nn

from interpreters.base import Interpreter
from lmac.checkpoints import (
    explained_facts,
    require_same_training,
    training_info,
    weights_file,
)
from lmac.io.weights import load_weights, read_weights

PIQ_FILE = "piq.ckpt"


class PIQNetwork(nn.Module):
    """One representation of the classifier to mask logits, through the codes of a class.

    A convolution of size 1 takes its channels to ``hidden``. SpeechBrain's published network reads
    a map 16 times as coarse as the spectrogram and halves it again; classifiers here are as coarse
    as that already, so it is quantised as it is. What the decoder gives, 16 times as fine, is
    interpolated to X.

    Arguments
    ---------
    explained : ExplainedClassifier
        Whose representation is read.
    hidden : int
        Channels, 256 published.
    codes : int
        Of the codebook, 1024 published, in equal shares for the classes. ValueError where there
        are fewer than classes.
    layer : int
        Index of the representation, finest 0, coarsest -1.
    """

    def __init__(self, explained, hidden=128, codes=1024, layer=-1):
        super().__init__()
        channels, n_classes = explained.output_sizes()
        if not -len(channels) <= layer < len(channels):
            raise ValueError(
                f"piq_layer is {layer}: this classifier gives {len(channels)} representations."
            )
        if codes < n_classes:
            raise ValueError(
                f"piq_codes is {codes}: expected at least one for each of {n_classes} classes."
            )
        self.register_buffer("layer", torch.tensor(layer))
        self.project = nn.Conv2d(channels[layer], hidden, 1)
        self.psi = VectorQuantizedPSI_Audio(
            hidden, codes, numclasses=n_classes, adapter_reduce_dim=False
        )

    def forward(self, representations, target, domain, n_frames):
        """Representations and classes [B] to (mask logits [B, T, F], map, its codes).

        The latter two [B, ``hidden``, T', F'], before and after quantisation.
        """
        maps = self.project(representations[int(self.layer)])
        logits, maps, codes = self.psi(maps, target)
        return domain.upsample(logits.squeeze(1), n_frames), maps, codes


class PIQ(Interpreter):
    """Mask of a trained PIQ network. Any class can be asked for: each has codes of its own.

    Arguments
    ---------
    explained : ExplainedClassifier
    checkpoint : path
        Folder with ``piq.ckpt``, or the file itself. ValueError when it is none of PIQ, or was
        trained for another classifier, domain or signal path.
    """

    takes_answer = True

    def __init__(self, explained, checkpoint):
        path = weights_file(checkpoint, PIQ_FILE, "piq_checkpoint", "python -m lmac piq")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        super().__init__(explained, weights=digest)
        self.key, self.training = "piq_checkpoint", training_info(path)
        self.network = load_network(path, explained)

    @torch.no_grad()
    def explain(self, X, target, phase=None, *, answer=None):
        _, representations = answer or self.explained(X, phase)
        domain = self.explained.domain
        return self.network(representations, target, domain, X.shape[1])[0].sigmoid()


def load_network(path, explained):
    """The trained network at ``path``, in eval mode; ValueError when it is not of ``explained``."""
    state = read_weights(path, "PIQ network")
    codebook = state.get("psi.codebook.embedding.weight")
    if codebook is None or "layer" not in state:
        raise ValueError(
            f"piq_checkpoint: {path} is no checkpoint of PIQ; give the folder <output_folder>/best "
            "of python -m lmac piq."
        )
    network = PIQNetwork(explained, codebook.shape[1], len(codebook), int(state["layer"]))
    load_weights(network, path, "PIQ network")
    require_same_training(path, "piq_checkpoint", explained_facts(explained))
    return network.to(next(explained.buffers()).device).eval()
