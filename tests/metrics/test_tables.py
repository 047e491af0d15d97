"""Tables: every cell where it belongs, bold only for the best that is ranked."""

import math
import os

import pandas as pd
import pytest

from lmac.io.files import write_csv, write_text
from metrics.latex import to_latex
from metrics.tables import to_markdown

LABEL = "published (ESC-50, other classifier)"


def line(method, n=400, scenario="mixtures", domain="stft", **means):
    """A row of a summary; a metric is its mean, or (mean, number of undefined)."""
    row = {"scenario": scenario, "domain": domain, "method": method, "n": n}
    for name, value in means.items():
        mean, undefined = value if isinstance(value, tuple) else (value, 0)
        low, high = mean - 0.01, mean + 0.02
        row |= {name: mean, f"{name} lo": low, f"{name} hi": high, f"{name} undefined": undefined}
    return row


def summary() -> pd.DataFrame:
    return pd.DataFrame(
        [
            line("Saliency", AI=1.5, AD=80.0, SPS=(0.76, 3), MM=0.0164),
            line("L-MAC", AI=60.5, AD=5.0, SPS=0.94, MM=0.06),
            line("All-ones", AI=0.0, AD=0.0, SPS=(0.99, 0), MM=1.0),
            line("Oracle", AI=99.0, AD=1.0, SPS=0.98, MM=0.5),
        ]
    )


def cells(text: str, method: str, which: int = 0) -> list[str]:
    found = [x for x in text.splitlines() if x.startswith(f"| {method} |")]
    return [cell.strip() for cell in found[which].strip("|").split(" | ")]


def reference() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "scenario": ["mixtures", "mixtures", "mixtures", "white noise"],
            "domain": ["stft", "mel", "stft", "stft"],
            "method": ["L-MAC", "L-MAC mel", "All-ones", "L-MAC noise"],
            "AI": [99.9, 60.25, 0, 83.62],
            "AD": [0.82, 4.84, 0, 1.5],
            "SPS": [0.125, 0.9, math.nan, 0.92],
        }
    )


def test_the_whole_table():
    expected = """\
Fold 4, 400 clips.

**mixtures, stft**

| method | n | AI ↑ | AD ↓ | SPS ↑ | MM |
| --- | ---: | ---: | ---: | ---: | ---: |
| Saliency | 400 | 1.50 [1.49, 1.52] | 80.00 [79.99, 80.02] | 0.76 [0.75, 0.78] | 0.016 [0.006, 0.036] |
| L-MAC | 400 | **60.50** [60.49, 60.52] | **5.00** [4.99, 5.02] | **0.94** [0.93, 0.96] | 0.060 [0.050, 0.080] |
| All-ones | 400 | 0.00 [-0.01, 0.02] | 0.00 [-0.01, 0.02] | n/a | 1.000 [0.990, 1.020] |
| Oracle | 400 | 99.00 [98.99, 99.02] | 1.00 [0.99, 1.02] | 0.98 [0.97, 1.00] | 0.500 [0.490, 0.520] |

Undefined, and left out of the mean: SPS: Saliency 3 of 400.

Mean [95 % bootstrap interval of the mean]; ↑ higher is better, ↓ lower is better. \
Not ranked: All-ones, Oracle.
"""  # noqa: E501
    assert to_markdown(summary(), caption="Fold 4, 400 clips.") == expected


def test_everything_at_once():
    """Two blocks; headings, footnotes, published rows and further columns where they belong."""
    table = pd.DataFrame(
        [line(m, domain=d, n=4, AI=50.0) for d in ("stft", "mel") for m in ("Random", "a")]
    )
    table["s/clip"] = 0.5
    expected = """\
One.

Two.

**mixtures, stft**

Higher.

| method | n | AI ↑ | s/clip |
| --- | ---: | ---: | ---: |
| Random | 4 | 50.00 [49.99, 50.02] | 0.5 |
| a | 4 | 50.00 [49.99, 50.02] | 0.5 |
| L-MAC, theirs |  | 99.9 |  |
| All-ones, theirs |  | 0 |  |

**mixtures, mel**

| method | n | AI ↑ | s/clip |
| --- | ---: | ---: | ---: |
| Random | 4 | 50.00 [49.99, 50.02] | 0.5 |
| a | 4 | 50.00 [49.99, 50.02] | 0.5 |
| L-MAC mel, theirs |  | 60.25 |  |

Lower.

Still lower.

Mean [95 % bootstrap interval of the mean]; ↑ higher is better, ↓ lower is better. \
Not ranked: Random. Rows that say "theirs" are copied from the publication; its AD applies \
softmax twice and compares with "AD (published)" only.
"""
    found = to_markdown(
        table, caption=["One.", "Two."], reference=reference(), reference_label="theirs",
        above={("mixtures", "stft"): "Higher."},
        below={("mixtures", "mel"): ["Lower.", "Still lower."]},
    )  # fmt: skip
    assert found == expected


