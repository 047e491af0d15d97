"""Losses: classifier training and the L-MAC objective."""

import torch
import torch.nn.functional as F
from speechbrain.nnet.losses import AdditiveAngularMargin


def cross_entropy(outputs, targets, label_smoothing=0.0):
    """Cross-entropy of logits [B, K] and class numbers [B]; a scalar."""
    return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)


def angular_margin(outputs, targets, margin=0.2, scale=30):
    """Additive angular margin loss of cosines [B, K], as the published classifiers used it."""
    one_hot = F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return F.cross_entropy(AdditiveAngularMargin(margin, scale)(outputs, one_hot), targets)


def lmac_loss(logits_in, logits_out, target, mask, l_in=4.0, l_out=0.2, l_sparse=4.0):
    """Stage-1 objective of L-MAC (paper, equation 4).

    ``l_in CE(f(M X), c) - l_out CE(f((1 - M) X), c) + l_sparse mean(M)``

    Arguments
    ---------
    logits_in, logits_out : Tensor [B, K]
        Classifier's outputs for the masked-in and the masked-out part.
    target : Tensor [B]
        The classifier's own decision c.
    mask : Tensor [B, T, F]
        In [0, 1].
    l_in, l_out : float
        Weights; 4 and 0.2 published.
    l_sparse : float
        Weight of the mean of the mask, whatever the batch size. The published recipe sums
        that mean over the batch, so its 0.4 at batch 16 is 6.4 here.

    Returns
    -------
    dict of scalar Tensors: ``loss`` and its weighted parts ``in``, ``out``, ``sparse``.
    """
    parts = {
        "in": l_in * F.cross_entropy(logits_in, target),
        "out": -l_out * F.cross_entropy(logits_out, target),
        "sparse": l_sparse * mask.mean(),
    }
    return {"loss": torch.stack(list(parts.values())).sum(), **parts}
