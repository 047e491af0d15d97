"""The networks of L2I: Psi (representations to activations) and Theta (activations to classes)."""

import torch
import torch.nn.functional as F
from torch import nn

from lmac.checkpoints import weights_digest

BANDS = 40  # a representation's frequency axis is averaged to at most this many bands


class Psi(nn.Module):
    """Representations of the classifier to activations of the dictionary's components.

    Each representation [B, C, T', F'] is averaged to at most ``BANDS`` bands, projected over
    channels and bands to ``hidden`` channels and interpolated in time to the frames of X. The
    sum of all goes through two convolutions in time. Softplus keeps the activations
    above zero and, unlike ReLU, lets no component die.

    Arguments
    ---------
    shapes : list of (int, int)
        Channels and frequency rows of the representations, finest first.
    n_components : int
    hidden : int
    """

    def __init__(self, shapes, n_components, hidden=128):
        super().__init__()
        self.bands = [min(rows, BANDS) for _, rows in shapes]
        self.laterals = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(channels * bands, hidden, 1, bias=False), nn.BatchNorm1d(hidden)
            )
            for (channels, _), bands in zip(shapes, self.bands, strict=True)
        )
        self.smooth = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(hidden, hidden, 3, padding=1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Conv1d(hidden, n_components, 3, padding=1),
        )
        # Starts at small activations, softplus(-2) = 0.13.
        nn.init.constant_(self.smooth[-1].bias, -2.0)

    def forward(self, representations, n_frames):
        """Activations H [B, K, n_frames], above zero."""
        total = 0
        for h, bands, lateral in zip(representations, self.bands, self.laterals, strict=True):
            h = F.adaptive_avg_pool2d(h, (h.shape[2], bands))
            h = lateral(h.transpose(2, 3).flatten(1, 2))
            total = total + F.interpolate(h, size=n_frames, mode="linear", align_corners=False)
        return F.softplus(self.smooth(total))


class Theta(nn.Module):
    """Attention pooling over time, then a linear layer without bias.

    Without bias the logit of class c is ``sum_k theta_ck z_k``, so that the relevances of the
    components add up to it.
    """

    def __init__(self, n_components, n_classes, hidden=32):
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv1d(n_components, hidden, 1), nn.Tanh(), nn.Conv1d(hidden, 1, 1, bias=False)
        )
        self.linear = nn.Linear(n_components, n_classes, bias=False)

    def pool(self, H):
        """Activations [B, K, T] to z [B, K], a weighted mean over time."""
        return (self.attention(H).softmax(2) * H).sum(2)

    def forward(self, H):
        """Activations [B, K, T] to logits [B, n_classes]."""
        return self.linear(self.pool(H))


class L2INetwork(nn.Module):
    """Psi, Theta and the dictionary W, so that one checkpoint holds all of L2I.

    Arguments
    ---------
    explained : ExplainedClassifier
        Whose representations are read; its weights' digest is kept, so that the checkpoint
        tells which classifier it belongs to.
    W : Tensor [n_bins, K]
        Columns of unit norm.
    hidden : int
        Channels of Psi.
    """

    def __init__(self, explained, W, hidden=128):
        super().__init__()
        logits, representations = explained.on_silence()
        shapes = [(r.shape[1], r.shape[3]) for r in representations]
        self.psi = Psi(shapes, W.shape[1], hidden)
        self.theta = Theta(W.shape[1], logits.shape[1])
        self.register_buffer("W", W.clone())
        digest = weights_digest(explained.classifier).encode()
        self.register_buffer("classifier_digest", torch.tensor(list(digest), dtype=torch.uint8))

    @classmethod
    def like(cls, state, explained):
        """A network of the size that the state dict ``state`` has, without its weights."""
        return cls(explained, state["W"], hidden=state["psi.smooth.1.weight"].shape[0])

    def forward(self, representations, n_frames):
        """Representations, finest first, to (H [B, K, T], W H [B, T, n_bins], logits [B, C])."""
        H = self.psi(representations, n_frames)
        return H, self.reconstruct(H), self.theta(H)

    def reconstruct(self, H):
        """W H, [B, T, n_bins], of activations [B, K, T]."""
        return (self.W @ H).transpose(1, 2)
