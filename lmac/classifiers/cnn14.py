"""CNN14 (Kong et al., PANNs, 2020) with a width option.

Parameter names are those of ``speechbrain.lobes.models.Cnn14.Cnn14``, so that published
SpeechBrain checkpoints load unchanged at the standard width. Unlike there, every ReLU is a
module that is used once: hook-based methods (guided backpropagation) would silently see no
ReLU in functional calls, and compute plain gradients.
"""

from torch import nn

from lmac.classifiers.base import EmbeddingModel
from lmac.core.fast import conv_norm_relu

_NORMS = {
    "bn": nn.BatchNorm2d,
    "in": lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True),
    "ln": lambda n: nn.GroupNorm(1, n),
}


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each with norm and ReLU, then average pooling.

    [B, in_channels, T, F] to [B, out_channels, T // pool, F // pool].
    """

    def __init__(self, in_channels, out_channels, norm_type="bn", pool=2):
        super().__init__()
        norm = _NORMS[norm_type]
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm1 = norm(out_channels)
        self.norm2 = norm(out_channels)
        self.relu1 = nn.ReLU()
        self.relu2 = nn.ReLU()
        self.pool = nn.AvgPool2d(pool) if pool > 1 else nn.Identity()
        nn.init.xavier_uniform_(self.conv1.weight)
        nn.init.xavier_uniform_(self.conv2.weight)

    def forward(self, x):
        x = conv_norm_relu(x, self.conv1, self.norm1, self.relu1)
        x = conv_norm_relu(x, self.conv2, self.norm2, self.relu2)
        return self.pool(x)


class Cnn14(EmbeddingModel):
    """CNN14 embedding model.

    Arguments
    ---------
    mel_bins : int
        Number of mel bands of the input.
    width : int
        Channels of the first block, doubled in each of the next four; 64 is CNN14.
    emb_dim : int, optional
        Channels of the last block; 32 * width (2048 for CNN14) when not given.
    norm_type : str
        ``"bn"``, ``"in"`` or ``"ln"``.
    dropout : float
        Between blocks, in training.
    """

    reads = "mel"
    min_frames = 32  # survive five poolings

    def __init__(self, mel_bins=80, width=64, emb_dim=None, norm_type="bn", dropout=0.2):
        super().__init__()
        if norm_type not in _NORMS:
            raise ValueError(f"norm_type {norm_type!r}: expected one of {', '.join(_NORMS)}.")
        if mel_bins < self.min_frames:
            raise ValueError(
                f"n_mels is {mel_bins}: CNN14 halves the bands five times, expected at least "
                f"{self.min_frames}."
            )
        channels = [1] + [width * 2**i for i in range(5)] + [emb_dim or width * 32]
        self.emb_dim = channels[-1]
        self.norm0 = _NORMS[norm_type](mel_bins)
        for i in range(6):
            block = ConvBlock(channels[i], channels[i + 1], norm_type, pool=1 if i == 5 else 2)
            self.add_module(f"conv_block{i + 1}", block)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features):
        """Log-mel [B, T, mel_bins] to (embedding [B, 1, emb_dim], six block outputs).

        Raises ValueError for a clip too short to survive five poolings.
        """
        if features.shape[1] < self.min_frames:
            raise ValueError(
                f"CNN14 needs at least {self.min_frames} frames, got {features.shape[1]}: "
                "use longer clips."
            )
        # norm0 normalises mel bands, so they sit in the channel dimension for a moment.
        x = self.norm0(features.unsqueeze(1).transpose(1, 3)).transpose(1, 3)
        representations = []
        for i in range(1, 7):
            block = getattr(self, f"conv_block{i}")(x)
            representations.append(block)
            x = self.dropout(block)
        x = x.mean(3)
        embedding = x.amax(2) + x.mean(2)
        return embedding.unsqueeze(1), representations
