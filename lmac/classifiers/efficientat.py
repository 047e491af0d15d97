"""EfficientAT: MobileNetV3 trained on AudioSet (Schmid, Koutini and Widmer, ICASSP 2023).

The network is torchvision's MobileNetV3-Large with one input channel and a sigmoid in the place of
the hard sigmoid in its squeeze-excitation. The weights (MIT) are files of EfficientAT's release::

    curl -LO https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/mn04_as_mAP_432.pt
"""

import csv
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torchaudio.compliance.kaldi import get_mel_banks
from torchvision.models.mobilenetv3 import InvertedResidual, mobilenet_v3_large
from torchvision.ops import SqueezeExcitation

from lmac.classifiers.base import EmbeddingModel
from lmac.core.front_end import FrontEnd
from lmac.io.weights import read_weights

RELEASE = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/mn04_as_mAP_432.pt"
SHA256 = "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"
WIDTH = 4  # of these
PREEMPHASIS = 0.97
# Outputs of the network's stages, each half as fine in time and frequency as the one before.
STAGES = (1, 3, 6, 12, 16)


class EfficientATFrontEnd(FrontEnd):
    """STFT and log-mel that EfficientAT was trained on.

    32 kHz, symmetric Hann window of 25 ms, hop 10 ms, FFT of 1024 samples, power in 128 bands on
    Kaldi's mel scale from 0 to 15 kHz, ``(ln(mel + 1e-5) + 4.5) / 5``. The pre-emphasis
    ``x[n] - 0.97 x[n - 1]`` is its gain at each frequency, a part of the mel filters: the STFT that
    is masked and made sound again is that of the recording itself.

    Arguments
    ---------
    sample_rate, n_fft, n_mels : int
        Other values than these make features that EfficientAT does not know; smaller ones are for
        tests.
    """

    def __init__(self, sample_rate=32000, n_fft=1024, n_mels=128):
        top = sample_rate / 2 - 1000
        super().__init__(
            sample_rate, n_fft, 25.0, 10.0, n_mels,
            window=torch.hann_window(round(0.025 * sample_rate), periodic=False),
            mel_matrix=_mel_matrix(sample_rate, n_fft, n_mels, top),
        )  # fmt: skip
        self.mel_top = top

    def mel(self, magnitude):
        """Magnitude [..., n_bins] to the power in mel bands [..., n_mels], pre-emphasised."""
        return super().mel(magnitude.square())

    def log_mel(self, magnitude):
        """Magnitude [..., n_bins] to the features [..., n_mels] that EfficientAT reads."""
        return ((self.mel(magnitude) + 1e-5).log() + 4.5) / 5


def _mel_matrix(sample_rate, n_fft, n_mels, top):
    """Kaldi's mel filters times the power gain of the pre-emphasis, [n_bins, n_mels]."""
    filters, _ = get_mel_banks(n_mels, n_fft, float(sample_rate), 0.0, top, 100.0, -500.0, 1.0)
    filters = nn.functional.pad(filters, (0, 1)).t()  # Kaldi leaves the Nyquist bin out
    omega = torch.linspace(0, torch.pi, len(filters), dtype=torch.float64)
    gain = 1 - 2 * PREEMPHASIS * omega.cos() + PREEMPHASIS**2  # |1 - 0.97 exp(-i omega)|^2
    return filters * gain[:, None].to(filters.dtype)


