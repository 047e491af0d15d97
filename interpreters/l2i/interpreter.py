"""L2I (Parekh et al., 2022): the dictionary components that speak for a class make the mask."""

import hashlib

import torch

from interpreters.base import Interpreter
from interpreters.l2i.brain import L2I_FILE
from interpreters.l2i.networks import L2INetwork
from lmac.checkpoints import (
    explained_facts,
    require_same_training,
    training_info,
    weights_file,
)
from lmac.weights import load_weights, read_weights

EPSILON = 1e-12


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
