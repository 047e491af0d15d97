"""Accuracy on held-out classes, against counting by hand."""

import numpy as np
import pandas as pd
import pytest

from lmac.evaluation.checks.held_out import report, rows_of, spread

LABELS = ["dog", "rain", "siren", "saw"]


def test_accuracy_among_the_held_out_and_among_all_by_hand():
    clips = pd.DataFrame(
        {
            "label": ["siren", "siren", "saw", "saw", "saw"],
            "source": ["a", "a", "b", "c", "d"],
            "dataset": ["one", "one", "two", "two", "two"],
        }
    )
    scores = np.array(
        [
            [0.9, 0.0, 0.8, 0.1],  # a siren among the two, a dog among all
            [0.0, 0.0, 0.1, 0.2],  # a saw
            [0.0, 0.0, 0.1, 0.2],  # a saw
            [0.3, 0.0, 0.1, 0.2],  # a saw among the two, a dog among all
            [0.0, 0.5, 0.7, 0.2],  # a siren
        ]
    )
    rows = pd.DataFrame(rows_of(clips, scores, "zero-shot", LABELS, ["siren", "saw"], 50))
    found = rows.set_index(["clips of", "among"])
    expected = {
        ("one", "held-out classes"): (1, 2, 1, 100.0),  # its only one
        ("one", "all classes"): (4, 2, 1, 0.0),
        ("two", "held-out classes"): (1, 3, 3, 100.0),
        ("two", "all classes"): (4, 3, 3, 100 / 3),
        ("both", "held-out classes"): (2, 5, 4, 60.0),
        ("both", "all classes"): (4, 5, 4, 20.0),
    }
    for key, (classes, n, recordings, accuracy) in expected.items():
        row = found.loc[key]
        assert (row["classes"], row["clips"], row["recordings"]) == (classes, n, recordings), key
        assert row["accuracy"] == pytest.approx(accuracy) and row["chance"] == 100 / classes
    assert found.loc[("both", "held-out classes"), "accuracy lo"] < 60
    text = report(rows, "About.")
    assert "| both | zero-shot | held-out classes | 2 | 5 | 4 | 50.0 | 60.0 [" in text


def test_clips_are_spread_over_those_of_a_class():
    clips = pd.DataFrame({"label": ["a"] * 6 + ["b"] * 2, "fold": [1, 1, 2, 2, 3, 3, 1, 2]})
    assert spread(clips, None) is clips
    found = spread(clips, 3)
    assert found["label"].tolist() == ["a"] * 3 + ["b"] * 2
    assert found["fold"].tolist() == [1, 2, 3, 1, 2]
