"""Is an explanation of a target class honest? Checks from outside the classifier.

A mask that makes the classifier decide for a class which is nowhere in the sound is a false
explanation. And of two sounds of known classes, the explanation of one should be that sound.
"""

import torch
from torch import Tensor

from metrics.distance import si_sdr


def decides_for(probs: Tensor, asked: Tensor, threshold: float | None = None) -> Tensor:
    """Whether the classifier decides for the class ``asked`` [B], by ``probs`` [B, C].

    Returns 1 or 0, float64 [B]. With the probabilities of M X, for an absent class: a false
    explanation. ``threshold``: of sigmoid outputs, p from which a label is there.
    """
    if threshold is not None:
        return (probs.gather(1, asked[:, None])[:, 0] >= threshold).double()
    return (probs.argmax(1) == asked).double()


def energy_kept(masked: Tensor, X: Tensor) -> Tensor:
    """Share of the energy that a mask keeps: ``sum |M X|^2 / sum |X|^2`` in linear magnitude.

    Takes maps [B, T, F] in the units of X (log1p of a magnitude), returns float64 [B]; NaN for
    silence.
    """
    kept, whole = (torch.expm1(x.double()).square().flatten(1).sum(1) for x in (masked, X))
    return kept / whole


def nearer_to(estimate: Tensor, source: Tensor, other: Tensor) -> Tensor:
    """Whether a sound [B, L] is nearer to ``source`` than to ``other`` by SI-SDR.

    Returns 1 or 0, float64 [B]; silence is near to nothing: 0. NaN where a source is silent.
    """
    ours, theirs = si_sdr(estimate, source), si_sdr(estimate, other)
    known = (source != 0).any(1) & (other != 0).any(1)
    return (ours > theirs).double().masked_fill(~known, float("nan"))
