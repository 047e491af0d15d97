"""aisfx: a CNN trained on sound-effect libraries (Ma and Lerch, ISMIR 2022), weights CC BY 4.0.

The package ``aisfx`` brings the weights; its pinned dependencies are old and not needed::

    pip install --no-deps aisfx==0.1.2
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import torch
import torchaudio
from torch import nn

from lmac.classifiers.base import EmbeddingModel
from lmac.core.fast import conv_norm_relu
from lmac.core.front_end import FrontEnd

INSTALL = "pip install --no-deps aisfx==0.1.2"
# Largest value of the features over its training data, by which they are divided.
SCALE = 9.457798957824707
WIDTH = 64  # of the published weights


class AisfxFrontEnd(FrontEnd):
    """STFT and log-mel that aisfx was trained on.

    44.1 kHz, periodic Hann window of 2048 samples, hop 1024, power in 96 HTK mel bands whose
    filters sum to 1, ``log10(1 + 10000 mel) / 9.4578``.

    Arguments
    ---------
    sample_rate, n_fft, n_mels : int
        Other values than these make features that aisfx does not know; smaller ones are for tests.
    """

    def __init__(self, sample_rate=44100, n_fft=2048, n_mels=96):
        milliseconds = 1000 / sample_rate
        super().__init__(
            sample_rate, n_fft, n_fft * milliseconds, n_fft // 2 * milliseconds, n_mels,
            window=torch.hann_window(n_fft),
            mel_matrix=_mel_matrix(sample_rate, n_fft, n_mels),
        )  # fmt: skip

    def mel(self, magnitude):
        """Magnitude [..., n_bins] to the power in mel bands [..., n_mels]."""
        return super().mel(magnitude.square())

    def log_mel(self, magnitude):
        """Magnitude [..., n_bins] to the features [..., n_mels] that aisfx reads."""
        return torch.log1p(10000 * self.mel(magnitude)) / (math.log(10) * SCALE)


def _mel_matrix(sample_rate, n_fft, n_mels):
    """HTK mel filters [n_bins, n_mels], each of which sums to 1 (librosa's ``norm=1.0``)."""
    filters = torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1, 0.0, sample_rate / 2, n_mels, sample_rate, norm=None, mel_scale="htk"
    )
    return filters / filters.sum(0).clamp_min(1e-10)


class AisfxBlock(nn.Module):
    """Two 3x3 convolutions, each with batch norm and ReLU, then max pooling."""

    def __init__(self, n_in, n_out, pool):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.relu1 = nn.ReLU()
        self.relu2 = nn.ReLU()
        self.pool = nn.MaxPool2d(pool) if pool > 1 else nn.Identity()

    def forward(self, x):
        x = conv_norm_relu(x, self.conv1, self.bn1, self.relu1)
        return self.pool(conv_norm_relu(x, self.conv2, self.bn2, self.relu2))


class Aisfx(EmbeddingModel):
    """Embedding model with the parameter names of ``aisfx.models.cnn2d.EmbeddingNet``.

    Arguments
    ---------
    width : int
        Channels of the first block, doubled in each of the next three; 64 is aisfx.
    """

    reads = "mel"
    min_frames = 8  # survive three poolings

    def __init__(self, width=WIDTH):
        super().__init__()
        self.width = width
        self.emb_dim = 8 * width
        channels = [1] + [width * 2**i for i in range(4)]
        for i in range(4):
            block = AisfxBlock(channels[i], channels[i + 1], pool=1 if i == 3 else 2)
            self.add_module(f"conv_block{i + 1}", block)

    def forward(self, features):
        """Features [B, T, 96] to (embedding [B, 1, 8 width], four block outputs)."""
        if features.shape[1] < self.min_frames:
            raise ValueError(
                f"aisfx needs at least {self.min_frames} frames, got {features.shape[1]}: use "
                "longer clips."
            )
        x, representations = features.unsqueeze(1), []
        for i in range(1, 5):
            x = getattr(self, f"conv_block{i}")(x)
            representations.append(x)
        return x.mean(3).amax(2).unsqueeze(1), representations

    def load_pretrained(self):
        """Load the weights of the installed package; ValueError with the command without it.

        False for another width than that of the weights.
        """
        if self.width != WIDTH:
            return False
        self.load_state_dict(pretrained_weights(checkpoint_path()))
        return True


def checkpoint_path():
    """The checkpoint inside the installed package, which is not imported."""
    found = importlib.util.find_spec("aisfx")
    if found is None or not found.submodule_search_locations:
        raise ValueError(f"The weights of aisfx are in a package of its own: {INSTALL}")
    path = Path(found.submodule_search_locations[0]) / "models" / "checkpoint.pth"
    if not path.is_file():
        raise ValueError(f"The package aisfx has no {path}; install it again: {INSTALL}")
    return path


def pretrained_weights(path):
    """State dict of the embedding model from aisfx's checkpoint.

    No code is run: beside tensors only NumPy's integer scalars are let through, which the
    checkpoint has in a table of its training sets.
    """
    scalar = np._core.multiarray.scalar
    # The older name is the one that NumPy had when the checkpoint was written.
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    allowed = [*((scalar, name) for name in names), np.dtype, np.dtypes.Int64DType]
    try:
        with torch.serialization.safe_globals(allowed):
            weights, _ = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not the checkpoint of aisfx: {INSTALL}") from error
    prefix = "embedding_net."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