def test_a_table_without_anything_to_say():
    table = pd.DataFrame([line("a", AI=1.0), line("b", AI=2.0)])
    legend = "Mean [95 % bootstrap interval of the mean]; ↑ higher is better, ↓ lower is better.\n"
    assert to_markdown(table).endswith(" |\n\n" + legend)


def test_csv_has_ten_digits_and_makes_its_folders(tmp_path):
    path = tmp_path / "new" / "newer" / "summary.csv"
    write_csv(pd.DataFrame({"AI": [1 / 3]}), path)
    assert path.read_text() == "AI\n0.3333333333\n"


def test_bold_follows_the_ranked_methods():
    text = to_markdown(summary(), not_ranked=())
    assert cells(text, "Oracle")[2].startswith("**99.00** [")
    assert cells(text, "All-ones")[3].startswith("**0.00** [")
    assert "**" not in "".join(cells(text, "L-MAC"))
    assert "Not ranked" not in text
    # An unranked method that equals the best stays plain.
    equal = to_markdown(pd.concat([summary(), pd.DataFrame([line("Random", AI=60.5)])]), ["AI"])
    assert cells(equal, "Random")[2].startswith("60.50 [")
    assert cells(equal, "L-MAC")[2].startswith("**60.50** [")
    # A cell that does not apply is no competitor either.
    text = to_markdown(summary(), not_ranked=(), not_applicable={"Oracle": ["SPS"]})
    assert cells(text, "Oracle")[4] == "n/a"
    assert cells(text, "All-ones")[4].startswith("**0.99**")
    text = to_markdown(summary(), not_ranked=(), not_applicable={"All-ones": ["SPS"]})
    assert cells(text, "Oracle")[4].startswith("**0.98**")


def test_what_looks_equal_is_equally_bold_and_one_method_alone_is_not():
    table = pd.DataFrame([line("a", AI=60.501), line("b", AI=60.499), line("c", AI=60.49)])
    text = to_markdown(table)
    assert [cells(text, m)[2].startswith("**60.50**") for m in "abc"] == [True, True, False]
    assert "**60" not in to_markdown(table.iloc[:1])


def test_undefined_everywhere_is_an_empty_cell_that_cannot_win():
    nothing = line("a", FF=0.5, COMP=(math.nan, 400))
    table = pd.DataFrame([nothing, line("b", FF=0.4, COMP=3.0), line("c", FF=0.3, COMP=(2.0, 7))])
    text = to_markdown(table)
    assert cells(text, "a")[3] == ""
    assert cells(text, "c")[3].startswith("**2.00**")
    assert "left out of the mean: COMP: a 400 of 400, c 7 of 400.\n" in text
    assert "Undefined" not in to_markdown(table, ["FF"])


def test_what_does_not_apply_is_not_counted_as_undefined():
    table = pd.DataFrame([line("All-ones", SPS=(math.nan, 400)), line("a", SPS=0.5)])
    assert "Undefined" not in to_markdown(table)


def test_a_mean_without_interval_and_a_negative_zero():
    table = pd.DataFrame([line("a", FF=-0.001), line("b", FF=0.25)])
    table.loc[0, ["FF lo", "FF hi"]] = math.nan
    assert cells(to_markdown(table), "a")[2] == "0.00"


def test_each_scenario_and_domain_has_its_own_table_and_best():
    table = pd.DataFrame(
        [
            line("a", AI=1.0),
            line("b", AI=2.0),
            line("a", domain="mel", AI=9.0),
            line("b", domain="mel", AI=3.0),
        ]
    )
    text = to_markdown(table)
    assert text.index("**mixtures, stft**") < text.index("**mixtures, mel**")
    assert cells(text, "b", 0)[2].startswith("**2.00**")
    assert cells(text, "a", 1)[2].startswith("**9.00**")
    assert text.count("**1.00**") == text.count("**3.00**") == 0


def test_a_summary_by_method_alone_has_no_heading():
    text = to_markdown(summary().drop(columns=["scenario", "domain"]), ["AI"])
    assert text.startswith("| method | n | AI ↑ |\n")


