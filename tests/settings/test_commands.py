"""``python -m lmac``: every command is listed, found and explained."""

import ast
import importlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmac.settings.cli import dispatch, with_stage
from lmac.settings.commands import COMMANDS, EXPERIMENTS, command_of, listing

FILES = [
    path
    for pattern in ("*.py", "lmac/**/*.py", "interpreters/**/*.py", "data_prep/**/*.py",
                    "metrics/**/*.py", "benchmarks/**/*.py", "recipes/**/*.sh", "**/*.yaml")
    for path in Path().glob(pattern)
    if path.parts[0] not in ("results", ".venv")
]  # fmt: skip

# What experiments are made of.
PARTS = {"base", "training", "interpreters"}


def run(*words):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120, check=False
    )


def with_main(*folders):
    """Modules below ``folders`` that define ``main``, found without importing them."""
    found = set()
    for path in (p for folder in folders for p in Path(folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        named |= {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets
                  if isinstance(t, ast.Name)}  # fmt: skip
        if "main" in named:  # of a check it is its class's
            found.add(".".join(path.with_suffix("").parts))
    return found


def test_no_command_and_no_script_is_forgotten():
    scripts = {p.stem for p in Path().glob("*.py") if "\ndef main(" in p.read_text()}
    assert len(scripts) == 4
    assert {c.module for c in COMMANDS.values()} == scripts | with_main("lmac", "interpreters")
    # There is no second way to start the others.
    for path in (*Path("lmac").rglob("*.py"), *Path("interpreters").rglob("*.py")):
        if path != Path("lmac/__main__.py"):
            assert '__main__"' not in path.read_text(encoding="utf-8"), path


def test_what_the_registry_says_is_so():
    for command in COMMANDS.values():
        source = Path(*command.module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        assert command.dry_run == ("\n@dry_runnable" in source), command
        assert (not command.experiments) == ("\nCOMMAND_LINE = " in source), command
        for name in command.experiments:
            assert Path("hparams", f"{name}.yaml").is_file(), command
    assert {*EXPERIMENTS} == {p.stem for p in Path("hparams").glob("*.yaml")} - PARTS
    assert command_of("lmac_finetune").module == "train_lmac" and command_of("no") is None
    assert command_of("evaluation").module == "eval_explanations"


def test_the_listing_has_a_line_for_each_and_is_there_at_once():
    start = time.perf_counter()
    done = run("-X", "importtime", "-m", "lmac")
    assert time.perf_counter() - start < 3  # 0.4 s on a free machine
    assert done.returncode == 0 and done.stdout == listing() + "\n"
    for name, command in COMMANDS.items():
        (found,) = [x for x in done.stdout.splitlines() if f" lmac {name} " in x]
        assert found.endswith(f"  {command.help}") and len(found) <= 100
        assert f"\n{command.group}\n" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "lmac.settings.commands" in imported
    assert not imported & {"torch", "speechbrain", "pandas"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_is_its_docstring(name, capsys):
    with pytest.raises(SystemExit) as end:
        dispatch(name, ["--help"])
    assert end.value.code == 0
    command = COMMANDS[name]
    module = importlib.import_module(command.module)
    shown = capsys.readouterr().out
    first, rest = module.__doc__.strip().split("\n", 1)
    assert shown.startswith(first) and rest.strip().splitlines()[-1] in shown
    if not command.experiments:
        assert re.search(rf"python -m lmac {name}\s", module.__doc__)
        assert f"usage: python -m lmac {name}" in shown
        for option in module.COMMAND_LINE.options:
            assert f"\n  --{option} " in shown
    else:  # A YAML file and its overrides.
        called = rf"(-m lmac {name}|{command.module}\.py) \S+\.yaml"
        assert re.search(called, module.__doc__) and "Settings of hparams/" in shown


@pytest.mark.parametrize(
    "word,said",
    [
        ("tabel", "There is no command 'tabel': did you mean python -m lmac table?"),
        ("analyze", "There is no command 'analyze': did you mean python -m lmac analyse?"),
        ("train_lmac.py", "There is no command 'train_lmac.py': did you mean python -m lmac "),
        ("eval_explanations", "There is no command 'eval_explanations': did you mean python -m lmac"
         " evaluate?"),
        ("xyzzy", "There is no command 'xyzzy': python -m lmac lists all."),
        ("--folds=[1]", "There is no command '--folds=[1]': did you mean python -m lmac folds?"),
        ("check", "python -m lmac check is now python -m lmac inspect."),
    ],
)  # fmt: skip
def test_an_unknown_command_gets_a_sentence_and_code_2(word, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lmac", word, "hparams/inspect.yaml"])
    with pytest.raises(SystemExit) as end:
        dispatch()
    shown = capsys.readouterr()
    assert end.value.code == 2 and not shown.out
    assert shown.err.startswith(f"error: {said}") and shown.err.count("\n") == 1


def test_mistakes_in_a_command_end_it_with_one_sentence(tmp_path):
    for words, message in (
        (["grid", "x", "--idz=[a]"], "Unknown option --idz: did you mean --ids?"),
        (["serve", "x", "--port=many"], "--port: expected a whole number, such as 8, got 'many'."),
        (["inspect", "hparams/inspect.yaml", "--dataset_yml=x"],
         "Unknown override --dataset_yml: "),
        (["audit", "hparams/evaluation.yaml", "--dry_run=True"],
         "python -m lmac audit: --dry_run is for trainings"),
        (["analyse", str(tmp_path), "x"], f"There is no {tmp_path}/manifest.json: give a folder "
         "made by python -m lmac study."),
    ):  # fmt: skip
        done = run("-m", "lmac", *words)
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 1 and last.startswith(f"error: {message}"), done.stderr
        assert "Traceback" not in done.stderr
    done = run("-m", "lmac", "gallery")
    assert done.returncode == 2 and "usage: python -m lmac gallery" in done.stdout


def test_a_command_takes_its_own_stage_of_a_recipe():
    recipe = "recipes/demo/recipe.yaml"
    for name, stage in (("train-lmac", "lmac"), ("evaluate", "evaluation"), ("l2i", "l2i"),
                        ("audit", "evaluation"), ("app", "explain"),
                        ("folds", "classifier")):  # fmt: skip
        assert with_stage([recipe, "--seed=1"], COMMANDS[name]) == [f"{recipe}:{stage}", "--seed=1"]
    command = COMMANDS["train-lmac"]
    for words in ([f"{recipe}:lmac_finetune"], ["hparams/lmac.yaml"], ["none.yaml"], [], ["--x"]):
        assert with_stage(words, command) == words
    done = run("train_lmac.py", "recipes/ESC10/recipe.yaml:lmac_finetun")
    assert done.stderr == (
        "error: recipes/ESC10/recipe.yaml: there is no stage lmac_finetun, did you mean "
        "lmac_finetune?\n"
    )
    done = run("-m", "lmac", "table", recipe)
    assert "name a stage as recipe.yaml:stage, expected one of classifier, lmac," in done.stderr


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
