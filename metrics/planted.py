"""Is a mask where the reason is? Measures for sounds whose deciding part is known.

A clip is a cue, and a background that says nothing of its class. All maps are [B, T, F]: masks,
and ``X``, ``cue``, ``background`` in the units of X, log1p of a magnitude.
"""

import numpy as np
import torch
from torch import Tensor

RANGE_DB = 30  # below the cue's loudest cell, what is of the cue
SILENT_DB = -60  # a background so far below the cue is none


def cue_cells(cue: Tensor, background: Tensor) -> Tensor:
    """Where the cue is louder than the background and within RANGE_DB of its maximum, bool."""
    loudest = torch.expm1(cue).amax((1, 2), keepdim=True)
    return (cue > background) & (torch.expm1(cue) >= loudest * 10 ** (-RANGE_DB / 20))


def detection(mask: Tensor, cells: Tensor) -> dict[str, Tensor]:
    """``AUC`` and ``AP`` of a mask as a detector of ``cells`` [B, T, F], float64 [B].

    As scikit-learn's ``roc_auc_score`` and ``average_precision_score``, of one sort. NaN for a clip
    without such cells, or with no others.
    """
    pairs = zip(mask.flatten(1).cpu().numpy(), cells.flatten(1).cpu().numpy(), strict=True)
    values = torch.tensor([_auc_and_ap(*pair) for pair in pairs], dtype=torch.float64)
    return {"AUC": values[:, 0], "AP": values[:, 1]}


def _auc_and_ap(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Of one clip, [N] and bool [N]."""
    order = np.argsort(scores)[::-1]
    scores, truth = scores[order], truth[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # of cells that are tied
    found = np.cumsum(truth)[last]
    others = last + 1 - found
    if not found[-1] or not others[-1]:
        return float("nan"), float("nan")
    recall = found / found[-1]
    auc = np.trapezoid(np.append(0, recall), np.append(0, others / others[-1]))
    ap = np.sum(np.diff(recall, prepend=0) * found / (last + 1))
    return float(auc), float(ap)


def gain(mask: Tensor, X: Tensor) -> Tensor:
    """What a mask on X does to magnitudes: expm1(M X) / expm1(X), float64; 0 in silence."""
    X = X.double()
    return torch.expm1(mask.double() * X) / torch.expm1(X).clamp_min(1e-30)


def energy(gained: Tensor, part: Tensor) -> Tensor:
    """Energy of a part of the sound, its magnitudes times ``gained``, float64 [B]."""
    return (gained * torch.expm1(part.double())).square().flatten(1).sum(1)


def kept(gained: Tensor, part: Tensor) -> Tensor:
    """Share of the energy of a part that is let through, float64 [B]; NaN where it is silent."""
    whole = energy(torch.ones_like(gained), part)
    return torch.where(whole > 0, energy(gained, part) / whole, float("nan"))


def snr_gain(gained: Tensor, cue: Tensor, background: Tensor) -> Tensor:
    """Cue to background after the mask over before it, dB, float64 [B].

    NaN where either is silent (the background: SILENT_DB below the cue), and for an empty mask.
    """
    ones = torch.ones_like(gained)
    before = energy(ones, cue) / energy(ones, background)
    after = energy(gained, cue) / energy(gained, background)
    silent = ~(before < 10 ** (-SILENT_DB / 10)) | (before == 0) | ~after.isfinite() | (after == 0)
    return (10 * torch.log10(after / before)).masked_fill(silent, float("nan"))


def pointing(mask: Tensor, cells: Tensor) -> Tensor:
    """Whether the mask's largest cell is one of ``cells``: 1 or 0, float64 [B]."""
    largest = mask.flatten(1).argmax(1, keepdim=True)
    return cells.flatten(1).gather(1, largest)[:, 0].double()