class EfficientAT(EmbeddingModel):
    """EfficientAT's network, as an embedding model or as the AudioSet tagger that it is.

    Its representations are the outputs of its five stages, the last convolution's included.

    Arguments
    ---------
    width : int
        Channels in tenths of those of MobileNetV3-Large, as in the names of the weights: 4 is
        ``mn04``.
    weights : path, optional
        The published state dict of that width, to start a training from (``load_pretrained``);
        the tagger needs it.
    labels : path, optional
        AudioSet's ``class_labels_indices.csv``. With it the network keeps its last layer and is
        complete: it answers with 527 logits, each of a sigmoid of its own, in the place of an
        embedding [B, 1, ``emb_dim``], and the head in the YAML is ``torch.nn.Identity``.

    Raises ValueError for a file that does not fit, and without one where it is needed.
    """

    reads = "mel"

    def __init__(self, width=WIDTH, weights=None, labels=None):
        super().__init__()
        self.width = width
        self.weights = weights
        self.labels = None if labels is None else read_label_names(labels)
        squeeze_excitation = partial(SqueezeExcitation, scale_activation=nn.Sigmoid)
        network = mobilenet_v3_large(
            width_mult=width / 10,
            num_classes=len(self.labels or "") or 1,
            block=partial(InvertedResidual, se_layer=squeeze_excitation),
        )
        first = network.features[0][0]
        network.features[0][0] = nn.Conv2d(1, first.out_channels, 3, 2, 1, bias=False)
        for module in network.modules():
            if hasattr(module, "inplace"):
                module.inplace = False  # nobody's map is written over
        self.features = network.features
        self.classifier = network.classifier
        self.emb_dim = self.classifier[-1].in_features
        if self.labels is None:
            self.classifier[-1] = nn.Identity()
        else:
            self.complete, self.outputs = self.load_pretrained(), "sigmoid"

    def forward(self, features):
        """Features [B, T, 128] to (embedding [B, 1, D] or logits [B, 1, 527], five maps)."""
        x, representations = features.unsqueeze(1), []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in STAGES:
                representations.append(x)
        return self.classifier(x.mean((2, 3))).unsqueeze(1), representations

    def load_pretrained(self):
        """Load the published weights; ValueError where they are not given or do not fit.

        False without weights at a width other than mn04's: such a network begins from nothing.
        """
        if self.weights is None and self.labels is None and self.width != WIDTH:
            return False
        if self.weights is None:
            raise ValueError(
                f"EfficientAT's weights are not given: download {RELEASE} (4 MB, sha256 "
                f"{SHA256}) and add --classifier_weights=…/mn04_as_mAP_432.pt."
            )
        state = as_ours(read_weights(self.weights, "EfficientAT"))
        if self.labels is None:
            state = {k: v for k, v in state.items() if not k.startswith("classifier.3.")}
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            first = " ".join(str(error).split("\n\t")[1:2])
            raise ValueError(
                f"{self.weights} is not the state dict of EfficientAT's network "
                f"mn{self.width:02d}_as: {first}"
            ) from error
        return True


def as_ours(state):
    """EfficientAT's state dict under torchvision's names, for maps [B, C, T, F].

    Theirs are [B, C, F, T], so kernels are transposed; their squeeze-excitation has linear layers
    where torchvision has convolutions of size 1, and their head counts pooling and flattening.
    """
    ours = {}
    for name, value in state.items():
        name = name.replace("classifier.2.", "classifier.0.").replace(
            "classifier.5.", "classifier.3."
        )
        if ".conc_se_layers.0." in name:
            name = name.replace(".conc_se_layers.0.", ".")
            value = value[..., None, None] if name.endswith("weight") else value
        ours[name] = value.transpose(2, 3) if value.dim() == 4 else value
    return ours


def read_label_names(path):
    """AudioSet's names in the order of the logits, of its ``class_labels_indices.csv``.

    Raises FileNotFoundError or ValueError, in one sentence.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"labels: there is no {path}, expected AudioSet's class_labels_indices.csv."
        )
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(int(row["index"]), row["display_name"]) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} is not AudioSet's class_labels_indices.csv: expected the columns index, mid "
            "and display_name."
        ) from error
    if [index for index, _ in rows] != list(range(len(rows))) or not rows:
        raise ValueError(f"{path} must number its labels 0, 1, 2 …, in this order.")
    return [name for _, name in rows]
