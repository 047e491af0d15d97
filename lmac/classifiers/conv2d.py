"""Conv2d classifier of the published recipe (SpeechBrain's ``PIQ.Conv2dEncoder_v2``).

Reads log1p(|STFT|), no mel. Parameter names are SpeechBrain's, so published checkpoints load
unchanged; every ReLU is a module of its own, for hook-based methods.
"""

from torch import nn

from lmac.classifiers.base import EmbeddingModel
from lmac.core.fast import conv_norm_relu


class ResBlock(nn.Module):
    """Residual block: [B, dim, T, F] to the same shape."""

    def __init__(self, dim):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1),
            nn.BatchNorm2d(dim),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 1),
            nn.BatchNorm2d(dim),
        )

    def forward(self, x):
        h = conv_norm_relu(x, *self.block[:3])
        return x + conv_norm_relu(h, *self.block[3:])


class Conv2dEncoder(EmbeddingModel):
    """Four strided convolutions and a residual block; the embedding is the global mean.

    Arguments
    ---------
    dim : int
        Channels of every layer; 256 in the published checkpoints.
    """

    reads = "stft"
    min_frames = 16  # survive four strides

    def __init__(self, dim=256):
        super().__init__()
        self.emb_dim = dim
        for i in range(1, 5):
            self.add_module(f"conv{i}", nn.Conv2d(1 if i == 1 else dim, dim, 4, 2, 1))
            self.add_module(f"bn{i}", nn.BatchNorm2d(dim))
            self.add_module(f"relu{i}", nn.ReLU())
        self.resblock = ResBlock(dim)

    def forward(self, features):
        """log1p(|S|) [B, T, F] to (embedding [B, 1, dim], five maps, finest first)."""
        if features.shape[1] < self.min_frames:
            raise ValueError(
                f"Conv2d needs at least {self.min_frames} frames, got {features.shape[1]}: "
                "use longer clips."
            )
        x = features.unsqueeze(1)
        representations = []
        for i in range(1, 5):
            x = conv_norm_relu(x, *(getattr(self, f"{name}{i}") for name in ("conv", "bn", "relu")))
            representations.append(x)
        x = self.resblock(x)
        representations.append(x)
        return x.mean((2, 3)).unsqueeze(1), representations
