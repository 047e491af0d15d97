"""Measures of masks against a planted cue, worked by hand."""

import math

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from metrics.planted import cue_cells, detection, gain, kept, pointing, snr_gain


def log1p(rows):
    return torch.tensor([rows], dtype=torch.float64).log1p()


CUE = log1p([[10.0, 5.0, 1.0], [0.0, 0.4, 0.2]])
BACKGROUND = log1p([[1.0, 6.0, 0.5], [3.0, 0.1, 0.1]])
CELLS = torch.tensor([[[True, False, True], [False, True, False]]])


def test_the_cue_s_cells_are_louder_than_the_background_and_not_30_db_down():
    # 10 / 10^1.5 = 0.316: 0.4 counts, and 0.2 does not.
    assert torch.equal(cue_cells(CUE, BACKGROUND), CELLS)


def test_auc_and_ap_by_hand():
    mask = torch.tensor([[[0.9, 0.8, 0.7], [0.1, 0.3, 0.5]]])
    found = detection(mask, CELLS)
    # Of 3 x 3 pairs (0.9, 0.7, 0.3 against 0.8, 0.1, 0.5) 3 + 2 + 1 are in order.
    assert found["AUC"].item() == pytest.approx(6 / 9)
    assert found["AP"].item() == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)


def test_as_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(3, 20, 30, generator=generator)
    mask[1] = (5 * mask[1]).round() / 5  # many ties
    mask[2] = (mask[2] - 0.7).clamp_min(0)
    cells = torch.rand(3, 20, 30, generator=generator) < 0.1
    found = detection(mask, cells)
    for i in range(3):
        truth, scores = cells[i].flatten().numpy(), mask[i].flatten().numpy()
        assert found["AUC"][i].item() == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
        expected = average_precision_score(truth, scores)
        assert found["AP"][i].item() == pytest.approx(expected, abs=1e-12)


def test_ties_count_half_and_a_flat_mask_is_chance():
    flat = detection(torch.full((1, 2, 3), 0.5), CELLS)
    assert flat["AUC"].item() == 0.5 and flat["AP"].item() == pytest.approx(0.5)
    signed = torch.tensor([[[0.9, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    assert detection(signed, CELLS)["AUC"].item() == pytest.approx((3 + 1.5 + 1.5) / 9)


def test_a_clip_without_a_cue_is_undefined():
    found = detection(torch.rand(2, 2, 3), torch.zeros(2, 2, 3, dtype=torch.bool))
    assert all(math.isnan(v) for values in found.values() for v in values)


def test_what_is_kept_by_hand():
    X = log1p([[11.0, 11.0, 1.5], [3.0, 0.5, 0.3]])
    gained = gain(torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 1.0]]]), X)
    half = (math.sqrt(2.5) - 1) / 1.5  # of the log of 1 + magnitude
    expected = torch.tensor([[[1, 0, half], [0, 1, 1]]], dtype=torch.float64)
    torch.testing.assert_close(gained, expected)
    whole = 10**2 + 5**2 + 1 + 0.4**2 + 0.2**2
    cue = 10**2 + half**2 + 0.4**2 + 0.2**2
    assert kept(gained, CUE).item() == pytest.approx(cue / whole)
    noise = 1 + (0.5 * half) ** 2 + 0.1**2 + 0.1**2
    other = 1 + 6**2 + 0.5**2 + 3**2 + 0.1**2 + 0.1**2
    expected = 10 * math.log10(cue / noise * other / whole)
    assert snr_gain(gained, CUE, BACKGROUND).item() == pytest.approx(expected)


def test_all_ones_keeps_everything_and_gains_nothing():
    ones = gain(torch.ones(1, 2, 3), log1p([[11.0, 11.0, 1.5], [3.0, 0.5, 0.3]]))
    assert kept(ones, CUE).item() == pytest.approx(1)
    assert snr_gain(ones, CUE, BACKGROUND).item() == pytest.approx(0)


def test_silence_is_undefined():
    ones = torch.ones(1, 2, 3, dtype=torch.float64)
    for cue, background in ((CUE, 0 * CUE), (0 * CUE, CUE), (CUE, CUE * 1e-7)):
        assert snr_gain(ones, cue, background).isnan().all()
    assert snr_gain(0 * ones, CUE, BACKGROUND).isnan().all()
    assert kept(ones, 0 * CUE).isnan().all()


def test_pointing():
    mask = torch.zeros(2, 2, 3)
    mask[0, 0, 2] = mask[1, 1, 0] = 1
    assert pointing(mask, CELLS.expand(2, -1, -1)).tolist() == [1, 0]
