"""L2I, Listen to Interpret (Parekh et al., NeurIPS 2022): the components of an NMF dictionary that
speak for a class make the mask.

Psi maps the classifier's representations to activations of the dictionary's components, Theta these
to classes. ``lmac.training.l2i`` trains both.
"""

import hashlib

import torch
import torch.nn.functional as F
from torch import nn

from interpreters.base import Interpreter
from lmac.checkpoints import (
    explained_facts,
    require_same_training,
    training_info,
    weights_digest,
    weights_file,
)
from lmac.io.weights import load_weights, read_weights

L2I_FILE = "l2i.ckpt"
EPSILON = 1e-12
BANDS = 40  # a representation's frequency axis is averaged to at most this many bands


def require_stft(domain):
    """ValueError unless ``domain`` is the one that dictionaries are learnt in."""
    if domain.name != "stft":
        raise ValueError(
            f"L2I explains log1p|STFT|, which its dictionary is learnt from, and cannot explain "
            f"domain: {domain.name}; use domain: stft, or leave L2I out."
        )


def relevances(weights, z):
    """``theta_ck z_k`` over its largest magnitude in the clip; zeros where all are zero.

    Arguments
    ---------
    weights : Tensor [B, K]
        Rows of Theta's linear layer for the explained classes.
    z : Tensor [B, K]
        Pooled activations.
    """
    relevance = weights * z
    return relevance / relevance.abs().amax(1, keepdim=True).clamp_min(1e-30)


def component_mask(W, H, selected):
    """``(W_sel H_sel) / (W H + eps)``, in [0, 1]; zeros where nothing is selected.

    Arguments
    ---------
    W : Tensor [F, K]
    H : Tensor [B, K, T]
    selected : bool Tensor [B, K]

    Returns
    -------
    Tensor [B, T, F]
    """
    part = W @ (H * selected.unsqueeze(2))
    return (part / (W @ H + EPSILON)).clamp(0, 1).transpose(1, 2)


class L2I(Interpreter):
    """Mask of the components whose relevance for the class exceeds a threshold.

    Any class can be asked for: Theta has a weight of every component for every class. A clip
    without a relevant component gets a mask of zeros.

    Arguments
    ---------
    explained : ExplainedClassifier
        In the ``stft`` domain (ValueError otherwise).
    checkpoint : path
        Folder with ``l2i.ckpt``, or the file itself. ValueError when it was trained on another
        classifier.
    relevance_threshold : float
        From -1 to below 1; 0.2 published.
    """

    takes_answer = True

    def __init__(self, explained, checkpoint, relevance_threshold=0.2):
        require_stft(explained.domain)
        if not -1 <= relevance_threshold < 1:
            raise ValueError(
                f"relevance_threshold is {relevance_threshold}: expected -1 to below 1, for "
                "relevances are divided by the largest."
            )
        path = weights_file(checkpoint, L2I_FILE, "l2i_checkpoint", "python -m lmac l2i")
        super().__init__(
            explained,
            weights=hashlib.sha256(path.read_bytes()).hexdigest()[:12],
            relevance_threshold=relevance_threshold,
        )
        self.key, self.training = "l2i_checkpoint", training_info(path)
        self.threshold = relevance_threshold
        self.network = load_network(path, explained)

    @torch.no_grad()
    def explain(self, X, target, phase=None, *, answer=None):
        _, representations = answer or self.explained(X, phase)
        H = self.network.psi(representations, X.shape[1])
        theta = self.network.theta
        relevance = relevances(theta.linear.weight[target], theta.pool(H))
        return component_mask(self.network.W, H, relevance > self.threshold)


def load_network(path, explained):
    """The trained networks at ``path``, in eval mode.

    ValueError when the file is none of L2I, or belongs to another classifier or front end.
    """
    state = read_weights(path, "L2I network")
    if "W" not in state or "psi.smooth.1.weight" not in state:
        raise ValueError(
            f"l2i_checkpoint: {path} is no checkpoint of L2I; give the folder <output_folder>/best "
            "of python -m lmac l2i."
        )
    n_bins = explained.domain.front_end.n_bins
    if state["W"].shape[0] != n_bins:
        raise ValueError(
            f"l2i_checkpoint: the dictionary in {path} has {state['W'].shape[0]} frequency bins, "
            f"this front end {n_bins}: give the n_fft that it was trained with."
        )
    network = L2INetwork.like(state, explained)
    digest = network.classifier_digest.clone()
    load_weights(network, path, "L2I network")
    if not torch.equal(network.classifier_digest, digest):
        raise ValueError(
            f"l2i_checkpoint: {path} was trained on another classifier (or other weights of it) "
            "than classifier_checkpoint: train L2I again, or give that classifier."
        )
    # Trained on unmasked clips, which are the same on either signal path: it serves both.
    facts = {k: v for k, v in explained_facts(explained).items() if k != "signal_path"}
    require_same_training(path, "l2i_checkpoint", facts)
    return network.to(next(explained.buffers()).device).eval()


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
