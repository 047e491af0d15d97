"""Is an explanation the reason for a decision, or does it only please one network?

Changes of masks and of their sound under which an honest explanation keeps what it shows:
the same values in other cells, small disturbances of the sound, and cells removed or put back by
their rank (deletion and insertion, Petsiuk et al., RISE, BMVC 2018).

Random numbers are a clip's own, from a seed for each, whatever else is in its batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 10
NOISE_DB = 30.0
GAIN_DB = -6.0
SHIFTED, QUIETER, NOISY = "shifted", "-6 dB", "noise at 30 dB"
JITTERS = (SHIFTED, QUIETER, NOISY)


def shuffled(mask: Tensor, seeds: Sequence[int]) -> Tensor:
    """Each mask [B, ...] with its own values in random cells: its mean, and no knowledge."""
    moved = torch.empty_like(mask)
    for i, seed in enumerate(seeds):
        flat = mask[i].flatten()
        moved[i] = flat[_order(len(flat), seed).to(mask.device)].view_as(mask[i])
    return moved


def jittered(sound: Tensor, hop: int, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Sounds [B, L] that nobody could tell from ``sound``, by the names JITTERS.

    Later by half a ``hop`` (samples; what leaves the end is lost), 6 dB quieter, and with white
    noise 30 dB below each sound's own power. Silence stays silence.
    """
    later = hop // 2
    noise = torch.stack(
        [torch.randn(sound.shape[1], generator=_generator(seed)) for seed in seeds]
    ).to(sound)
    level = sound.square().mean(1, keepdim=True).sqrt() * 10 ** (-NOISE_DB / 20)
    level = level / noise.square().mean(1, keepdim=True).sqrt().clamp_min(1e-30)
    return {
        SHIFTED: F.pad(sound, (later, 0))[:, : sound.shape[1]],
        QUIETER: sound * 10 ** (GAIN_DB / 20),
        NOISY: sound + level * noise,
    }


def removal_steps(mask: Tensor, X: Tensor, seeds: Sequence[int], steps: int = STEPS) -> Tensor:
    """When each cell is removed, 1 to ``steps``, in the order of the mask's values.

    Takes masks and maps [B, T, F] in the units of X (log1p of a magnitude), returns integers of
    that shape. A step removes the same share of the energy ``sum expm1(X)^2``, as nearly as whole
    cells allow: a cell goes in the step in which its first bit of energy is due. Cells of equal
    value come in random order.
    """
    flat_mask, energy = mask.flatten(1), torch.expm1(X.double()).square().flatten(1)
    result = torch.empty(flat_mask.shape, dtype=torch.long, device=mask.device)
    for i, seed in enumerate(seeds):
        any_order = _order(flat_mask.shape[1], seed).to(mask.device)
        order = any_order[flat_mask[i][any_order].argsort(descending=True, stable=True)]
        own = energy[i][order]
        before = (own.cumsum(0) - own).clamp_min(0) / own.sum().clamp_min(1e-300)
        result[i, order] = 1 + (steps * before + 1e-9).floor().long().clamp(0, steps - 1)
    return result.view_as(mask)


def area_under(curve: Tensor) -> Tensor:
    """Area under probabilities [B, S] at S equal distances from 0 to 1, by trapezoids: [B]."""
    return torch.trapezoid(curve.double(), dx=1 / (curve.shape[1] - 1), dim=1)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _order(n, seed):
    return torch.randperm(n, generator=_generator(seed))
