"""The audit's formulas, by hand."""

import pytest
import torch

from metrics.audit import (
    JITTERS,
    NOISY,
    QUIETER,
    SHIFTED,
    area_under,
    jittered,
    removal_steps,
    shuffled,
)


def amplitudes(*values):
    """X = log(1 + a) as a map [1, 1, F] in float64."""
    return torch.tensor([[values]], dtype=torch.float64).log1p()


def test_steps_of_equal_energy_in_the_order_of_the_mask():
    # Energies 1, 4, 4, 1 of 10; by the mask they come 4 (third), 1 (first), 1 (last), 4 (second).
    X, mask = amplitudes(1, 2, 2, 1), torch.tensor([[[0.8, 0.1, 0.9, 0.5]]])
    # Before them are 0, 4, 5 and 6 tenths of the energy: steps 1, 5, 6, 7 of ten.
    assert removal_steps(mask, X, [0]).tolist() == [[[5, 7, 1, 6]]]
    assert removal_steps(mask, X, [0], steps=2).tolist() == [[[1, 2, 1, 2]]]  # 0, 0.4, 0.5, 0.6
    # Without energy: each cell at once.
    assert set(removal_steps(mask, 0 * X, [0]).flatten().tolist()) == {1}


def test_every_step_removes_a_tenth_and_the_best_cells_go_first():
    generator = torch.Generator().manual_seed(3)
    X, mask = (torch.rand(2, 40, 50, generator=generator) for _ in range(2))
    steps, energy = removal_steps(mask, X, [1, 2]), torch.expm1(X.double()).square()
    for i in range(2):
        for k in range(1, 11):
            part = energy[i][steps[i] == k].sum() / energy[i].sum()
            assert float(part) == pytest.approx(0.1, abs=0.003)
            if k < 10:
                assert mask[i][steps[i] == k].min() >= mask[i][steps[i] == k + 1].max()


def test_equal_values_go_in_a_random_order_that_is_the_clips_own():
    X = torch.ones(3, 10, 10)
    steps = removal_steps(torch.ones_like(X), X, [5, 6, 5])
    assert torch.equal(steps[0], steps[2]) and not torch.equal(steps[0], steps[1])
    assert steps[0].flatten().bincount().tolist() == [0] + [10] * 10
    # Not the order of rows or columns.
    assert len(steps[0, 0].unique()) > 3 and len(steps[0, :, 0].unique()) > 3
    assert torch.equal(steps[1:2], removal_steps(torch.ones(1, 10, 10), X[:1], [6]))


def test_the_area_by_trapezoids():
    assert area_under(torch.tensor([[1.0, 0.5, 0.0]])).tolist() == [0.5]
    assert area_under(torch.tensor([[0.2, 0.6], [1.0, 1.0]])).tolist() == pytest.approx([0.4, 1.0])
    # 1 until the first of ten steps, then 0: half a step.
    assert area_under(torch.eye(1, 11)).item() == pytest.approx(0.05)


def test_shuffled_masks_have_their_own_values_elsewhere():
    mask = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(0))
    moved = shuffled(mask, [1, 2])
    for i in range(2):
        assert torch.equal(moved[i].flatten().sort().values, mask[i].flatten().sort().values)
        assert (moved[i] != mask[i]).float().mean() > 0.8
    assert torch.equal(moved[1:], shuffled(mask[1:], [2]))  # whatever the batch
    one, other = shuffled(mask[:1].expand(2, -1, -1), [4, 5])
    assert torch.equal(one, shuffled(mask[:1], [4])[0]) and not torch.equal(one, other)


def test_jitter_by_hand():
    sound = torch.sin(torch.arange(16000) / 7.0)[None].double()
    changed = jittered(sound, hop=186, seeds=[9])
    assert list(changed) == list(JITTERS)
    assert not changed[SHIFTED][0, :93].any()
    assert torch.equal(changed[SHIFTED][0, 93:], sound[0, :-93])
    torch.testing.assert_close(changed[QUIETER], sound * 0.501187, rtol=1e-5, atol=0)
    noise = changed[NOISY] - sound
    ratio = 10 * (sound.square().sum() / noise.square().sum()).log10()
    assert ratio.item() == pytest.approx(30, abs=1e-3)
    # White: as much in the lower half of the spectrum as in the upper.
    power = torch.fft.rfft(noise[0]).abs().square()
    assert (power[:4000].sum() / power[4000:].sum()).item() == pytest.approx(1, abs=0.1)
    silent = jittered(torch.zeros(1, 100), hop=10, seeds=[0])
    assert not any(value.any() for value in silent.values())
