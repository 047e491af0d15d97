"""What users install: the wheel in an empty folder, and the notebook cell by cell."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from setuptools import find_packages
from setuptools.config.pyprojecttoml import load_file

ROOT = Path(__file__).resolve().parents[1]
SNIPPET = """
import sys, time
start = time.perf_counter()
import lmac
assert time.perf_counter() - start < 0.3 and "torch" not in sys.modules
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(1, 8, 64, 32), nn.ReLU(), nn.Conv1d(8, 8, 8, 4))
        self.head = nn.Linear(8, 3)

    def forward(self, wav):
        return self.head(self.features(wav.unsqueeze(1)).mean(2))

labels = ["dog", "rain", "bell"]
explainer = lmac.Explainer(Network(), sample_rate=32000, labels=labels, layers=["features.2"])
explanation = explainer("recordings/dog.wav", method="GradCAM")
explanation.save("out/")
print(repr(explanation))
explainer.fit("recordings/", epochs=1, output_folder="fitted")
print(repr(explainer("recordings/dog.wav", method="L-MAC")))
print(lmac.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the installed package, of which the checkout is not a part."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # setuptools writes beside what it builds
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".*", "recipes", "results", "tests", "shared")
    )
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
         "--no-index", "--disable-pip-version-check", "--target", folder / "site", source],
        check=True,
    )  # fmt: skip
    shutil.rmtree(source)
    return folder / "site"


def run(installed, folder, *words):
    """What ``words``, a command, prints in ``folder``."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_noise(path, seconds=3.0, rate=22050):
    path.parent.mkdir(exist_ok=True)
    n = round(seconds * rate)
    noise = np.random.default_rng(len(path.name)).standard_normal(n)
    soundfile.write(path, 0.2 * noise * np.abs(np.sin(np.arange(n) / 2000)), rate)


def test_the_package_lists_all_its_parts():
    settings = load_file(ROOT / "pyproject.toml")["tool"]["setuptools"]
    found = find_packages(ROOT, include=["data_prep*", "interpreters*", "lmac*", "metrics*"])
    assert sorted([*found, "lmac.hparams"]) == settings["packages"]
    for script in settings["py-modules"]:
        assert (ROOT / f"{script}.py").is_file()


def test_every_requirement_has_a_range():
    named = load_file(ROOT / "pyproject.toml")["project"]["dependencies"]
    names = {word.partition(">")[0] for word in named}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert names == {line.partition("=")[0] for line in lines if line and line[0] != "#"}


def test_everything_that_is_no_code_is_there(installed):
    for pattern, folder in (("hparams/**/*.yaml", "lmac"), ("pages/templates/*", "lmac"),
                            ("*/*.yaml", "lmac"), ("*.csv", "metrics")):  # fmt: skip
        at = ROOT if pattern.startswith("hparams") else ROOT / folder
        files = [path.relative_to(at) for path in at.glob(pattern)]
        assert files and all((installed / folder / file).is_file() for file in files), pattern


def test_the_snippet_runs_in_an_empty_folder(installed, tmp_path):
    write_noise(tmp_path / "recordings" / "dog.wav")
    write_noise(tmp_path / "recordings" / "rain.wav")
    printed = run(installed, tmp_path, "-c", SNIPPET).splitlines()
    shown = [line for line in printed if line.startswith("<dog.wav: ")]
    assert len(shown) == 2 and "GradCAM for " in shown[0] and "L-MAC for " in shown[1]
    assert str(installed) in printed[-1]
    assert (tmp_path / "out" / "explanation.wav").is_file()
    assert (tmp_path / "fitted" / "best" / "decoder.ckpt").is_file()
    record = json.loads((tmp_path / "fitted" / "provenance.json").read_text())["runs"][0]
    assert record["commit"] is None and record["packages"]["torch"]


def test_the_commands_run_in_an_empty_folder(installed, tmp_path):
    (script,) = (installed / "bin").glob("lmac*")
    assert "explain" in run(installed, tmp_path, script, "--help")
    told = run(installed, tmp_path, script, "explain", "--help")
    assert "Settings of hparams/explain.yaml" in told and "--lmac_checkpoint=" in told
    # hparams/… is that of the package, unless there is one here.
    words = ("train-classifier", "hparams/classifier.yaml", "--classifier_width=4")
    data = ("--dataset_yaml=hparams/datasets/builtin.yaml", "--clips_per_class=5",
            "--signal_length_s=1.0", "--batch_size=8", "--dry_run=True")  # fmt: skip
    assert "Dry run: all is well." in run(installed, tmp_path, script, *words, *data)
    (tmp_path / "hparams").mkdir()
    (tmp_path / "hparams" / "explain.yaml").write_text("extends: explain.yaml\n")
    (tmp_path / "mine.yaml").write_text("extends: hparams/lmac.yaml\nlr: 0.5\n")
    assert "--lr=0.5" in run(installed, tmp_path, script, "train-lmac", "mine.yaml", "--help")


def test_the_notebook_runs(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "explain_any_network.ipynb").read_text(encoding="utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 4 and all(cell["outputs"] == [] for cell in cells)
    monkeypatch.chdir(tmp_path)
    names, shown = {}, []
    for cell in cells:
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "notebook", "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), "notebook", "eval"), names))
    pages = [value._repr_html_() for value in shown if hasattr(value, "_repr_html_")]
    assert len(pages) == 3
    for page in pages:
        assert page.count('<audio controls src="data:audio/wav;base64,') == 3
        assert page.count("<img ") == 1 and "removed" in page
    assert (tmp_path / "explanation" / "explanation.wav").is_file()
    assert str(shown[-1]) == str(names["explanation"])  # of the loaded decoder
