"""What is added takes at most two files: tried in a copy of the repository, for each kind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    *("--dataset_yaml=hparams/datasets/builtin.yaml", "--clips_per_class=5", "--device=cpu"),
    *("--signal_length_s=1.0", "--classifier_width=4", "--batch_size=10", "--results_folder=r"),
]
TRAIN = [*TINY, "--number_of_epochs=1"]
HALF = '''"""Half of everything."""

import torch

from interpreters.base import Interpreter


class Half(Interpreter):
    def explain(self, X, target, phase=None):
        return torch.full_like(X, 0.5)
'''
LARGEST = """

def largest(outcome):
    return outcome.mask.flatten(1).amax(1).double()


METRICS["largest"] = Metric("largest", largest, None, "largest value of the mask", check=True)
"""
WIDEST = '''"""How much of the map does a mask keep?

    python -m lmac widest hparams/evaluation.yaml
"""

from lmac.evaluation.checks.base import MaskCheck


class Widest(MaskCheck):
    name, columns = "widest", ("ID", "method", "kept", "computed_with")

    def measure(self, interpreter, batch, variants):
        mask = self.mask(interpreter, batch.clips, batch.clips.decision, 0)
        kept = mask.flatten(1).mean(1).tolist()
        rows = [{"ID": r["ID"], "kept": k} for r, k in zip(batch.rows, kept, strict=True)]
        return {None: rows}

    def summary(self, rows):
        return rows.groupby("method", as_index=False)["kept"].mean()

    def report(self, summary, rows):
        return summary.to_string()


main = Widest.main
'''


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A copy of the code, with a classifier trained in it."""
    copy = tmp_path_factory.mktemp("copy") / "repository"
    for name in ("lmac", "interpreters", "metrics", "data_prep", "hparams"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for script in ROOT.glob("*.py"):
        shutil.copy(script, copy)
    run(copy, "train_classifier.py", "hparams/classifier.yaml", *TRAIN,
        "--output_folder=r/classifier")  # fmt: skip
    return copy


@pytest.fixture
def copy(original, tmp_path):
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


def run(folder, *words):
    """Run Python in a copy, with nothing of this checkout; what it printed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "RANK")}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, capture_output=True, text=True,
        env=environment, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def edit(path, before, after):
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, (path, before)
    path.write_text(text.replace(before, after), encoding="utf-8")


def changed(copy, original):
    """Names of the code that was changed or added."""
    files = [p for p in copy.rglob("*") if p.suffix in (".py", ".yaml") and p.is_file()]
    files = [p.relative_to(copy) for p in files if p.relative_to(copy).parts[0] != "r"]
    return [
        str(f)
        for f in files
        if not (original / f).is_file() or (original / f).read_bytes() != (copy / f).read_bytes()
    ]


def evaluate(copy, *more):
    """What an evaluation of a copy says."""
    return run(copy, "eval_explanations.py", "hparams/evaluation.yaml", *TINY, "--listen=0",
               "--output_folder=r/evaluation", "--n_boot=10", "--decoder_hidden=4",
               "--classifier_checkpoint=r/classifier/best", *more)  # fmt: skip


def test_a_method(copy, original):
    (copy / "interpreters" / "half.py").write_text(HALF)
    edit(copy / "hparams" / "interpreters.yaml", "    All-ones: !name",
         "    Half: !name:interpreters.half.Half\n    All-ones: !name")  # fmt: skip
    assert "| Half |" in evaluate(copy, "--methods=[Half,All-ones]")
    assert len(changed(copy, original)) == 2


def test_a_metric(copy, original):
    """In a folder that is there already, too."""
    evaluate(copy, "--methods=[All-ones,Random]")
    with (copy / "metrics" / "__init__.py").open("a") as file:
        file.write(LARGEST)
    said = evaluate(copy, "--methods=[All-ones,Random]")
    header = next(line for line in said.splitlines() if line.startswith("| method |"))
    assert "largest" in header and len(changed(copy, original)) == 1


def test_a_term_of_the_loss(copy, original):
    """Trained with, recorded, said in captions, and an override away."""
    loss, yaml = copy / "lmac" / "core" / "losses.py", copy / "hparams" / "lmac.yaml"
    before, function, after = loss.read_text().partition("def lmac_loss(")
    after = after.replace("    l_sparse=", "    l_square=0.0,\n    l_sparse=", 1)
    sparse = '        parts["sparse"] = l_sparse * mask.mean()\n'
    assert sparse in after
    square = sparse.replace("sparse", "square").replace("mask.mean", "mask.square().mean")
    loss.write_text(before + function + after.replace(sparse, sparse + square, 1))
    edit(yaml, "    l_sparse: !ref <l_sparse>\n",
         "    l_sparse: !ref <l_sparse>\n    l_square: !ref <l_square>\n")  # fmt: skip
    edit(yaml, "l_sparse: 6.4\n", "l_sparse: 6.4\nl_square: 0.5\n")
    run(copy, "train_lmac.py", "hparams/lmac.yaml", *TRAIN, "--l_square=0.25",
        "--output_folder=r/lmac", "--classifier_checkpoint=r/classifier/best",
        "--decoder_hidden=4")  # fmt: skip
    assert "train square:" in (copy / "r" / "lmac" / "train_log.txt").read_text()
    assert '"l_square": 0.25' in (copy / "r" / "lmac" / "best" / "info.json").read_text()
    said = evaluate(copy, "--methods=[L-MAC]", "--lmac_checkpoint=r/lmac/best")
    assert "l_square 0.25" in said and len(changed(copy, original)) == 2


def test_a_check_which_is_a_command(copy, original):
    """A module, and its entry in the registry."""
    (copy / "lmac" / "evaluation" / "checks" / "widest.py").write_text(WIDEST)
    edit(copy / "lmac" / "settings" / "commands.py", '        Command("asked",',
         '        Command("widest", f"{_CHECKS}.widest", _CHECK, "how much is kept?",\n'
         '                ("evaluation",)),\n        Command("asked",')  # fmt: skip
    evaluate(copy, "--methods=[All-ones,Random]")
    said = run(copy, "-m", "lmac", "widest", "hparams/evaluation.yaml", *TINY,
               "--output_folder=r/evaluation", "--methods=[All-ones,Random]",
               "--classifier_checkpoint=r/classifier/best")  # fmt: skip
    assert "All-ones" in said and len(changed(copy, original)) == 2
    assert "widest" in run(copy, "-m", "lmac")
