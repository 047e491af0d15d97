"""docs/data.md on adding a data set, followed to the letter until an epoch is trained."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

REPOSITORY = Path(__file__).resolve().parents[2]
NEEDED = (
    *("data_prep", "hparams", "lmac", "metrics", "recipes"),
    *("requirements.txt", "train_classifier.py"),
)
# What a test may change: how long it takes and where the data is.
QUICK = " --number_of_epochs=1 --classifier_width=2 --batch_size=4 --device=cpu"


def section():
    """The lines of the section, and its code blocks as (language, code)."""
    text = (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8")
    own = re.search(r"^## Add a data set\n(.*?)(?=^## |\Z)", text, re.S | re.M).group(0)
    return own.strip().splitlines(), re.findall(r"^```(\w+)\n(.*?)^```$", own, re.S | re.M)


def write_birds(folder):
    """Three species, four folds, two clips of each: tones of one pitch a species."""
    (folder / "clips").mkdir(parents=True)
    lines = ["file,fold,species"]
    for k in range(24):
        pitch = 1000 * (1 + k % 3)
        wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(32000) / 16000 + k)
        soundfile.write(folder / "clips" / f"{k}.wav", wave, 16000)
        lines.append(f"{k}.wav,{k // 6 + 1},{['owl', 'wren', 'robin'][k % 3]}")
    (folder / "birds.csv").write_text("\n".join(lines) + "\n")


def test_the_section_is_followed_until_an_epoch_is_trained(tmp_path):
    lines, blocks = section()
    assert len(lines) <= 30
    assert [language for language, _ in blocks] == ["python", "yaml", "bash"]
    for name in NEEDED:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, tmp_path / name)
    for _, code in blocks[:2]:
        name = re.match(r"# (\S+)\n", code).group(1)
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(code.replace("/data/birds", f"{tmp_path}/birds"))
    write_birds(tmp_path / "birds")
    command = blocks[2][1].strip()
    # The inspection that the section speaks of has the same options.
    inspect = command.replace(
        "train_classifier.py hparams/classifier", "-m lmac inspect hparams/inspect"
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", f"{inspect}\n{command}{QUICK}"], cwd=tmp_path, capture_output=True,
        text=True, env={**os.environ, "PATH": path}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "24 clips, 0.8 minutes, 3 classes, 4 folds. All can be used." in done.stdout
    folder = tmp_path / "results" / "classifier" / "1234"
    assert "epoch: 1," in (folder / "train_log.txt").read_text()
    assert (folder / "best" / "embedding_model.ckpt").stat().st_size > 0
    manifest = pd.read_csv(folder / "manifest.csv")
    assert len(manifest) == 24 and set(manifest["label"]) == {"owl", "wren", "robin"}
    assert manifest["wav"][0] == "clips/0.wav" and (manifest["duration"] == 2).all()
