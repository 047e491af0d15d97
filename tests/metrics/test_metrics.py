"""The dictionary of metrics: what it holds, what it refuses, and how it grows."""

import dataclasses
import math

import pandas as pd
import pytest
import torch

from metrics import METRICS, Metric, Outcome, checks, compute, get_metrics, paper_metrics
from metrics.summary import summarise
from metrics.tables import to_markdown

CHECKS = ["Fid-In (audio)", "distance to source", "SI-SDR (dB)"]
NAMES = ["AI", "AD", "AG", "FF", "Fid-In", "SPS", "COMP", "MM", "AD (published)"]


def outcome(**changes) -> Outcome:
    """Two clips, three classes; the first mask is half empty, the second altogether."""
    fields = {
        "probs": torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], dtype=torch.float64),
        "probs_in": torch.tensor([[0.6, 0.3, 0.1], [0.4, 0.4, 0.2]], dtype=torch.float64),
        "probs_out": torch.tensor([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64),
        "target": torch.tensor([0, 2]),
        "mask": torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]),
    }
    return Outcome(**fields | changes)


def test_every_metric_by_hand():
    def second_softmax(row, c):
        return math.exp(row[c]) / sum(map(math.exp, row))

    drop = 1 - second_softmax([0.4, 0.4, 0.2], 2) / second_softmax([0.1, 0.1, 0.8], 2)
    expected = {
        "AI": [100, 0],
        "AD": [0, 75],
        "AG": [20, 0],
        "FF": [0.4, 0],
        "Fid-In": [1, 0],
        "SPS": [0.5, math.nan],
        "COMP": [math.log(2), math.nan],
        "MM": [0.5, 0],
        "AD (published)": [0, 100 * drop],
    }
    scores = compute(outcome())
    assert list(scores) == paper_metrics() == NAMES
    for name, values in expected.items():
        torch.testing.assert_close(
            scores[name], torch.tensor(values, dtype=torch.float64), equal_nan=True
        )


def test_all_ones_changes_nothing_even_for_a_saturated_classifier():
    logits = torch.tensor([[30.0, 0, 0], [1, 2, 0], [0, 0, 200]])
    probs = logits.softmax(1)
    assert probs.max() == 1
    ones = Outcome(probs, probs.clone(), probs.clone(), probs.argmax(1), torch.ones(3, 4, 5))
    scores = compute(ones)
    for name in ("AI", "AD", "AG", "AD (published)", "FF"):
        assert scores[name].tolist() == [0, 0, 0], name
    assert scores["Fid-In"].tolist() == scores["MM"].tolist() == [1, 1, 1]


def test_names_select_and_order():
    assert list(compute(outcome(), ["MM", "AI"])) == ["MM", "AI"]
    assert list(get_metrics("SPS")) == ["SPS"]
    assert [m.name for m in get_metrics().values()] == NAMES + CHECKS
    assert checks() == CHECKS


def test_directions_and_decimals():
    directions = {name: metric.better for name, metric in METRICS.items()}
    assert [n for n in NAMES if directions[n] == "down"] == ["AD", "COMP", "AD (published)"]
    assert [n for n in NAMES if directions[n] is None] == ["MM"]
    assert [directions[n] for n in CHECKS] == ["up", "down", "up"]
    assert {n: m.decimals for n, m in METRICS.items() if m.decimals != 2} == {"MM": 3}


def test_checks_are_computed_where_the_outcome_has_what_they_need():
    """By hand: a tone and its half, and maps that differ by 3 and 4 in two of four cells."""
    audio = torch.tensor([[3.0, 0, 0, 0], [3, 4, 0, 0]])
    clean = torch.tensor([[1.0, 0, 0, 0], [3, 0, 0, 0]])
    more = {
        "masked": torch.zeros(2, 2, 2),
        "clean_X": torch.tensor([[[3.0, 4], [0, 0]], [[0, 0], [0, 2]]]),
        "probs_resynthesised": torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]).double(),
    }
    scores = compute(outcome(**more))
    assert list(scores) == [*NAMES, "Fid-In (audio)", "distance to source"]
    assert scores["Fid-In (audio)"].tolist() == [0, 1]
    assert scores["distance to source"].tolist() == [2.5, 1]
    scores = compute(outcome(**more, audio=audio, clean_audio=clean))
    assert list(scores) == NAMES + CHECKS
    # The second: 3 of the source, 4 of something else.
    expected = 10 * math.log10(9 / 16)
    assert scores["SI-SDR (dB)"][1].item() == pytest.approx(expected)
    assert scores["SI-SDR (dB)"][0] > 200
    with pytest.raises(ValueError, match="SI-SDR .dB. needs audio and clean_audio, which this"):
        compute(outcome(), ["SI-SDR (dB)"])


@pytest.mark.parametrize("field", ["masked", "clean_X", "audio", "clean_audio"])
def test_a_check_with_half_of_what_it_needs_is_left_out(field):
    assert list(compute(outcome(**{field: torch.ones(2, 2, 2)}))) == NAMES


def test_every_metric_says_what_it_is_in_a_sentence():
    for metric in METRICS.values():
        assert metric.about[0].isupper() and metric.about.endswith("."), metric.name
        assert metric.better in ("up", "down", None)


def test_an_unknown_metric_is_named_beside_the_valid_ones():
    with pytest.raises(ValueError) as error:
        compute(outcome(), ["AI", "Fidelity", "sps"])
    listed = ", ".join(repr(name) for name in NAMES + CHECKS)
    assert str(error.value) == f"Unknown metric 'Fidelity', 'sps'; the metrics are {listed}."


def test_a_new_metric_needs_one_entry(monkeypatch):
    monkeypatch.setitem(METRICS, "PIN", Metric("PIN", lambda o: o.p_in, "up", "p_in.", decimals=1))
    scores = compute(outcome())
    assert scores["PIN"].tolist() == [0.6, 0.2]
    rows = pd.DataFrame({name: values.numpy() for name, values in scores.items()})
    summary = summarise(rows.assign(method="here"), by="method", group_column=None)
    header, _, row = to_markdown(summary).splitlines()[:3]
    assert header.endswith("| PIN ↑ |")
    assert row.endswith("| 0.4 [0.2, 0.6] |")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probs_in": torch.rand(2, 4)}, r"must all be \[B, C\], got \[\[2, 3\], \[2, 4\]"),
        ({"probs_out": torch.rand(3, 3)}, r"must all be \[B, C\]"),
        ({"target": torch.tensor([[0], [2]])}, r"Expected 2 targets and masks.*\[2, 1\]"),
        ({"mask": torch.rand(3, 2, 2)}, r"Expected 2 targets and masks.*\[3, 2, 2\]"),
        ({"target": torch.tensor([0, 3])}, "Targets must be classes, 0 to 2"),
        ({"target": torch.tensor([-1, 0])}, "Targets must be classes, 0 to 2"),
        ({"mask": torch.full((2, 2, 2), math.nan)}, "NaN or infinite"),
        ({"mask": torch.full((2, 2, 2), math.inf)}, "NaN or infinite"),
    ],
)
def test_an_outcome_that_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        outcome(**change)


def test_scores_carry_no_gradient():
    mask = outcome().mask.requires_grad_()
    scores = compute(dataclasses.replace(outcome(), mask=mask))
    assert not any(values.requires_grad for values in scores.values())
