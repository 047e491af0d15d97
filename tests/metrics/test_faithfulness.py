"""AI, AD, AG, FF, Fid-In: hand-worked values, the limits of each definition, wrong input."""

import math

import pytest
import torch

from metrics.faithfulness import (
    average_drop,
    average_gain,
    average_increase,
    double_softmax,
    faithfulness,
    fidelity_in,
)

CAP = 100 * (1 - 1 / math.e)


def tensor(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


# p, p_in -> AI, AD, AG
HAND_WORKED = [
    (0.5, 0.75, 100, 0, 50),
    (0.5, 0.25, 0, 50, 0),
    (0.5, 0.5, 0, 0, 0),
    (0.8, 0.0, 0, 100, 0),
    (0.2, 1.0, 100, 0, 100),
    (1.0, 0.6, 0, 40, 0),
    (1.0, 1.0, 0, 0, 0),
    (0.0, 0.0, 0, 0, 0),
    (0.0, 0.3, 100, 0, 30),
]


@pytest.mark.parametrize(("p", "p_in", "ai", "ad", "ag"), HAND_WORKED)
def test_hand_worked(p, p_in, ai, ad, ag):
    p, p_in = tensor(p), tensor(p_in)
    assert average_increase(p, p_in).item() == ai
    assert average_drop(p, p_in).item() == pytest.approx(ad)
    assert average_gain(p, p_in).item() == pytest.approx(ag)


def test_batches_are_scored_clip_by_clip():
    p, p_in = tensor(*[row[0] for row in HAND_WORKED]), tensor(*[row[1] for row in HAND_WORKED])
    for function, column in ((average_increase, 2), (average_drop, 3), (average_gain, 4)):
        expected = tensor(*[float(row[column]) for row in HAND_WORKED])
        torch.testing.assert_close(function(p, p_in), expected)


@pytest.mark.parametrize("metric", [average_increase, average_drop, average_gain])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_mask_that_changes_nothing_scores_exactly_zero(metric, dtype):
    p = torch.cat([torch.rand(500, generator=torch.manual_seed(0)), tensor(0.0, 1.0)]).to(dtype)
    assert torch.equal(metric(p, p.clone()), torch.zeros(502, dtype=torch.float64))


def test_gain_stays_finite_next_to_saturation():
    below_one = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
    assert below_one < 1
    gain = average_gain(torch.stack([below_one, torch.tensor(1.0)]), torch.ones(2))
    assert gain.tolist() == [100.0, 0.0]


def test_rounding_above_one_is_taken_for_one():
    above = tensor(1 + 1e-7)
    assert average_gain(tensor(1 - 1e-9), above).item() == pytest.approx(100)
    assert average_gain(above, above).item() == 0
    assert average_increase(tensor(1.0), above).item() == 0


def test_rounding_below_zero_is_taken_for_zero():
    below = tensor(-1e-7)
    assert average_drop(tensor(0.5), below).item() == 100
    assert average_drop(below, below).item() == 0
    assert faithfulness(tensor(0.5), below).item() == 0.5
    # The very limits are rounding, too.
    assert faithfulness(tensor(1 + 1e-6), tensor(-1e-6)).item() == 1


@pytest.mark.parametrize("wrong", [-1e-5, 1 + 1e-5, 1.5])
def test_more_than_rounding_is_refused(wrong):
    with pytest.raises(ValueError, match="give softmax outputs"):
        faithfulness(tensor(0.5), tensor(wrong))


def test_small_probabilities_are_compared_in_float64():
    p = torch.tensor([1e-6, 0.3], dtype=torch.float32)
    drop = average_drop(p, p / 4)
    assert drop.dtype == torch.float64
    torch.testing.assert_close(drop, tensor(75.0, 75.0))


def test_faithfulness_is_signed():
    torch.testing.assert_close(faithfulness(tensor(0.9, 0.2), tensor(0.3, 0.6)), tensor(0.6, -0.4))


def test_fidelity_compares_the_decision_with_the_target_not_its_confidence():
    probs = tensor(0.4, 0.35, 0.25).expand(3, 3)
    assert fidelity_in(probs, torch.tensor([0, 1, 2])).tolist() == [1, 0, 0]


def test_fidelity_takes_the_first_of_tied_classes():
    probs = torch.full((2, 4), 0.25)
    assert fidelity_in(probs, torch.tensor([0, 3])).tolist() == [1, 0]


def test_fidelity_decides_clip_by_clip():
    """The largest of the whole batch stands in the second clip."""
    probs = tensor(0.6, 0.4, 0.1, 0.9).view(2, 2)
    assert fidelity_in(probs, torch.tensor([0, 1])).tolist() == [1, 1]


def test_double_softmax_by_hand():
    probs = tensor(0.7, 0.2, 0.1).expand(2, 3)
    total = math.exp(0.7) + math.exp(0.2) + math.exp(0.1)
    expected = tensor(math.exp(0.7) / total, math.exp(0.1) / total)
    torch.testing.assert_close(double_softmax(probs, torch.tensor([0, 2])), expected)


@pytest.mark.parametrize("n_classes", [2, 10, 50])
def test_published_drop_is_capped_where_the_definition_is_not(n_classes):
    generator = torch.manual_seed(n_classes)
    sharpness = torch.logspace(-1, 2, 400, dtype=torch.float64)[:, None]
    noise = torch.randn(2, 400, n_classes, generator=generator, dtype=torch.float64)
    probs, probs_in = (sharpness * noise).softmax(-1)
    target = probs.argmax(1)
    # The worst case: from certainty in the target to certainty in another class.
    probs[0], probs_in[0] = torch.eye(n_classes, dtype=torch.float64)[:2]
    target[0] = 0

    published = average_drop(double_softmax(probs, target), double_softmax(probs_in, target))
    assert published.max() <= CAP + 1e-9
    assert published[0].item() == pytest.approx(CAP)
    rows = torch.arange(400)
    plain = average_drop(probs[rows, target], probs_in[rows, target])
    assert plain[0] == 100
    assert (plain > CAP).sum() > 50


@pytest.mark.parametrize("metric", [average_increase, average_drop, average_gain, faithfulness])
def test_refuses_what_is_not_a_probability(metric):
    with pytest.raises(ValueError, match=r"one shape, got \[\(2,\), \(2, 1\)\]"):
        metric(torch.rand(2), torch.rand(2, 1))
    with pytest.raises(ValueError, match="found 3.5; give softmax outputs"):
        metric(tensor(0.5, 0.5), tensor(0.5, 3.5))
    with pytest.raises(ValueError, match="found nan"):
        metric(tensor(0.5, math.nan), tensor(0.5, 0.5))


def test_classwise_functions_refuse_logits():
    logits, target = tensor(-2.0, 3.0)[None], torch.tensor([1])
    for function in (fidelity_in, double_softmax):
        with pytest.raises(ValueError, match="found -2; give softmax outputs"):
            function(logits, target)