def test_published_rows_are_labelled_never_bold_and_only_where_they_belong():
    text = to_markdown(summary(), ["AI", "SPS"], reference=reference())
    row = cells(text, f"L-MAC, {LABEL}")
    assert row == [f"L-MAC, {LABEL}", "", "99.9", "0.125"]
    assert cells(text, f"All-ones, {LABEL}")[2:] == ["0", "n/a"]
    assert cells(text, "L-MAC")[2].startswith("**60.50**")
    assert text.index("| Oracle |") < text.index(f"| L-MAC, {LABEL} |")
    assert "L-MAC mel" not in text and "L-MAC noise" not in text


def test_published_cells_read_as_text_are_printed_as_text():
    as_text = reference().assign(AI=["9.90", "60.25", "0", "83.62"])
    text = to_markdown(summary(), ["AI"], reference=as_text)
    assert cells(text, f"L-MAC, {LABEL}")[2] == "9.90"


def test_published_drop_is_never_printed_as_drop():
    table = pd.DataFrame([line(m, AD=5.0, **{"AD (published)": 3.0}) for m in "ab"])
    text = to_markdown(table, ["AD", "AD (published)"], reference=reference())
    assert cells(text, f"L-MAC, {LABEL}")[2:] == ["", "0.82"]
    assert 'compares with "AD (published)" only' in text
    assert "softmax" not in to_markdown(table)


def test_a_reference_that_fits_nowhere_is_refused():
    with pytest.raises(ValueError, match="No published row agrees.*scenario and domain"):
        to_markdown(summary().assign(scenario="OOD mixtures"), reference=reference())


def test_extra_columns_appear_when_there_are_any():
    text = to_markdown(summary().assign(**{"s/clip": [0.012345, 2.0, math.nan, 1.0]}), ["AI"])
    assert cells(text, "method")[-1] == "s/clip"
    assert cells(text, "Saliency")[-1] == "0.0123"
    assert cells(text, "All-ones")[-1] == ""
    assert "s/clip" not in to_markdown(summary(), ["AI"])


def test_further_columns_are_those_asked_for():
    table = summary().assign(**{"s/clip": 2.0, "minutes": 3.0})
    assert cells(to_markdown(table, ["AI"], extra_columns=["minutes"]), "method")[3:] == ["minutes"]
    assert cells(to_markdown(table, ["AI"], extra_columns=[]), "method")[3:] == []
    latex = to_latex(table, "c", "l", metric_names=["AI"], extra_columns=["minutes"])
    assert r"$\uparrow$ & minutes \\" in latex


def test_rows_without_a_domain_are_printed():
    table = pd.DataFrame([line("a", AI=1.0), line("a", domain=None, AI=2.0)])
    assert len([x for x in to_markdown(table).splitlines() if x.startswith("| a |")]) == 2


def test_several_metrics_with_undefined_values():
    table = pd.DataFrame([line("a", SPS=(0.5, 2), COMP=(1.0, 3))])
    assert "mean: SPS: a 2 of 400; COMP: a 3 of 400.\n" in to_markdown(table)
    ones = pd.DataFrame([line("All-ones", SPS=0.0, COMP=9.0)])
    assert cells(to_markdown(ones), "All-ones")[2:] == ["n/a", "n/a"]


def test_a_bar_in_a_name_does_not_make_a_column():
    table = pd.DataFrame([line("a|b", AI=1.0)])
    assert "| a\\|b | 400 |" in to_markdown(table)


def test_refuses_unknown_metrics_and_missing_columns():
    with pytest.raises(ValueError, match="Unknown metric 'Sparsity'; the metrics are 'AI', 'AD'"):
        to_markdown(summary(), ["AI", "Sparsity"])
    with pytest.raises(ValueError, match="lacks the columns 'COMP', 'COMP lo', 'COMP hi'"):
        to_markdown(summary(), ["COMP"])
    with pytest.raises(ValueError, match="lacks the columns 'method', 'n'"):
        to_markdown(summary().drop(columns=["method", "n"]))


def test_csv_comes_back_as_it_was(tmp_path):
    path = tmp_path / "new folder" / "summary.csv"
    table = summary()
    table.loc[0, "SPS"] = math.nan
    write_csv(table, path)
    pd.testing.assert_frame_equal(pd.read_csv(path), table, rtol=1e-9, check_dtype=False)
    assert "nan" not in path.read_text().lower()
    assert [file.name for file in path.parent.iterdir()] == ["summary.csv"]


def test_who_reads_while_it_is_written_reads_all_of_the_old_file(tmp_path):
    path = tmp_path / "table.md"
    write_text("old", path)
    with path.open() as reader:
        write_text("new and longer", path)
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_text("before ↑\n", path)

    def fail(*_):
        raise OSError(28, "disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="table.csv cannot be written .disk full"):
        write_csv(summary(), path)
    assert path.read_text(encoding="utf-8") == "before ↑\n"
    assert list(tmp_path.iterdir()) == [path]
