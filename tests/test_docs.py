"""README and docs say what is so: numbers are those of the CSVs, and what they name exists."""

import importlib
import pkgutil
import re
import shlex
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from layouts import recipe_stages

from data_prep.scenarios import SCENARIOS
from lmac.evaluation.folder import EvaluationFolder
from lmac.evaluation.runs import folds, seeds
from lmac.evaluation.runs.repeats import listed
from lmac.pages import app
from lmac.settings.cli import with_stage
from lmac.settings.commands import COMMANDS
from lmac.settings.compose import split, stage_beside
from lmac.settings.declared import run_options
from lmac.settings.load import merge, parse
from metrics import METRICS
from metrics.tables import NOT_APPLICABLE, head

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "recipes").glob("*/README.md"))
REPEATS = {**folds.Folds.options, **seeds.Seeds.options}
# Of torchrun and SLURM.
OF_OTHERS = {"standalone", "nproc_per_node", "nnodes", "rdzv_id", "rdzv_backend", "rdzv_endpoint"}
OF_OTHERS |= {"job", "gres", "ntasks", "cpus", "time", "requeue", "nodes", "array"}
# Where files lie that a page names without their folder.
PLACES = [ROOT / "recipes/ESC10"]
PLACES += [ROOT / "hparams" / slot for slot in ("classifiers", "datasets", "decoders")]
MADE_BY_THE_READER = ("my_classifier.yaml", "my_classifier.py", "birds.yaml", "birds.py")
# "<!-- numbers: asked.csv where snr_db=0 -->": of the rows with that value.
MARK = re.compile(r"<!-- numbers: (\S+)(?: where (\S+)=(\S+))? -->\n((?:\|.*\n)+)")


def name(path):
    return str(path.relative_to(ROOT))


def table(text):
    """Rows of a Markdown table as lists of cells, without the rule."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in text.strip().splitlines()]  # fmt: skip
    return rows[0], rows[2:]


def rows_of(source, column, value):
    """The CSV of a mark, or its rows with a value."""
    summary = pd.read_csv(ROOT / source)
    return summary[summary[column].astype(str) == value] if column else summary


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
    for source, column, value, text in MARK.findall(path.read_text(encoding="utf-8")):
        wrong = list(wrong_numbers(*table(text), rows_of(source, column, value)))
        assert not wrong, f"{source}: {wrong}"


def test_the_readme_and_the_recipes_have_such_tables_and_a_wrong_number_is_found():
    marked = [p for p in PAGES if MARK.search(p.read_text(encoding="utf-8"))]
    assert ROOT / "README.md" in marked and len(marked) >= 4
    source, *_, text = MARK.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    altered = re.sub(r"^(\| L-MAC \| )([\d.]+)", lambda m: m[1] + f"{float(m[2]) + 0.1:.1f}", text,
                     count=1, flags=re.M)  # fmt: skip
    assert altered != text
    found = list(wrong_numbers(*table(altered), pd.read_csv(ROOT / source)))
    assert [(m, c) for m, c, _, _ in found] == [("L-MAC", "AI ↑")]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_table_of_results_is_marked(path):
    """No number of a metric stands in a table that nobody checks."""
    text = path.read_text(encoding="utf-8")
    for match in re.finditer(r"^\| method \|.*(AI|false_explanation).*\n", text, re.M):
        before = text[: match.start()].rsplit("\n", 2)[-2]
        assert before.startswith("<!-- numbers: "), match.group()


def anchors(path):
    """What the headings of a page are called in links to them."""
    headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        page, _, heading = target.partition("#")
        file = path.parent / page if page else path
        assert file.exists(), target
        assert not heading or heading in anchors(file), target


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def commands(path):
    """The words of every command in the code blocks of a page."""
    for block in re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_can_be_typed_as_they_stand(path, monkeypatch):
    """Each with its own YAML file or options: a key of another command is not one of this."""
    monkeypatch.chdir(ROOT)
    for words in commands(path):
        command, *words = words
        if command == "make":
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.M), words
        elif command.startswith("recipes/"):
            assert (ROOT / command).is_file(), command
        elif command.endswith("python"):
            check_python(words)
        elif command == "torchrun":
            check_python([w for w in words if w.strip("-").partition("=")[0] not in OF_OTHERS])
        else:
            assert (command, words[0]) in (("pip", "install"), ("source", ".venv/bin/activate"))


def check_python(words):
    if words[0] != "-m":
        script = words[0].removesuffix(".py")
        (command,) = [c for c in COMMANDS.values() if c.module == script]
        return check_overrides(with_stage(words[1:], command))
    assert words[1] == "lmac", words
    if len(words) == 2:
        return  # the listing
    command, words = COMMANDS[words[2]], with_stage(words[3:], COMMANDS[words[2]])
    module = importlib.import_module(command.module)
    if module is app:
        own, others = app.COMMAND_LINE.split(words)
        check_overrides([app.COMMAND_LINE.parse(own)["yaml"], *others])
    elif not command.experiments:
        module.COMMAND_LINE.parse(words)
    else:
        check_overrides(words, REPEATS if module in (folds, seeds) else ())


def check_overrides(argv, further=()):
    file, _, overrides = parse(argv)
    known = {
        key: value
        for key, value in overrides.items()
        if key not in further and not str(value).endswith(MADE_BY_THE_READER)
    }
    if "stages" not in further:
        return merge(file, known)
    # A key need not be one of all stages.
    stages = listed(overrides.get("stages", []))
    paths = (file, *(stage_beside(file, stage) for stage in stages))
    trees = [merge(path) for path in paths]
    assert all(any(key in tree for tree in trees) for key in known), argv


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_what_the_text_names_exists(path):
    text = path.read_text(encoding="utf-8")
    for command in re.findall(r"python -m lmac ([a-z]\w*)", text):
        assert command in COMMANDS, command
    for target in re.findall(r"`make (?:VENV=\S+ )?(\w+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target
    for key in re.findall(r"(?<![\w-])--(\w+)=?", text):
        assert key in known_keys() | {"key", "help", "no"}, key  # pip's --no-deps
    for methods in re.findall(r"--methods=\[(.+?)\]", text):
        assert methods == "..." or set(methods.split(",")) <= known_methods(), methods
    for word in re.findall(r"[\w.]+(?:/[\w.]+)*\.(?:yaml|sh|py)\b", text):
        if not word.endswith((*MADE_BY_THE_READER, "hyperparams.yaml")):
            assert any((place / word).is_file() for place in (ROOT, path.parent, *PLACES)), word
    for place in re.findall(r"\b((?:lmac|interpreters|metrics|data_prep)(?:\.\w+)+)", text):
        if not place.endswith((".csv", ".py", ".yaml")) and "birds" not in place:
            assert is_there(place), place


def is_there(place):
    """Whether ``package.module.Name`` can be imported; also of a class's method."""
    try:
        return bool(pkgutil.resolve_name(place))
    except (ImportError, AttributeError):
        return False


