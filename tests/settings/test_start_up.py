"""Commands that need no network do not wait for torch, which takes seconds to import."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from layouts import write_esc50
from pages.made import RECORDINGS, answers, make_results, write_json
from test_imports import imports

from lmac.pages.study.responses import read_test
from lmac.settings.commands import COMMANDS

SCRIPTS = ["train_classifier.py", "train_lmac.py", "eval_explanations.py", "explain.py"]
HEAVY = ("torch", "torchaudio", "speechbrain", "captum")
# Whoever reaches one of these computes with a network, or with its spectrograms.
NETWORK = (
    "lmac.classifiers",
    "lmac.core.domain",
    "lmac.core.explained",
    "lmac.core.front_end",
    "lmac.training.brain",
)


def file_of(module):
    path = Path(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


@cache
def targets(path):
    return [module for module, _ in imports(path)]


def reached(module):
    """Our modules that ``module`` imports anywhere, also when it is called, and those that these
    import."""
    found, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in found and (path := file_of(name)):
            found.add(name)
            todo += targets(path)
    return found


def without_network():
    """Commands of the registry that cannot come to a network."""
    return [
        name
        for name, command in COMMANDS.items()
        if not any(
            m == n or m.startswith(f"{n}.") for m in reached(command.module) for n in NETWORK
        )
    ]


def run(code):
    """What Python says of ``code`` where an import of what is heavy fails."""
    barred = (
        "import sys\n"
        "class Barred:\n"
        "    def find_spec(name, *_):\n"
        f"        assert name not in {HEAVY}, name + ' is imported'\n"
        "sys.meta_path.insert(0, Barred)\n"
    )
    words = [sys.executable, "-c", barred + code]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)


def dispatch(*commands):
    """Run several commands, one after another, in one process without torch."""
    return run(
        "from lmac.settings.cli import dispatch\n"
        f"for words in {[[str(w) for w in words] for words in commands]}:\n"
        "    print('==', *words, flush=True)\n"
        "    try:\n"
        "        dispatch(words[0], words[1:])\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, (words, end.code)\n"
    )


def test_what_needs_a_network_is_told_apart():
    light = without_network()
    assert {"settings", "publish", "inspect", "table", "gallery", "study", "analyse"} <= set(light)
    assert not {"app", "grid", "l2i", "randomisation", "resynthesis", "held_out"} & set(light)


def test_help_of_every_command_is_there_without_torch():
    names = [name for name in COMMANDS if name != "app"]  # its words stand beside a network's
    done = dispatch(*([name, "--help"] for name in names))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n== ") == len(names) - 1


@pytest.mark.parametrize("words", [["--help"], []])
def test_help_of_every_script_is_there_without_torch(words):
    done = run(
        "import runpy\n"
        f"for script in {SCRIPTS}:\n"
        f"    sys.argv = [script, *{words}]\n"
        "    try:\n"
        "        runpy.run_path(script, run_name='__main__')\n"
        "    except SystemExit as end:\n"
        f"        assert end.code == {0 if words else 2}\n"
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 1000


def test_modules_of_what_needs_no_network_import_no_torch():
    modules = [COMMANDS[name].module for name in without_network()]
    done = run(f"import importlib\nfor m in {modules}: importlib.import_module(m)")
    assert done.returncode == 0, done.stderr


def test_they_run_without_torch(tmp_path):
    """All that end by themselves, and have no stages to start: those start other processes."""
    evaluation, test = tmp_path / "out" / "evaluation" / "mixtures_stft", tmp_path / "test"
    make_results(evaluation, RECORDINGS)
    data = write_esc50(tmp_path / "data")
    done = dispatch(
        ["settings"],
        ["inspect", "hparams/inspect.yaml", f"--data_folder={data}",
         f"--output_folder={test}-inspection", "--out_n_neurons=3"],
        ["gallery", evaluation],
        ["study", evaluation, f"--output={test}", "--clips=2", "--methods=[L-MAC,Saliency]"],
        ["publish", tmp_path / "out", tmp_path / "published"],
        ["table", "recipes/ESC10/recipe.yaml:table2_mixtures", "--collect_only=True",
         "--data_folder=x", "--evaluation_folder=recipes/ESC10/results",
         f"--table_folder={tmp_path}/table"],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr
    assert (tmp_path / "table" / "table.tex").is_file()
    assert (tmp_path / "test-inspection" / "inspection.png").is_file()
    for name in ("ann", "bob"):
        write_json(test / "responses" / f"{name}.json", answers(*read_test(test), name, rated))
    done = dispatch(["analyse", test, test / "responses", "--n_boot=100"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert (test / "analysis" / "scores.png").is_file()


def rated(condition, question):
    return 90 if condition in ("hidden reference", "L-MAC") else 30
