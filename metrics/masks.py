"""What a mask looks like, whatever the classifier does with it: SPS, COMP and MM.

Paissan et al. (ICML 2024, arXiv 2403.13086) report the Quantus metrics ``Sparseness`` (Chalasani
et al., ICML 2020) and ``Complexity`` (Bhatt et al., IJCAI 2020). They are written here from their
definitions, in a few lines of torch. Quantus also adds 1e-7 to every cell (after a division by
the maximum of the *batch*), which makes a score depend on the other clips in its batch; this is
left out, and changes SPS by more than 1e-4 only for masks whose mean is below about 0.001 of
their maximum.

Every function takes masks [B, ...] (any real dtype) and returns float64 [B]. Masks must not be
padded: cells that cover no signal count like all others.

Errors: ValueError for masks without cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def sparseness(mask: Tensor) -> Tensor:
    """SPS: Gini index of |M|, from 0 (all cells equal) towards 1 (a single cell).

    With the N cells in ascending order ``m_1 <= ... <= m_N``::

        sum_i (2 i - N - 1) m_i / (N sum_i m_i)

    NaN (undefined) for an all-zero mask.
    """
    import torch

    # Sorted in its own precision, which is faster; summed in float64, as there are 2e5 cells.
    ordered = _ascending(_magnitudes(mask)).double()
    n = ordered.shape[1]
    weights = torch.arange(1 - n, n, 2, dtype=torch.float64, device=mask.device)
    gini = (ordered @ weights) / (n * ordered.sum(dim=1))
    return gini.clamp(min=0)  # rounding may give -1e-17; NaN stays NaN


def complexity(mask: Tensor) -> Tensor:
    """COMP: entropy, in nats, of |M| / sum |M|, from 0 (a single cell) to log N (all equal).

    Empty cells add nothing (0 log 0 = 0). NaN (undefined) for an all-zero mask.
    """
    import torch

    magnitudes = _magnitudes(mask).double()
    share = magnitudes / magnitudes.sum(dim=1, keepdim=True)
    return torch.special.entr(share).sum(dim=1)


def mask_mean(mask: Tensor) -> Tensor:
    """MM: mean of M, the share of the map that the explanation keeps."""
    return _flat(mask).double().mean(dim=1)


def _ascending(values: Tensor) -> Tensor:
    """[B, N], each row sorted."""
    import numpy as np
    import torch

    if values.device.type != "cpu" or values.dtype not in (torch.float32, torch.float64):
        return values.sort(dim=1).values
    # Much faster than the sort of torch, where there are vector instructions for it.
    return torch.from_numpy(np.sort(values.detach().numpy(), axis=1))


def _magnitudes(mask: Tensor) -> Tensor:
    return _flat(mask).abs()


def _flat(mask: Tensor) -> Tensor:
    """[B, ...] -> [B, N], of a dtype that has abs and sort (bool has not)."""
    if mask.ndim < 2 or 0 in mask.shape[1:]:
        raise ValueError(f"Masks must be [B, ...] with at least one cell, got {[*mask.shape]}.")
    mask = mask.flatten(1)
    return mask if mask.is_floating_point() else mask.float()