@cache
def known_keys():
    """Keys of any YAML file and options of any command."""
    keys = run_options() | OF_OTHERS | set(REPEATS)
    for command in COMMANDS.values():
        if not command.experiments:
            keys |= set(importlib.import_module(command.module).COMMAND_LINE.options)
    for file in [*(ROOT / "hparams").glob("*.yaml"), *recipe_stages()]:
        if "extends" in split(file)[0].read_text(encoding="utf-8"):
            keys |= set(merge(file))
    for slot in ("classifiers", "datasets", "decoders"):
        for file in (ROOT / "hparams" / slot).glob("*.yaml"):
            keys |= set(re.findall(r"^(\w+):", file.read_text(encoding="utf-8"), re.M))
    return keys


@cache
def known_methods():
    return set(merge(ROOT / "hparams" / "interpreters.yaml")["interpreters"])


def test_the_scenarios_are_those_that_there_are():
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    _, rows = table(re.search(r"(\| `--scenario=` .*\n(?:\|.*\n)+)", text).group(1))
    assert {row[0].strip("`") for row in rows} == set(SCENARIOS)


def test_metrics_are_described_as_they_are_declared():
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    _, rows = table(re.search(r"<!-- metrics -->\n((?:\|.*\n)+)", text).group(1))
    declared = [[m.name, head(m.name).removeprefix(m.name).strip(), m.about]
                for m in METRICS.values()]  # fmt: skip
    assert rows == declared


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").glob("*/results/*/metrics.csv.gz")), ids=name
)
def test_committed_summaries_are_those_of_their_rows(path):
    folder = EvaluationFolder(path.parent)
    kept = folder.written_summary
    anew = folder.summary(folder.rows(list(kept["method"])), 1000)
    columns = [c for c in kept if c not in ("scenario", "domain", "method")]
    pd.testing.assert_frame_equal(anew[columns], kept[columns], rtol=1e-9, atol=1e-12)
    assert folder.statement and "data" in folder.statement


def test_no_file_has_the_marks_of_an_unfinished_merge():
    kinds = (".py", ".md", ".txt", ".yaml", ".sh", ".js", ".css", ".html", ".toml", "")
    elsewhere = (".git", ".venv", "results")
    texts = [
        p
        for p in ROOT.rglob("*")
        if p.is_file() and p.suffix in kinds and p.relative_to(ROOT).parts[0] not in elsewhere
    ]
    assert ROOT / "requirements.txt" in texts
    mark = re.compile(r"^(<{7}|>{7}) ", re.M)
    assert not [name(p) for p in texts if mark.search(p.read_text("utf-8", errors="replace"))]
