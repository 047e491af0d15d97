"""Losses: classifier training and the L-MAC objective."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from speechbrain.nnet.losses import AdditiveAngularMargin
from torch import Tensor

from lmac.core.outputs import SOFTMAX, cross_entropy_of, decides, log_p_of, probabilities


def cross_entropy(outputs, targets, label_smoothing=0.0, balanced=False):
    """Cross-entropy of logits [B, K] and class numbers [B]; a scalar.

    ``balanced``: every class of the batch counts the same, however many clips it has.
    """
    if not balanced:
        return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
    values = F.cross_entropy(outputs, targets, label_smoothing=label_smoothing, reduction="none")
    weights = 1 / torch.bincount(targets, minlength=outputs.shape[1])[targets].to(values.dtype)
    return (weights * values).sum() / weights.sum()


def angular_margin(outputs, targets, margin=0.2, scale=30):
    """Additive angular margin loss of cosines [B, K], as the published classifiers used it."""
    one_hot = F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return F.cross_entropy(AdditiveAngularMargin(margin, scale)(outputs, one_hot), targets)


GUIDANCE = ("bce", "mse")


def clips_out(n_clips, out_share):
    """Of how many clips of a batch a training step looks at the masked-out part; at least 1."""
    return math.ceil(n_clips * out_share)


@dataclass
class Step:
    """A batch on its way from its sounds to the loss; None is what nobody needs.

    Attributes
    ----------
    logits_in, logits_out : Tensor [B, K], [N, K]
        Classifier's outputs for the masked-in part, and for the masked-out part of the first N
        clips: of a batch in random order, their mean estimates that of all.
    target : Tensor [B]
        The classes explained: the classifier's own decisions, or of a class-conditional decoder
        any.
    mask : Tensor [B, T, F]
        In [0, 1].
    wav : Tensor [B, L]
        The clips.
    X, phase, logits, representations
        ``X`` [B, T, F], its Phase, and the classifier's answer to it, [B, K] and a list of maps.
    clean_X : Tensor [B, T, F]
        The X of the clips without what was mixed in.
    source : Tensor [B], bool
        Whether the target is the decision on one of the sounds that make up the clip, each alone.
    source_X : Tensor [B, T, F]
        The X of that sound, 0 where there is none.
    silence : Tensor [1, K]
        Outputs for X = 0, what an empty mask leaves.
    scale : Tensor, scalar
        What makes logits of the similarities of a zero-shot classifier.
    transfer : Tensor, scalar
        Loss of the transfer classifiers.
    outputs, threshold
        Of the classifier: what its logits mean (:mod:`lmac.core.outputs`).
    moved : tuple of Tensor [B, T', F], [B, T', F] and [B], bool
        Masks of the clips, masks of the clips a little later and softer on the same frames, and
        whether the classifier decides both alike.
    """

    logits_in: Tensor = None
    logits_out: Tensor = None
    target: Tensor = None
    mask: Tensor = None
    X: Tensor = None
    clean_X: Tensor = None
    wav: Tensor = None
    phase: object = None
    logits: Tensor = None
    representations: list = None
    source: Tensor = None
    source_X: Tensor = None
    silence: Tensor = None
    scale: Tensor = None
    transfer: Tensor = None
    moved: tuple = None
    outputs: str = SOFTMAX
    threshold: float = None


def lmac_loss(
    step,
    l_in=4.0,
    l_out=0.2,
    l_sparse=4.0,
    l_guidance=0.0,
    cc_th=0.6,
    bin_th=0.35,
    guidance="bce",
    l_consistency=0.0,
):
    """Objective of L-MAC (paper, equation 4), of both stages.

    ``l_in CE(f(M X), c) - l_out CE(f((1 - M) X), c) + R``. In stage 1 ``R = l_sparse mean(M)``.
    In stage 2, ``l_guidance > 0``, a clip is *selected* when what its mask keeps already
    resembles the clean source: ``<M X, X_clean> / (|M X| |X_clean|) >= cc_th``. Selected clips
    get guidance in place of sparsity::

        "mse": R = l_guidance mean((M X - X_clean)^2)
        "bce": R = l_guidance BCE(M, 1[X_clean >= bin_th max(X_clean)])

    Arguments
    ---------
    step : Step
        With the classifier's own decisions as targets c; in stage 2 also ``X`` and ``clean_X``.
    l_in, l_out : float
        Weights; 4 and 0.2 published.
    l_sparse : float
        Weight of the mean of the mask, whatever the batch size. The published recipe sums
        that mean over the batch, so its 0.4 at batch 16 is 6.4 here.
    l_guidance : float
        Weight of the guidance, 0 for stage 1; 4 published.
    cc_th, bin_th : float
        Thresholds of the selection and of the clean source; 0.6 and 0.35 published.
    guidance : str
        "bce" or "mse"; ValueError for another.
    l_consistency : float
        Weight of :func:`inconsistency`, not in the paper; ``step.moved`` is needed.

    Returns
    -------
    dict of scalar Tensors: ``loss`` and its weighted parts ``in``, ``out``, ``sparse``; in stage
    2 also ``guidance`` and ``selected``, the number of selected clips (no part of the loss); with
    its weight also ``consistency``.
    """
    mask, target, logits_out, found = step.mask, step.target, step.logits_out, {}
    parts = {
        "in": l_in * cross_entropy_of(step.logits_in, target, step.outputs),
        "out": -l_out * cross_entropy_of(logits_out, target[: len(logits_out)], step.outputs),
    }
    if l_guidance == 0:
        parts["sparse"] = l_sparse * mask.mean()
    else:
        kept = mask * step.X
        selected = correlation(kept, step.clean_X) >= cc_th
        distance = _distance_to_clean(kept, mask, step.clean_X, guidance, bin_th)
        parts["sparse"] = l_sparse * mask.flatten(1).mean(1).masked_fill(selected, 0).mean()
        parts["guidance"] = l_guidance * distance.masked_fill(~selected, 0).mean()
        found["selected"] = selected.sum()
    if l_consistency > 0:
        parts["consistency"] = l_consistency * inconsistency(*step.moved)
    return {"loss": total(parts), **parts, **found}


def total(parts):
    """The sum of a dict of scalars."""
    return torch.stack(list(parts.values())).sum()


def inconsistency(mask, moved, alike):
    """How far masks change when their clips are moved, a scalar.

    The mean of ``|M - M'|`` over cells and clips, 0 for a clip that is decided in another way when
    it is moved: there another mask is right.

    Arguments
    ---------
    mask, moved : Tensor [B, T, F]
        On the same frames of the sound.
    alike : Tensor [B], bool
        Whether the classifier decides both alike.
    """
    change = (moved - mask).abs().flatten(1).mean(1)
    return change.masked_fill(~alike, 0).mean()


def conditional_loss(
    step,
    l_in=4.0,
    l_out=0.2,
    l_sparse=4.0,
    l_absent=0.25,
    l_leak=0.0,
    l_energy=0.0,
    absent_sparsity=2.0,
    presence_threshold=0.05,
    prior_weight=1.0,
    l_consistency=0.0,
):
    """Objective of a class-conditional decoder: any class c is a target, be it there or not.

    Trained on the classifier's decisions alone, such a decoder learns to give false explanations
    of any class in any sound. So absent classes are targets, too. With p = f(X)_c and a weight w
    of how much of the class there is::

        w = 1 for the classifier's decision, min(1, p / presence_threshold) for the decision
            on one of the sounds that were mixed, prior_weight p for any other class
        in     = w CE(f(M X), c)
        absent = (1 - w) max(0, log f(M X)_c - max(log p, log f(0)_c))
        leak   = w |max(0, M X - S)|^2 / |X|^2
        energy = w |max(0, e(M X) - e(S))|^2 / |e(M X)|^2 for the decision on one of the sounds,
            with the magnitudes e(X) = exp(X) - 1; (1 - w) |e(M X)|^2 / |e(X)|^2 for others
        out    = w CE(f((1 - M) X), c)
        sparse = (1 + absent_sparsity (1 - w)) mean(M)
        loss   = l_in (in + l_absent absent) + l_leak leak + l_energy energy
                 - l_out out + l_sparse sparse

    The second term says: never more of a class than the sound, or silence, already had; so an
    empty mask is right for a class that is not there. But one class is what the classifier
    decides in silence, and an empty mask would convince it of that one: there, log f(0)_c is left
    out of the maximum. The third says: where c is the decision on one of the sounds, with X of that
    sound alone S, keep no more than that sound has; elsewhere it is 0. So does the fourth, as a
    share of what is kept, of which the loudest cells are most; of a class that is not there, keep
    nothing.

    Arguments
    ---------
    step : Step
        With ``logits`` and ``source``; for ``l_leak`` and ``l_energy`` also ``X`` and ``source_X``.
        Without ``silence``, log f(0)_c is left out everywhere.
    l_in, l_out, l_sparse : float
        As in :func:`lmac_loss`.
    l_absent, l_leak, l_energy : float
        Weights of the second term, beside the first, of the third and of the fourth.
    absent_sparsity : float
        How much sparser the mask of an absent class has to be.
    presence_threshold : float
        The probability from which on a sound in the mixture counts as there.
    prior_weight : float
        How much of its probability counts as presence for a class that is neither: with 0, what
        the classifier merely suspects is not there.
    l_consistency : float
        As in :func:`lmac_loss`.

    Returns
    -------
    dict of scalar Tensors: ``loss`` and its weighted parts ``in``, ``absent``, ``out``,
    ``sparse``; with their weights also ``leak``, ``energy`` and ``consistency``.
    """
    logits, target, mask, source = step.logits, step.target, step.mask, step.source
    w = _presence(step, presence_threshold, prior_weight)
    before = log_p = log_p_of(logits.detach(), target, step.outputs)
    if step.silence is not None:
        silence = step.silence.detach().expand_as(logits)
        log_silence = log_p_of(silence, target, step.outputs)
        in_silence = decides(probabilities(silence, step.outputs), target, step.threshold)
        before = torch.where(in_silence, log_p, torch.maximum(log_p, log_silence))
    log_in = log_p_of(step.logits_in, target, step.outputs)
    n = len(step.logits_out)
    log_out = log_p_of(step.logits_out, target[:n], step.outputs)
    more = (log_in - before).clamp_min(0)
    area = mask.flatten(1).mean(1)
    parts = {
        "in": -l_in * (w * log_in).mean(),
        "absent": l_in * l_absent * ((1 - w) * more).mean(),
        "out": l_out * (w[:n] * log_out).mean(),
        "sparse": l_sparse * ((1 + absent_sparsity * (1 - w)) * area).mean(),
    }
    if l_leak > 0:
        leak = _share_above(mask * step.X, step.source_X, step.X)
        parts["leak"] = l_leak * (w * leak.masked_fill(~source, 0)).mean()
    if l_energy > 0:
        kept, allowed, whole = (torch.expm1(x) for x in (mask * step.X, step.source_X, step.X))
        energy = torch.where(
            source,
            w * _share_above(kept, allowed, kept),
            (1 - w) * _share_above(kept, allowed, whole),
        )
        parts["energy"] = l_energy * energy.mean()
    if l_consistency > 0:
        parts["consistency"] = l_consistency * inconsistency(*step.moved)
    return {"loss": total(parts), **parts}


def _share_above(kept, allowed, whole):
    """``|max(0, kept - allowed)|^2 / |whole|^2`` of maps [B, T, F]: [B]."""
    above, total = (x.square().flatten(1).sum(1) for x in ((kept - allowed).clamp_min(0), whole))
    return above / total.clamp_min(1e-8)


def _presence(step, presence_threshold, prior_weight):
    """How much of the target class there is in each clip: [B], in [0, 1]."""
    probs = probabilities(step.logits.detach(), step.outputs)
    p = probs.gather(1, step.target[:, None]).squeeze(1)
    w = torch.where(step.source, (p / presence_threshold).clamp_max(1), prior_weight * p)
    return torch.where(decides(probs, step.target, step.threshold), torch.ones_like(w), w)


@torch.no_grad()
def correlation(one, other):
    """Normalised inner product of two batches of maps [B, T, F]; [B], 0 for an empty map."""
    return F.cosine_similarity(one.flatten(1), other.flatten(1), dim=1)


def _distance_to_clean(kept, mask, clean_X, guidance, bin_th):
    """The guidance of each clip, [B]."""
    if guidance == "mse":
        return (kept - clean_X).square().flatten(1).mean(1)
    if guidance == "bce":
        loud = clean_X >= bin_th * clean_X.amax((1, 2), keepdim=True)
        # Not F.binary_cross_entropy, which refuses to run under CUDA's autocast.
        likelihood = torch.where(loud, mask, 1 - mask).clamp_min(1e-7)
        return -likelihood.log().flatten(1).mean(1)
    raise ValueError(f"guidance: expected one of {', '.join(GUIDANCE)}, got {guidance!r}.")


def zero_shot_loss(
    step,
    l_similarity=10.0,
    l_in=0.0,
    l_out=0.0,
    l_sparse=0.4,
    l_absent=0.0,
    absent_sparsity=0.0,
    presence_threshold=0.05,
    l_consistency=0.0,
):
    """Objective of LMAC-ZS (Paissan, Della Libera, Ravanelli and Subakan, NeurIPS 2024).

    For pairs of a prompt i and a sound j, with unit embeddings t_i and f(X_j) and a mask M of the
    pair, it keeps the similarity, be it large or small, in place of raising it::

        similarity = |t_i . f(X_j) - t_i . f(M X_j)|
        sparse     = (1 + absent_sparsity (1 - w)) mean(M)
        loss       = l_similarity similarity + l_sparse sparse (+ l_in (in + l_absent absent)
                     - l_out out)

    The terms in brackets are those of :func:`conditional_loss`, with the prompts as classes and
    without silence, and so is w; with the weights as they are by default, the loss is the paper's.

    Arguments
    ---------
    step : Step
        Of pairs, with ``scale``: its ``logits`` are ``scale t_k . f`` of every prompt k for the
        sound of each pair. With ``l_out`` 0 ``logits_out`` is not looked at, and may be None.
    l_similarity : float
        Weight of the similarity, whose differences are at most 2.
    l_in, l_out, l_sparse, l_absent, absent_sparsity, presence_threshold, l_consistency
        As in :func:`conditional_loss`.

    Returns
    -------
    dict of scalar Tensors: ``loss`` and its weighted parts.
    """
    rows = step.target[:, None]
    before, after = (x.gather(1, rows) / step.scale for x in (step.logits.detach(), step.logits_in))
    similarity = l_similarity * (after - before).abs().mean()
    logits_out = step.logits if step.logits_out is None else step.logits_out
    parts = conditional_loss(
        replace(step, logits_out=logits_out, silence=None), l_in=l_in, l_out=l_out,
        l_sparse=l_sparse, l_absent=l_absent, absent_sparsity=absent_sparsity,
        presence_threshold=presence_threshold, l_consistency=l_consistency,
    )  # fmt: skip
    return {"loss": parts.pop("loss") + similarity, "similarity": similarity, **parts}
