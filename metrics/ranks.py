"""Rank correlation of two sets of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# The column of the weight-randomisation check.
RANK_CORRELATION = "rank correlation"


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation of masks [B, ...], ties at their mean rank: float64 [B].

    NaN where one of the two masks is constant, which has no ranks.

    Raises:
        ValueError: for masks of different shapes.
    """
    # Here, for tables only read the name of the column.
    import torch
    from scipy.stats import rankdata

    if first.shape != second.shape:
        raise ValueError(f"Expected masks of one shape, got {[*first.shape]}, {[*second.shape]}.")
    ranks = [rankdata(x.detach().flatten(1).cpu().numpy(), axis=1) for x in (first, second)]
    centred = [r - r.mean(1, keepdims=True) for r in ranks]
    lengths = [np.sqrt((r * r).sum(1)) for r in centred]
    defined = (lengths[0] > 0) & (lengths[1] > 0)
    # Sums of squared ranks are not exact: equal rankings must still give exactly 1.
    equal = (ranks[0] == ranks[1]).all(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (centred[0] * centred[1]).sum(1) / (lengths[0] * lengths[1])
    value = np.where(equal, 1.0, value.clip(-1, 1))
    return torch.from_numpy(np.where(defined, value, np.nan))
