"""A folder of one's own: classes by folders or by a CSV, a split that keeps recordings together."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

import train_classifier
from data_prep.folder import count_classes, prepare
from data_prep.manifest import DamagedData, DataError


def write(path, pitch, rate=16000, seconds=0.6):
    path.parent.mkdir(parents=True, exist_ok=True)
    n = round(seconds * rate)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * np.arange(n) / rate), rate)


@pytest.fixture
def folder(tmp_path):
    """Dogs in recordings of three cuts each, some deeper and of other rates; cats of one each."""
    for k in range(6):
        for cut in range(3):
            place = "deep/er" if k % 2 else "."
            write(tmp_path / "data" / "dog" / place / f"yard{'abcdef'[k]}-{cut:02d}.wav", 500 + k,
                  (8000, 44100)[k % 2])  # fmt: skip
        write(tmp_path / "data" / "cat" / f"cat{k}.flac", 2000 + k)
    return tmp_path / "data"


def split_of(tmp_path):
    return pd.read_csv(tmp_path / "folds.csv", dtype=str)


def test_classes_are_folders_and_recordings_stay_together(folder, tmp_path):
    assert prepare(folder, tmp_path / "m.csv") == ["cat", "dog"] and count_classes(folder) == 2
    table = pd.read_csv(tmp_path / "m.csv")
    assert len(table) == 24 and (table["duration"] == 0.6).all()
    dogs = table[table["label"] == "dog"]
    assert (dogs.groupby("source").size() == 3).all() and dogs["source"].nunique() == 6
    assert (dogs.groupby("source")["fold"].nunique() == 1).all()
    # Numbers that are no cuts: each cat is a recording of its own.
    assert table[table["label"] == "cat"]["source"].nunique() == 6
    for label in ("cat", "dog"):
        assert set(table[table["label"] == label]["fold"]) == {1, 2, 3, 4, 5}
    split = split_of(tmp_path)
    assert list(split) == ["file", "label", "fold", "source"] and len(split) == 24


def test_the_split_can_be_edited_and_given_back(folder, tmp_path):
    prepare(folder, tmp_path / "m.csv")
    split_of(tmp_path).assign(fold="1").to_csv(tmp_path / "folds.csv", index=False)
    edited = (tmp_path / "folds.csv").read_bytes()
    with pytest.raises(DataError, match="folds.csv was edited: give it as --labels_csv=.*folds"):
        prepare(folder, tmp_path / "m.csv")
    assert prepare(folder, tmp_path / "m.csv", tmp_path / "folds.csv") == ["cat", "dog"]
    assert set(pd.read_csv(tmp_path / "m.csv")["fold"]) == {1}
    assert (tmp_path / "folds.csv").read_bytes() == edited


@pytest.mark.parametrize("lines,message", [
    (["file,label", "cat/cat0.flac,cat;dog"], "row 2: 'cat;dog' names several labels"),
    (["file,label", "cat/cat0.flac,"], "row 2: expected a file and its label"),
    (["file,label"], "has no clips"),
    (["file,label", "cat/cat0.flac,cat"], "has the class cat alone"),
    (["file,label,fold", "cat/cat0.flac,cat,1", "cat/cat1.flac,dog,"], "row 3: it has no fold"),
    (["file,label", "cat/cat0.flac,cat", "cat/cat1.flac,dog"], "has 1 of cat, 1 of dog: a split"),
    (["name,label", "a,b"], "has no column file"),
    (["file,label,fold", "no.wav,cat,1", "cat/cat1.flac,dog,2"], "no.wav, which does not exist"),
    (["file,label,fold", "cat/cat1.flac,cat,1", "cat/cat1.flac,dog,2"], "is also in row 2"),
])  # fmt: skip
def test_rows_that_do_not_do_are_named(folder, tmp_path, lines, message):
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises((DataError, DamagedData), match=message) as error:
        prepare(folder, tmp_path / "m.csv", tmp_path / "mine.csv")
    assert "\n" not in str(error.value)


def test_folders_that_do_not_do_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        prepare(tmp_path / "nowhere", tmp_path / "m.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no audio files"):
        prepare(tmp_path / "empty", tmp_path / "m.csv")
    write(folder / "loose.wav", 100)
    with pytest.raises(DataError, match=r"loose.wav \(1 such files\) lies in no folder of a class"):
        prepare(folder, tmp_path / "m.csv")


def test_a_classifier_is_trained_without_a_file_of_the_user_s(folder, tmp_path):
    train_classifier.main([
        "hparams/classifier.yaml", "--dataset_yaml=hparams/datasets/folder.yaml",
        f"--data_folder={folder}", f"--output_folder={tmp_path / 'out'}", "--number_of_epochs=1",
        f"--results_folder={tmp_path}", "--classifier_width=2", "--batch_size=4",
        "--signal_length_s=0.6", "--device=cpu",
    ])  # fmt: skip
    info = json.loads((tmp_path / "out" / "best" / "info.json").read_text())
    assert info["dataset"] == "my sounds" and info["valid"]["clips"] >= 2
    assert (tmp_path / "out" / "folds.csv").is_file()
    assert "cat" in (tmp_path / "out" / "best" / "label_encoder.txt").read_text()
