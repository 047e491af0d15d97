"""How near an explanation comes to the source that the classifier should have heard.

Needs the source's own part of the mixture, which a scenario knows: these are checks of an
explanation from outside the classifier, beside the paper's metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def si_sdr(estimate: Tensor, source: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., ICASSP 2019).

    Takes waveforms [B, L], returns float64 [B]: ``10 log10(|a s|^2 / |e - a s|^2)`` with the
    ``a`` that scales the source ``s`` to the estimate ``e``; no mean is removed. NaN where the
    estimate or the source is silent, and where the estimate has nothing of the source (which would
    be minus infinity, and so would be every mean that it is in). Raises ValueError for
    different shapes.
    """
    estimate, source = _pair(estimate, source)
    power = source.square().sum(1)
    a = (estimate * source).sum(1) / power
    kept = a.square() * power
    distortion = (estimate - a.unsqueeze(1) * source).square().sum(1)
    # 0/0 for silence is the NaN that is meant; a perfect estimate is capped at 300 dB.
    ratio = kept / distortion.clamp_min(1e-30 * kept).where(kept > 0, distortion)
    return 10 * ratio.log10().masked_fill((power == 0) | (kept == 0), float("nan"))


def log_distance(masked: Tensor, source: Tensor) -> Tensor:
    """Root mean square difference of two log spectra, ``M X`` and the source's own X.

    Takes maps [B, T, F] in the units of X (log1p of a magnitude), returns float64 [B]. 0 for
    the source itself; an empty mask has the root mean square of the source. Raises ValueError
    for different shapes.
    """
    masked, source = _pair(masked, source)
    return (masked - source).square().flatten(1).mean(1).sqrt()


def _pair(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    if one.shape != other.shape or one.dim() < 2:
        raise ValueError(f"Expected two batches of one shape, got {one.shape} and {other.shape}.")
    return one.double(), other.double()
