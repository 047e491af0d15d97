"""The page of results: its tables are those of the CSV files, and say who leads."""

import pandas as pd
import pytest

import benchmarks.leads
from benchmarks.leads import (
    METRIC_NAMES,
    OURS,
    PAGE,
    best_baseline,
    convinces,
    leads,
    summaries,
    table,
    transfer,
    with_tables,
    wrong_decisions,
)  # fmt: skip


def test_the_page_is_up_to_date():
    """Otherwise: python -m benchmarks.leads, and read the text again."""
    text, found = PAGE.read_text(encoding="utf-8"), summaries()
    assert with_tables(text, found) == text
    assert len(found) >= 14 and all("L-MAC" in summary.index for summary in found.values())
    altered = text.replace("| **", "| **1", 1)
    assert altered != text and with_tables(altered, found) == text


def test_who_leads():
    """Bounds and controls are no rivals; a tie is no lead; of AD the lowest is best."""
    summary = pd.DataFrame(
        {"AI": [50.0, 60, 54, 55, 99], "AD": [5.0, 4, 6, 5, 0], "AG": [1.0, 2, 3.5, 3, 9],
         "FF": [0.5, 0.5, 0.5, 0.5, 0.9], "Fid-In": [0.9, 0.8, 0.85, 0.85, 1.0]},
        index=[*OURS, "GradCAM", "All-ones"],
    )  # fmt: skip
    assert best_baseline(summary, "AD") == "GradCAM"
    led = {(m, name) for m in OURS for name in summary if leads(summary, m, name)}
    assert led == {
        ("L-MAC FT", "AI"), ("L-MAC FT", "AD"), ("L-MAC", "Fid-In"), ("L-MAC refined", "AG"),
    }  # fmt: skip
    tests = pd.DataFrame(
        {
            "metric": METRIC_NAMES,
            "method": "GradCAM",
            "significant": [True, True, True, True, False],
        }
    )
    summary.loc["L-MAC", "AI"] = 56.0
    (line,) = table({"ESC10/x": summary}, lambda name: tests)[2:]
    # A lead, a tie, none, a tie, and a lead that the paired test does not show.
    assert line.endswith(
        "| **56.00** (55.00) | 5.00 (5.00) | 1.00 (3.00) | 0.50 (0.50) | 0.90° (0.85) |"
    )


@pytest.mark.parametrize(
    ("kept", "random", "expected"),
    [(0.9, 0.4, True), (0.8, 0.4, True), (0.79, 0.4, False), (0.9, 0.91, False), (0.9, 0.9, True)],
)
def test_who_convinces_another_network(kept, random, expected):
    """At least as often as the best baseline (0.8), and as the same values in random cells; what
    the bounds and controls reach (All-ones 1.0) does not count."""
    audit = pd.DataFrame(
        {"Fid-In (x)": [kept, 0.8, 0.3, 1.0], "Fid-In random (x)": [random, 0.95, 0.1, 1.0]},
        index=["L-MAC", "GradCAM", "Saliency", "All-ones"],
    )
    assert convinces(audit, "L-MAC", "x") is expected


def test_rows_of_audits(tmp_path, monkeypatch):
    """Of networks that were asked; "y" shared all wrong decisions, and L-MAC FT was not audited."""
    monkeypatch.setattr(benchmarks.leads, "_file", lambda name, file: tmp_path / file)
    pd.DataFrame(
        {"method": ["L-MAC", "GradCAM"],
         "n (x)": [7, 7], "Fid-In (x)": [0.9, 0.8], "Fid-In random (x)": [0.4, 0.95],
         "n wrong decision (x)": [3, 3], "wrong decision (x)": [66.7, 33.3],
         "wrong decision random (x)": [0.0, 0],
         "n (y)": [5, 5], "Fid-In (y)": [0.7, 0.8], "Fid-In random (y)": [0.1, 0.1]},
    ).to_csv(tmp_path / "audit.csv", index=False)  # fmt: skip
    name = "ESC10/mixtures_stft"
    link = f"[{name}](../recipes/ESC10/results/mixtures_stft/audit.md)"
    assert transfer({name: None, "ESC10/speech_stft": None})[2:] == [
        f"| {link} | x | 7 | **0.90** (0.40) |  | 0.80 (0.95) |  |",
        f"| {link} | y | 5 | 0.70 (0.10) |  | 0.80 (0.10) |  |",
    ]
    assert wrong_decisions({name: None})[2:] == [f"| {link} | x | 3 | 67 (0) |  | 33 (0) |  |"]
