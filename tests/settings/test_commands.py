"""``python -m lmac``: every command is listed, found and explained."""

import ast
import importlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmac.settings.commands import COMMANDS, SCRIPTS, arguments_of, dispatch, listing, usage

FILES = [
    path
    for pattern in ("*.py", "lmac/**/*.py", "interpreters/**/*.py", "data_prep/**/*.py",
                    "metrics/**/*.py", "benchmarks/**/*.py", "recipes/**/*.sh", "**/*.yaml")
    for path in Path().glob(pattern)
    if path.parts[0] not in ("results", ".venv")
]  # fmt: skip


def run(*words):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120, check=False
    )


def with_main(*folders):
    """Modules below ``folders`` that define ``main``, found without importing them."""
    found = set()
    for path in (p for folder in folders for p in Path(folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found.add(".".join(path.with_suffix("").parts))
    return found


def test_no_command_and_no_script_is_forgotten():
    assert {module for module, _ in COMMANDS.values()} == with_main("lmac", "interpreters")
    scripts = {p.name for p in Path().glob("*.py") if "\ndef main(" in p.read_text()}
    assert set(SCRIPTS) == scripts and len(scripts) == 4
    # There is no second way to start them.
    for path in (*Path("lmac").rglob("*.py"), *Path("interpreters").rglob("*.py")):
        if path != Path("lmac/__main__.py"):
            assert "__main__" not in path.read_text(encoding="utf-8"), path


def test_the_listing_has_a_line_for_each_and_is_there_at_once():
    start = time.perf_counter()
    done = run("-X", "importtime", "-m", "lmac")
    assert time.perf_counter() - start < 2  # 0.03 s on a free machine
    assert done.returncode == 0 and done.stdout == listing() + "\n"
    for line, text in (
        *((f"    python {name} …", text) for name, text in SCRIPTS.items()),
        *((f"    python -m lmac {name} …", text) for name, (_, text) in COMMANDS.items()),
    ):
        (found,) = [x for x in done.stdout.splitlines() if x.startswith(line)]
        assert found.endswith(f"  {text}") and len(found) <= 100
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "lmac.settings.commands" in imported
    assert not imported & {"torch", "speechbrain", "numpy", "pandas", "hyperpyyaml"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_is_its_docstring(name, capsys):
    with pytest.raises(SystemExit) as end:
        dispatch([name, "--help"])
    assert end.value.code == 0
    module = importlib.import_module(COMMANDS[name][0])
    shown = capsys.readouterr().out
    first, rest = module.__doc__.strip().split("\n", 1)
    assert shown.startswith(first) and rest.strip().splitlines()[-1] in shown
    assert f"python -m lmac {name} " in module.__doc__
    if hasattr(module, "COMMAND_LINE"):
        assert shown == usage(name, module) + "\n"
        for option in module.COMMAND_LINE.options.values():
            assert f"\n    --{option.name}=" in shown and option.text in shown
        for argument in module.COMMAND_LINE.arguments:
            assert f"\n    {argument.name} " in shown and argument.text in shown
    else:  # A YAML file and its overrides.
        assert re.search(rf"-m lmac {name} \S+\.yaml ", module.__doc__)


@pytest.mark.parametrize(
    "word,hint",
    [
        ("tabel", "did you mean python -m lmac table?"),
        ("analyze", "did you mean python -m lmac analyse?"),
        ("train_lmac", "did you mean python train_lmac.py?"),
        ("explain.py", "did you mean python explain.py?"),
        ("xyzzy", "python -m lmac lists all."),
        ("--folds=[1]", "did you mean python -m lmac folds?"),
    ],
)
def test_an_unknown_command_gets_a_sentence_and_code_2(word, hint, capsys):
    with pytest.raises(SystemExit) as end:
        dispatch([word])
    shown = capsys.readouterr()
    assert end.value.code == 2 and not shown.out
    assert shown.err == f"error: There is no command {word!r}: {hint}\n"


def test_mistakes_in_a_command_end_it_with_one_sentence(tmp_path):
    for words, message in (
        (["grid", "x", "--idz=[a]"], "Unknown option --idz: did you mean --ids?"),
        (["serve", "x", "--port=many"], "--port=many: expected a whole number, such as 8."),
        (["inspect", "hparams/inspect.yaml", "--dataset_yml=x"],
         "Unknown override --dataset_yml: "),
        (["analyse", str(tmp_path), "x"], f"There is no {tmp_path}/manifest.json: give a folder "
         "made by python -m lmac study."),
    ):  # fmt: skip
        done = run("-m", "lmac", *words)
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 1 and last.startswith(f"error: {message}"), done.stderr
        assert "Traceback" not in done.stderr
    done = run("-m", "lmac", "gallery")
    assert done.returncode == 2 and "python -m lmac gallery folders [more …]" in done.stdout


def test_modules_are_run_by_their_names():
    assert arguments_of("lmac.training.l2i") == ["-m", "lmac", "l2i"]
    assert arguments_of("lmac.evaluation.runs.table") == ["-m", "lmac", "table"]
    assert arguments_of("train_lmac") == ["-m", "train_lmac"]


def test_every_command_that_is_named_exists():
    """In scripts, YAML files, docstrings and messages."""
    named = {}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r'-m (lmac|interpreters)(\S*)(?: +("\$?\w+"|[\w-]+))?', text):
            named.setdefault(path, []).append(match.groups())
    assert {Path(f"recipes/{r}/run.sh") for r in ("ESC10", "ESC10_aisfx", "ESC10_wave1d")} <= {
        *named
    }
    for path, groups in named.items():
        for package, rest, name in groups:
            if path.name in ("commands.py", "__main__.py"):
                continue  # they speak of all of them
            assert (package, rest) == ("lmac", ""), f"{path}: python -m {package}{rest}"
            assert name in COMMANDS, f"{path}: python -m lmac {name}"
