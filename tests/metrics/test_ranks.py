"""Rank correlation against scipy's, and where it has no value."""

import math
import warnings

import pytest
import torch
from scipy.stats import spearmanr

from metrics.ranks import RANK_CORRELATION, rank_correlation


def test_agrees_with_scipy_with_and_without_ties():
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(4, 20, 30, generator=generator)
    second = first + 0.5 * torch.rand(4, 20, 30, generator=generator)
    second[1] = second[1].mul(4).round()  # many ties
    second[2] = -first[2]
    found = rank_correlation(first, second)
    assert found.dtype == torch.float64 and found.shape == (4,)
    for a, b, value in zip(first, second, found, strict=True):
        assert float(value) == pytest.approx(spearmanr(a.flatten(), b.flatten())[0], abs=1e-12)
    assert float(found[2]) == pytest.approx(-1)


def test_a_monotonic_change_keeps_the_ranks_exactly():
    mask = torch.rand(2, 50, 60)
    assert rank_correlation(mask, mask**3).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("cells", [2, 3, 17])
def test_equal_and_reversed_ranks_are_exactly_one_and_minus_one(cells):
    """In floating point the quotient is a little less for 3 cells, and more for 17."""
    mask = torch.arange(float(cells)).expand(2, cells)
    assert rank_correlation(mask, mask).tolist() == [1, 1]
    assert rank_correlation(mask, -mask).tolist() == pytest.approx([-1, -1])
    assert min(rank_correlation(mask, -mask)) >= -1
    one_of_both = torch.stack([mask[0], -mask[0]])
    assert rank_correlation(mask, one_of_both)[0] == 1


def test_worked_by_hand():
    # Ranks 1 2 3 and 2 1 3: 1 - 6 * (1 + 1 + 0) / (3 * 8) = 0.5.
    value = rank_correlation(torch.tensor([[0.1, 0.2, 0.9]]), torch.tensor([[5.0, 4.0, 7.0]]))
    assert float(value) == pytest.approx(0.5)


def test_a_constant_mask_has_no_ranks():
    mask = torch.rand(1, 3, 4)
    for pair in [(mask, torch.ones_like(mask)), (torch.zeros_like(mask), mask)]:
        assert math.isnan(rank_correlation(*pair))
    ones = torch.ones_like(mask)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # undefined, and nothing to be warned of
        assert math.isnan(rank_correlation(ones, ones))
        assert math.isnan(rank_correlation(mask, ones))


def test_the_column_that_the_committed_tables_have():
    assert RANK_CORRELATION == "rank correlation"


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        rank_correlation(torch.rand(1, 3), torch.rand(1, 4))
