"""README and docs say what is so: numbers are those of the CSVs, and what they name exists."""

import re
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from lmac.commands import COMMANDS, SCRIPTS
from lmac.config import merge
from lmac.results.folder import EvaluationFolder
from metrics import METRICS
from metrics.tables import NOT_APPLICABLE, head

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "recipes").glob("*/README.md"))
RUN_OPTIONS = {"device", "precision"}  # SpeechBrain's own
MARK = re.compile(r"<!-- numbers: (\S+) -->\n((?:\|.*\n)+)")


def name(path):
    return str(path.relative_to(ROOT))


def table(text):
    """Rows of a Markdown table as lists of cells, without the rule."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in text.strip().splitlines()]  # fmt: skip
    return rows[0], rows[2:]


def wrong_numbers(heads, rows, summary):
    """Cells that are not those of ``summary``, rounded as they are printed."""
    summary = summary.set_index("method")
    for method, *cells in rows:
        for column, cell in zip(heads[1:], cells, strict=True):
            value = summary.loc[method, column.rstrip(" ↑↓")]
            if cell == "n/a":
                right = column.rstrip(" ↑↓") in NOT_APPLICABLE.get(method, ())
            else:
                decimals = len(cell.partition(".")[2])
                right = float(cell) == float(f"{value:.{decimals}f}")
            if not right:
                yield method, column, cell, value


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_marked_numbers_are_those_of_their_csv(path):
    for source, text in MARK.findall(path.read_text(encoding="utf-8")):
        wrong = list(wrong_numbers(*table(text), pd.read_csv(ROOT / source)))
        assert not wrong, f"{source}: {wrong}"


def test_the_readme_and_the_recipes_have_such_tables_and_a_wrong_number_is_found():
    marked = [p for p in PAGES if MARK.search(p.read_text(encoding="utf-8"))]
    assert ROOT / "README.md" in marked and len(marked) >= 4
    source, text = MARK.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    altered = text.replace("| 76.9 |", "| 77.0 |", 1)
    assert altered != text
    found = list(wrong_numbers(*table(altered), pd.read_csv(ROOT / source)))
    assert [(m, c) for m, c, _, _ in found] == [("L-MAC", "AI ↑")]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_table_of_results_is_marked(path):
    """No number of a metric stands in a table that nobody checks."""
    text = path.read_text(encoding="utf-8")
    for match in re.finditer(r"^\| method \|.*AI.*\n", text, re.M):
        before = text[: match.start()].rsplit("\n", 2)[-2]
        assert before.startswith("<!-- numbers: "), match.group()


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http", "#")):
            continue
        file = path.parent / target.partition("#")[0]
        assert file.exists(), target


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_files_and_keys_exist(path):
    text = path.read_text(encoding="utf-8")
    for command in re.findall(r"python -m lmac ([a-z]\w*)", text):
        assert command in COMMANDS, command
    for script in re.findall(r"python (\w+\.py)", text):
        assert script in SCRIPTS, script
    for yaml in re.findall(r"((?:hparams|recipes)/[\w/]+\.(?:yaml|sh))", text):
        assert (ROOT / yaml).is_file() or "birds" in yaml, yaml
    for key in re.findall(r"--(\w+)(?:=|\b)", text):
        assert key in known_keys() | {"key"}, key


@cache
def known_keys():
    files = [*(ROOT / "hparams").glob("*.yaml"), *(ROOT / "recipes").glob("*/*.yaml")]
    keys = {"clips", "scale", "output", "title", "ids", "figures", "folds", "stages", "valid_shift"}
    keys |= {"no", "deps", "decoder_conditioned", "decoder_reads_input", "help"} | RUN_OPTIONS
    for file in files:
        if not file.name.startswith("common") and "extends" in file.read_text(encoding="utf-8"):
            keys |= set(merge(file))
    for slot in ("classifiers", "datasets", "decoders"):
        for file in (ROOT / "hparams" / slot).glob("*.yaml"):
            keys |= set(re.findall(r"^(\w+):", file.read_text(encoding="utf-8"), re.M))
    return keys


def test_metrics_are_described_as_they_are_declared():
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    _, rows = table(re.search(r"<!-- metrics -->\n((?:\|.*\n)+)", text).group(1))
    declared = [[m.name, head(m.name).removeprefix(m.name).strip(), m.about]
                for m in METRICS.values()]  # fmt: skip
    assert rows == declared


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").glob("*/results/*/metrics.csv")), ids=name
)
def test_committed_summaries_are_those_of_their_rows(path):
    folder = EvaluationFolder(path.parent)
    kept = folder.written_summary
    anew = folder.summary(folder.rows(list(kept["method"])), 1000)
    columns = [c for c in kept if c not in ("scenario", "domain", "method")]
    pd.testing.assert_frame_equal(anew[columns], kept[columns], rtol=1e-9, atol=1e-12)
    assert folder.statement and "data" in folder.statement
