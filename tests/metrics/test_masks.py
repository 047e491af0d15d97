"""SPS, COMP, MM against Quantus, independent formulas and values worked by hand."""

import math

import numpy as np
import pytest
import torch

from metrics.masks import _ascending, complexity, mask_mean, sparseness

SHAPE = (4, 23, 37)


def masks(kind: str) -> torch.Tensor:
    generator = torch.manual_seed(0)
    uniform = torch.rand(SHAPE, generator=generator)
    return {
        "uniform": uniform,
        "peaked": uniform**8,
        "nearly binary": torch.sigmoid(30 * (uniform - 0.8)),
        "binary, ties": (uniform > 0.7).float(),
        "few levels, ties": (uniform * 5).round() / 5,
        "signed": uniform - 0.5,
        "mostly zero": uniform * (uniform > 0.9),
        "constant": torch.full(SHAPE, 0.3),
    }[kind]


KINDS = [
    "uniform", "peaked", "nearly binary", "binary, ties",
    "few levels, ties", "signed", "mostly zero", "constant",
]  # fmt: skip


def quantus_scores(name: str, mask: torch.Tensor) -> torch.Tensor:
    """One clip at a time, since Quantus normalises by the maximum of the batch."""
    quantus = pytest.importorskip("quantus")
    metric = getattr(quantus, name)(disable_warnings=True)
    scores = []
    for clip in mask.numpy()[:, None, None]:
        scores += metric(model=None, x_batch=clip, y_batch=None, a_batch=clip.copy())
    return torch.tensor(np.array(scores), dtype=torch.float64)


# Quantus refuses constant maps.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "constant"])
def test_agrees_with_quantus(kind):
    mask = masks(kind)
    tolerance = {"rtol": 0, "atol": 1e-4}
    torch.testing.assert_close(sparseness(mask), quantus_scores("Sparseness", mask), **tolerance)
    torch.testing.assert_close(complexity(mask), quantus_scores("Complexity", mask), **tolerance)


def test_departs_from_quantus_only_by_its_epsilon():
    """A single cell out of 1e5: sparseness is 1 - 1/N by definition, Quantus's 1e-7 says less."""
    n = 100_000
    mask = torch.zeros(1, n // 100, 100)
    mask[0, 500, 50] = 1
    assert sparseness(mask).item() == pytest.approx(1 - 1 / n, abs=1e-12)
    with_epsilon = sparseness(mask.double() + 1e-7)
    assert with_epsilon.item() < 0.991
    torch.testing.assert_close(with_epsilon, quantus_scores("Sparseness", mask), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_sparseness_is_the_mean_difference_of_all_pairs(kind):
    """Gini's own definition, which does not sort: sum |m_i - m_j| / (2 N sum m)."""
    mask = masks(kind).flatten(1).abs().double()
    pairs = torch.stack([(m[:, None] - m).abs().sum() for m in mask])
    expected = pairs / (2 * mask.shape[1] * mask.sum(1))
    torch.testing.assert_close(sparseness(masks(kind)), expected, rtol=0, atol=1e-9)


# mask, SPS, COMP
HAND_WORKED = [
    ([1, 0, 0, 0], 3 / 4, 0),
    ([0, 1, 0, 1], 1 / 2, math.log(2)),
    ([0.2, 0.2, 0.2, 0.2], 0, math.log(4)),
    ([1, 1, 1, 1], 0, math.log(4)),
    ([0.25, 0.75], 1 / 4, 0.75 * math.log(4 / 3) + 0.25 * math.log(4)),
    ([-3, 1, 0, 0], 5 / 8, 0.75 * math.log(4 / 3) + 0.25 * math.log(4)),
    ([0.5], 0, 0),
]


@pytest.mark.parametrize(("cells", "sps", "comp"), HAND_WORKED)
def test_hand_worked(cells, sps, comp):
    mask = torch.tensor([cells], dtype=torch.float64)
    assert sparseness(mask).item() == pytest.approx(sps, abs=1e-12)
    assert complexity(mask).item() == pytest.approx(comp, abs=1e-12)


def test_an_empty_mask_has_no_shape_and_leaves_its_neighbours_alone():
    mask = torch.stack([torch.zeros(3, 5), torch.ones(3, 5)])
    assert sparseness(mask).isnan().tolist() == [True, False]
    assert complexity(mask).isnan().tolist() == [True, False]
    assert mask_mean(mask).tolist() == [0, 1]


@pytest.mark.parametrize("score", [sparseness, complexity])
def test_a_clip_does_not_depend_on_its_batch_scale_or_order_of_cells(score):
    mask = masks("peaked")
    alone = torch.cat([score(clip[None]) for clip in mask])
    torch.testing.assert_close(score(mask), alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(score(mask * 1e-20), alone, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(score(mask.transpose(1, 2).flip(1)), alone, rtol=1e-9, atol=1e-9)


def test_a_full_sized_float32_map_keeps_float64_accuracy():
    mask = torch.rand(2, 431, 513, generator=torch.manual_seed(1)) ** 4
    cells = np.sort(mask.flatten(1).numpy().astype(np.float64), axis=1)
    n, total = cells.shape[1], cells.sum(1)
    lorenz = cells.cumsum(1).sum(1) / total
    share = cells / total[:, None]
    expected = {
        sparseness: (n + 1 - 2 * lorenz) / n,
        complexity: -(share * np.log(share, where=share > 0, out=np.zeros_like(share))).sum(1),
        mask_mean: total / n,
    }
    for score, values in expected.items():
        np.testing.assert_allclose(score(mask).numpy(), values, rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float16, torch.bfloat16])
def test_any_dtype_gives_float64(dtype):
    mask = masks("binary, ties")
    for score in (sparseness, complexity, mask_mean):
        result = score(mask.to(dtype))
        assert result.dtype == torch.float64
        torch.testing.assert_close(result, score(mask))


def test_mask_mean_by_hand():
    mask = torch.tensor([[[0.0, 0.5], [0.5, 1.0]], [[0.1, 0.1], [0.0, 0.0]]])
    torch.testing.assert_close(mask_mean(mask), torch.tensor([0.5, 0.05]).double())


def test_a_float64_mask_is_not_rounded():
    mask = torch.tensor([[1.0, 1 + 1e-9]], dtype=torch.float64)
    assert mask_mean(mask).item() == 1 + 5e-10
    assert sparseness(mask).item() == pytest.approx(2.5e-10, rel=1e-6)


def test_does_not_change_the_mask():
    mask = masks("signed")
    before = mask.clone()
    sparseness(mask), complexity(mask), mask_mean(mask)
    assert torch.equal(mask, before)


@pytest.mark.parametrize("score", [sparseness, complexity, mask_mean])
def test_refuses_masks_without_cells(score):
    with pytest.raises(ValueError, match=r"at least one cell, got \[2, 0, 5\]"):
        score(torch.zeros(2, 0, 5))
    with pytest.raises(ValueError, match=r"at least one cell, got \[7\]"):
        score(torch.ones(7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_masks_are_sorted_as_torch_sorts(dtype):
    values = torch.rand(3, 1001).to(dtype).requires_grad_(dtype != torch.float16)
    assert torch.equal(_ascending(values), values.sort(dim=1).values)
    assert _ascending(values).dtype == dtype
