"""Tables over folds, cell by cell; means and deviations by hand are in tests/results/test_folds."""

import math

import pandas as pd

from metrics.repeats import over_repeats, to_markdown


def rows():
    return pd.DataFrame(
        {
            "fold": [1, 2],
            "test accuracy": [0.5, 0.75],
            "n clips": [80.0, 84.0],
            "AI": [10.0, math.nan],
            "COMP": [math.nan, math.nan],
        }
    )


def test_fold_by_fold_and_their_mean():
    expected = """\
| test fold | test accuracy | n clips | AI ↑ | COMP ↓ |
| --- | ---: | ---: | ---: | ---: |
| 1 | 0.500 | 80 | 10.00 |  |
| 2 | 0.750 | 84 |  |  |
| mean ± SD | 0.625 ± 0.177 | 82 ± 3 | 10.00 (1 fold) |  |"""
    assert to_markdown(rows(), over_repeats(rows(), []), []) == expected


def test_one_line_for_each_method_and_domain():
    table = pd.concat([rows().assign(method=m, domain="stft") for m in ("b", "a")])
    by = ["method", "domain"]
    expected = """\
| method | domain | test accuracy | n clips | AI ↑ | COMP ↓ |
| --- | --- | ---: | ---: | ---: | ---: |
| b | stft | 0.625 ± 0.177 | 82 ± 3 | 10.00 (1 fold) |  |
| a | stft | 0.625 ± 0.177 | 82 ± 3 | 10.00 (1 fold) |  |"""
    assert to_markdown(table, over_repeats(table, by), by) == expected


def test_what_does_not_apply_is_not_a_number():
    """A mask of ones has no sparseness, however it is averaged."""
    rows = pd.DataFrame(
        {"seed": [1, 2] * 2, "method": ["All-ones"] * 2 + ["IG"] * 2, "SPS": [0.0, 0, 0.25, 0.75]}
    )
    lines = to_markdown(rows, over_repeats(rows, ["method"], "seed"), ["method"], "seed")
    assert "| All-ones | n/a |" in lines and "| IG | 0.50 ± 0.35 |" in lines
