"""A scenario manifest says what it was drawn with, and is refused for anything else."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from data_prep.manifest import DataError
from data_prep.scenario_record import COLUMNS, RECORD, drawn_with, thin_data
from data_prep.scenarios import scenario_clips
from lmac.io.files import SUMS, Damaged


@pytest.fixture
def data(tmp_path):
    """Hyperparameters of an evaluation, the manifest of the data set and a folder of noise."""
    rows = [
        {"ID": f"c{i}", "wav": f"c{i}.wav", "label": "abcd"[i % 4], "duration": 2.0,
         "fold": 1 + i % 3, "source": ""}
        for i in range(24)
    ]  # fmt: skip
    for split, names in {"tt": "pqrs", "tr": "uvw"}.items():
        folder = tmp_path / "private" / "wham_noise" / split
        folder.mkdir(parents=True)
        for i, name in enumerate(names):
            wave = 0.1 * np.random.default_rng(i).standard_normal(16000 * (i + 1))
            soundfile.write(folder / f"{name}.wav", wave, 16000)
    hparams = {
        "dataset": "made up",
        "scenario": "mixtures",
        "scenario_seed": 1,
        "batch_size": 4,
        "target_folds": [1],
        "contaminant_folds": [2],
        "contaminant_folder": str(tmp_path / "private" / "wham_noise" / "tt"),
        "last_contaminants": None,
        "signal_length_s": 1.0,
        "sample_rate": 16000,
        "scenario_manifest": str(tmp_path / "out" / "scenario.csv"),
        "data_folder": str(tmp_path),
        "cache_folder": None,
        "classifier_checkpoint": None,
        "train_folds": [3],
    }
    return hparams, pd.DataFrame(rows)


def draw(data, **changes):
    hparams, manifest = data
    return scenario_clips({**hparams, **changes}, manifest, list("abcd"), {})[0]


def as_of_ones_own(data):
    """The manifest, without the checksum of what was drawn; its path."""
    path = Path(data[0]["scenario_manifest"])
    path.with_name(SUMS).unlink()
    return path


def record(data):
    return drawn_with(data[0]["scenario_manifest"])


def test_states_all_settings_and_survives_a_copy(data, tmp_path):
    draw(data)
    shutil.copyfile(data[0]["scenario_manifest"], tmp_path / "published.csv")
    names = "\n".join(f"c{i}.wav 2.000" for i in range(24) if 1 + i % 3 == 2)
    digest = hashlib.sha256(names.encode()).hexdigest()[:12]
    assert drawn_with(tmp_path / "published.csv") == {
        "scenario": "mixtures",
        "gains": [0.8, 0.2],
        "dataset": "made up",
        "seed": 1,
        "target_folds": [1],
        "contaminant_folds": [2],
        "contaminant_folder": None,
        "last_contaminants": None,
        "drawn_from": f"8 recordings ({digest})",
        "per_target": 2,
        "signal_length_s": 1.0,
        "sample_rate": 16000,
    }
    table = pd.read_csv(tmp_path / "published.csv")  # as anybody reads it
    assert len(table) == 16 and table["seed"].eq(1).all() and table["offset"].dtype == int


def test_no_private_path_is_published(data):
    draw(data, scenario="speech", last_contaminants=3)
    known = record(data)
    assert known["contaminant_folder"] == "wham_noise/tt" and known["contaminant_folds"] is None
    assert known["last_contaminants"] == 3 and known["drawn_from"].startswith("3 recordings (")
    assert "private" not in open(data[0]["scenario_manifest"]).read()


@pytest.mark.parametrize("scenario,changes,words", [
    ("mixtures", {"scenario_seed": 2}, "seed 1, asked for is 2"),
    ("white_noise", {"scenario_seed": 2}, "seed 1, asked for is 2"),
    ("mixtures", {"contaminant_folds": [3]}, r"contaminant_folds \[2\], asked for is \[3\]"),
    ("mixtures", {"contaminant_folds": [3, 2]}, r"contaminant_folds \[2\], asked for is \[2, 3\]"),
    ("plain", {"target_folds": [1, 2]}, r"target_folds \[1\], asked for is \[1, 2\]"),
    ("mixtures", {"dataset": "ESC-10"}, "dataset made up, asked for is ESC-10"),
    ("mixtures", {"signal_length_s": 1.5}, "signal_length_s 1.0, asked for is 1.5"),
    ("mixtures", {"sample_rate": 8000}, "sample_rate 16000, asked for is 8000"),
    ("speech", {"last_contaminants": 3}, "last_contaminants null, asked for is 3"),
])  # fmt: skip
def test_other_settings_are_refused(data, scenario, changes, words):
    draw(data, scenario=scenario)
    before = open(data[0]["scenario_manifest"]).read()
    remedy = ": give another --scenario_manifest or --output_folder, or delete the file"
    with pytest.raises(DataError, match=f"scenario.csv was drawn with {words}{remedy}") as e:
        draw(data, scenario=scenario, **changes)
    assert "\n" not in str(e.value)
    assert open(data[0]["scenario_manifest"]).read() == before
    draw(data, scenario=scenario, target_folds=1, signal_length_s=1)  # the same in other words


def test_another_folder_or_other_recordings_in_it_are_refused(data, tmp_path):
    draw(data, scenario="speech")
    folder = tmp_path / "private" / "wham_noise" / "tt"
    shutil.copytree(folder, tmp_path / "street" / "tt")
    with pytest.raises(DataError, match="folder wham_noise/tt, asked for is street/tt: give"):
        draw(data, scenario="speech", contaminant_folder=str(tmp_path / "street" / "tt"))
    shutil.copytree(folder, tmp_path / "elsewhere" / "wham_noise" / "tt")  # only moved
    draw(data, scenario="speech", contaminant_folder=str(tmp_path / "elsewhere/wham_noise/tt"))
    soundfile.write(folder / "p.wav", np.ones(20000), 16000)  # another one of the same name
    with pytest.raises(DataError, match=r"drawn_from 4 recordings \(\w{12}\), asked for is 4 reco"):
        draw(data, scenario="speech")
    (folder / "p.wav").unlink()
    with pytest.raises(DataError, match=r"drawn_from 4 recordings .*, asked for is 3 recordings"):
        draw(data, scenario="speech")


def test_other_levels_are_refused(data):
    draw(data)
    path = as_of_ones_own(data)
    path.write_text(path.read_text().replace(",0.8,0.2,", ",0.5,0.5,"))
    with pytest.raises(DataError, match=r"gains \[0.5, 0.5\], asked for is \[0.8, 0.2\]"):
        draw(data)


def test_a_setting_that_is_not_used_is_not_stated(data):
    draw(data, scenario="plain")
    known = record(data)
    assert known["contaminant_folds"] is known["contaminant_folder"] is known["drawn_from"] is None
    draw(data, scenario="plain", contaminant_folds=[3], contaminant_folder=None)


def test_manifests_of_earlier_versions_are_read_as_not_recorded(data):
    drawn = draw(data)
    path = as_of_ones_own(data)
    pd.read_csv(path)[list(COLUMNS)].to_csv(path, index=False)
    assert record(data) == {}
    pd.testing.assert_frame_equal(draw(data, scenario_seed=2), drawn)
    # Committed ones record it.
    kept = drawn_with("recipes/ESC10/results/mixtures_stft_fold5/scenario.csv")
    assert (kept["target_folds"], kept["contaminant_folds"], kept["seed"]) == ([5], [4], 1234)


def test_a_manifest_that_was_changed_is_not_taken_for_the_drawn_one(data):
    draw(data)
    path = Path(data[0]["scenario_manifest"])
    whole = path.read_bytes()
    for where in (3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:where] + bytes([whole[where] ^ 1]) + whole[where + 1 :])
        for read in (lambda: draw(data), lambda: record(data)):
            with pytest.raises(Damaged, match="scenario.csv is damaged or was changed.*own, give"):
                read()
    path.unlink()
    draw(data)  # from its seed
    assert path.read_bytes() == whole


def test_a_damaged_record_is_refused(data):
    draw(data)
    path = as_of_ones_own(data)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)

    def refused(changed, words):
        changed.to_csv(path, index=False)
        with pytest.raises(DataError, match=words):
            drawn_with(path)

    refused(table.drop(columns="seed"), "has lost its column seed: restore it, or delete")
    refused(table.assign(seed=["1", "2"] * 8), r"rows of two draws \(seed '1' and '2'\)")
    refused(table.assign(seed="one"), "its record cannot be read .*'one'")
    refused(table[:0], "has no rows")


def test_a_kill_leaves_no_half_manifest(data, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            draw(data)
    assert not os.path.exists(data[0]["scenario_manifest"])
    assert len(draw(data)) == 16 and set(RECORD) < set(record(data))


def manifest(targets, contaminants):
    ids = [str(i) for i in range(len(targets))]
    return pd.DataFrame({"ID": ids, "target": targets, "contaminant": contaminants})


def test_thin_data_is_said(tmp_path):
    two = thin_data(manifest(list("aabbcc"), list("xyxyxx")))
    assert two == [
        "6 clips of 3 different targets and 2 different contaminant recordings.",
        "Thin data: 2 contaminant recordings serve all 6 clips, each of them for 2 to 4; what "
        "these numbers say about other recordings rests on 2, not on 6.",
    ]
    one = thin_data(manifest(list("abc"), list("xxx")))
    assert "1 contaminant recording serves all 3 clips, and stands in for 3; " in one[1]
    many = [f"x{i // 2}" for i in range(40)]
    assert len(thin_data(manifest(many, many))) == 1  # twenty
    many[:2] = many[2:4]
    assert (
        "19 contaminant recordings serve all 40 clips, each of them for 2 to 4"
        in (thin_data(manifest(many, many))[1])
    )
    assert len(thin_data(manifest(list("abc"), list("xyz")))) == 1  # each its own: none shared


def test_draws_of_white_noise_are_independent(data):
    white = thin_data(draw(data, scenario="white_noise"))
    assert white == ["8 clips of 8 different targets, each with white noise of its own."]
    os.remove(data[0]["scenario_manifest"])
    assert thin_data(draw(data, scenario="plain")) == ["8 clips of 8 different targets."]


def test_the_committed_noise_says_how_many_recordings_it_is(tmp_path):
    path = "recipes/ESC10/results/noise_stft/scenario.csv"
    clips = pd.read_csv(path)
    n = len({name for name in clips["contaminant"]})
    assert n > 40 and thin_data(path)[0] == (
        f"80 clips of 80 different targets and {n} different contaminant recordings."
    )
    one = clips.assign(contaminant="noise5", contaminant_wav="noise5.wav")
    one.to_csv(tmp_path / "one.csv", index=False)
    words = thin_data(tmp_path / "one.csv")
    assert words[0] == "80 clips of 80 different targets and 1 different contaminant recording."
    assert "stands in for 80" in words[1]
