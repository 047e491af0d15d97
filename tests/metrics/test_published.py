"""The published cells under our names, checked by hand against the file."""

import csv
import hashlib
from pathlib import Path

import pandas as pd
import pytest

from metrics.published import METHODS, quirks, read_published

FILE = Path(__file__).resolve().parents[2] / "metrics" / "published.csv"


# SHA-256 of the reference from which the table was copied, line ends aside.
COPIED = "f80adc499cfdbe9f471ef4e81339b25bf9be6f9e7be2abe03f06b18b937a3bca"


def checksum(text):
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


def block(table, domain):
    rows = read_published(FILE, table)
    return rows[rows["domain"] == domain]


def cell(scenario, domain, method, metric, table):
    rows = read_published(FILE, table)
    rows = rows[(rows["scenario"] == scenario) & (rows["domain"] == domain)]
    return rows[rows["method"] == method][metric].item()


def test_without_a_file_it_is_ours_wherever_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_published(None, "1").equals(read_published(FILE, "1"))


def test_cells_are_where_the_talk_has_them():
    assert cell("id", "stft", "L-MAC FT", "AI", 1) == "32.37"
    assert cell("id", "mel", "Guided GradCAM", "AG", 1) == "6.67"
    assert cell("id", "stft", "L2I", "COMP", 1) == "5.50"
    assert cell("mixtures", "stft", "L-MAC", "AD", 2) == "4.82"
    assert cell("mixtures", "mel", "L-MAC", "AI", "2") == "60.25"
    assert cell("white_noise", "stft", "L2I", "SPS", 3) == "36.62"
    assert cell("speech", "stft", "GradCAM", "MM", 4) == "0.22"
    assert cell("mixtures", "stft", "L2I", "AI", "SpeechBrain README") == "6.75"
    assert pd.isna(cell("speech", "stft", "All-ones", "SPS", 4))


def test_the_file_is_the_reference_to_the_letter():
    text = FILE.read_text(encoding="utf-8")
    assert checksum(text) == COPIED, "metrics/published.csv was changed"
    assert checksum(text.replace("32.37", "32.38")) != COPIED


def test_no_row_is_lost_and_no_cell_changed():
    with FILE.open(newline="") as file:
        printed = list(csv.DictReader(file))
    rows = read_published(FILE)
    assert len(rows) == len(printed) == 61
    for line, row in zip(printed, rows.to_dict("records"), strict=True):
        assert row["method"] == METHODS.get(line["method"], line["method"])
        for name in ("AI", "AD", "AG", "FF", "Fid-In", "SPS", "COMP", "MM", "accuracy"):
            assert ("" if pd.isna(row[name]) else row[name]) == line[name]
    assert not rows.duplicated(["table", "scenario", "domain", "method"]).any()
    assert set(rows["scenario"]) == {"id", "mixtures", "white_noise", "speech"}
    assert {"L2I", "L-MAC FT"} <= set(rows["method"])
    assert not {m for m in rows["method"] if "=" in m}


def test_one_table_is_its_rows_counted_anew():
    rows, two = read_published(FILE), read_published(FILE, 2)
    assert list(two.columns) == list(rows.columns)
    assert two.index.tolist() == list(range(len(two)))
    assert two.fillna("").values.tolist() == rows[rows["table"] == "2"].fillna("").values.tolist()


def test_footnotes_are_about_the_rows_that_are_shown():
    found = {key: " ".join(quirks(block(*key))) for key in
             [("1", "stft"), ("1", "mel"), ("2", "stft"), ("2", "mel"), ("3", "stft"),
              ("4", "stft")]}  # fmt: skip
    words = {
        "softmax": set(found),
        "compare ours with 2 ×": {("1", "stft"), ("1", "mel")},
        "AG 6.67": {("1", "mel")},
        "Fid-In 0.00": {("2", "stft")},
        "COMP 10.24": {("2", "mel")},
        "shifted": {("3", "stft")},
    }
    for word, where in words.items():
        assert {key for key, text in found.items() if word in text} == where, word
    without = block("3", "stft")
    assert "shifted" not in " ".join(quirks(without[without["method"] != "L2I"]))
    assert quirks(block("3", "mel")) == []


def test_the_quirks_are_in_the_numbers():
    """What the footnotes say of the published cells is true of them."""
    rows = read_published(FILE)
    numbers = rows.assign(**{c: pd.to_numeric(rows[c]) for c in ("AI", "AG", "SPS", "COMP")})
    assert set(numbers[numbers["AG"] > numbers["AI"]]["table"]) == {"1", "3"}
    mean = numbers[numbers["domain"] == "stft"].groupby("table")[["SPS", "COMP"]].mean()
    assert mean.loc["1", "SPS"] == pytest.approx(mean.loc["2", "SPS"] / 2, abs=0.02)
    assert mean.loc["1", "COMP"] == pytest.approx(mean.loc["2", "COMP"] / 2, abs=0.2)
    # To the printed digits; cut off or rounded, 1.625 is 1.62 or 1.63.
    eighths = 8 * numbers[numbers["table"] == "1"]["AI"]
    assert ((eighths - eighths.round()).abs() <= 8 * 0.0051).all()
    assert (numbers["SPS"] > 1).sum() == 1


def test_another_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no table 5: expected 1, 2, 3, 4, SpeechBrain"):
        read_published(FILE, 5)
    path = tmp_path / "p.csv"
    path.write_text("table,scenario,domain\n1,ESC50 mixtures,stft\n")
    with pytest.raises(ValueError, match="p.csv has no column method"):
        read_published(path)
    path.write_text("table,scenario,domain,method\n1,rain,stft,IG\n")
    with pytest.raises(ValueError, match="unknown scenario 'rain', expected ESC50 in-domain"):
        read_published(path)
