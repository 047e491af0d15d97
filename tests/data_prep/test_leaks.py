"""Leaks: planted ones are found, and the real data has none."""

import logging
from itertools import permutations
from types import SimpleNamespace

import pandas as pd
import pytest
from layouts import us8k_row, write_sound, write_urbansound8k

from data_prep.esc50 import prepare as prepare_esc50
from data_prep.leaks import (
    scenario_leaks,
    source_leaks,
    warn_of_scenario_leaks,
    warn_of_training_leaks,
)
from data_prep.manifest import DataError, read_manifest, select_folds
from data_prep.scenarios import scenario_manifest
from data_prep.urbansound8k import prepare

FOLDS = {"train_folds": list(range(1, 9)), "valid_folds": [9], "test_folds": [10]}


@pytest.fixture
def planted(tmp_path):
    """A slice of recording 1031 (fold 3, car horn) in fold 10 as well; without, and with."""
    folder = write_urbansound8k(tmp_path / "u", seconds=0.1)
    prepare(folder, tmp_path / "clean.csv")
    write_sound(folder / "audio" / "fold10" / "1031-1-0-7.wav", 0.1)
    with (folder / "metadata" / "UrbanSound8K.csv").open("a") as file:
        file.write(us8k_row("1031-1-0-7.wav", 1031, 0.1, 10, 1))
    prepare(folder, tmp_path / "leak.csv")
    return SimpleNamespace(**{n: read_manifest(tmp_path / f"{n}.csv") for n in ("clean", "leak")})


def test_a_planted_leak_is_reported(planted):
    leaks = source_leaks(planted.leak, FOLDS["train_folds"], [10])
    assert leaks.to_dict("records") == [
        {"source": "1031", "train": ["1031-1-0-0"], "test": ["1031-1-0-7"]}
    ]
    assert source_leaks(planted.leak, FOLDS["train_folds"], [9]).empty
    assert source_leaks(planted.clean, FOLDS["train_folds"], [10]).empty


def test_what_cannot_be_checked_is_no_all_clear(planted):
    with pytest.raises(DataError, match=r"Fold \[2\] is in the training and in the test folds"):
        source_leaks(planted.clean, [1, 2], [2, 3])
    unknown = planted.clean.assign(source="")
    with pytest.raises(DataError, match=r"names no source recording of 1010-0-0-0 \(6 such clips"):
        source_leaks(unknown, [1, 2], [3])


def test_training_says_what_leaks(planted, caplog):
    with caplog.at_level(logging.WARNING):
        assert not warn_of_training_leaks(planted.clean, FOLDS) and not caplog.records
        assert warn_of_training_leaks(planted.leak, FOLDS)
        assert "recording 1031 is in train_folds (1031-1-0-0) and in test_folds" in caplog.text
        assert warn_of_training_leaks(planted.clean, {**FOLDS, "test_folds": [8, 9]})
        assert "train_folds and test_folds share fold [8]" in caplog.text
    assert not warn_of_training_leaks(planted.clean.assign(source=""), FOLDS)


def test_scenarios_with_clips_of_training(planted, tmp_path, caplog):
    def draw(manifest, target, contaminant):
        parts = [select_folds(manifest, fold, "folds") for fold in (target, contaminant)]
        path = tmp_path / f"{target}_{contaminant}_{len(manifest)}.csv"
        return scenario_manifest(path, "mixtures", *parts, duration_s=0.1)

    train = FOLDS["train_folds"]
    assert scenario_leaks(draw(planted.clean, 9, 10), planted.clean, train).empty
    assert len(scenario_leaks(draw(planted.clean, 3, 10), planted.clean, train)) == 6
    assert len(scenario_leaks(draw(planted.clean, 9, 3), planted.clean, train)) == 6
    # A slice of fold 10 cut from a recording of fold 3: 1 target, and a contaminant of others.
    rows = draw(planted.leak, 9, 10)
    leaks = scenario_leaks(rows, planted.leak, train)
    assert len(leaks) > 0 and set(leaks["contaminant"]) == {"1031-1-0-7"}
    assert len(leaks) == (rows["contaminant"] == "1031-1-0-7").sum()
    # The folds that the classifier was really trained on count.
    rows = draw(planted.clean, 9, 10)

    def warned(**trained):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert warn_of_scenario_leaks(rows, planted.clean, trained, train) == bool(caplog.text)
        return caplog.text

    message = "6 of the 6 clips explained have a target or contaminant of the training folds [10]"
    text = warned(classifier_checkpoint={"train_folds": [10]})
    assert f"{message} of classifier_checkpoint" in text
    assert not warned(classifier_checkpoint={}) and not warned()
    # So do those of a decoder, which may have been trained on others than the classifier.
    text = warned(classifier_checkpoint={"train_folds": [1]}, lmac_checkpoint={"train_folds": [10]})
    assert f"{message} of lmac_checkpoint" in text and "classifier_checkpoint" not in text
    assert not warned(lmac_checkpoint={"train_folds": [1]}, l2i_checkpoint={})


@pytest.fixture(scope="module")
def real(esc10, tmp_path_factory):
    path = tmp_path_factory.mktemp("real") / "m.csv"
    prepare_esc50(esc10, path, esc10_only=True)
    return read_manifest(path)


def test_the_real_metadata_is_what_is_checked(real, esc10):
    meta = pd.read_csv(esc10 / "meta" / "esc50.csv", dtype=str).set_index("filename")
    assert real["source"].tolist() == meta.loc[real["wav"].str[6:], "src_file"].tolist()
    assert real["source"].nunique() < len(real)  # several clips of one recording: it could leak


def test_no_recording_of_the_real_esc10_is_in_two_folds(real):
    for test in range(1, 6):
        train = [fold for fold in range(1, 6) if fold != test]
        assert source_leaks(real, train, [test]).empty
    # The check finds it when one clip is moved.
    twice = real[real["source"].duplicated(keep=False) & (real["fold"] == 5)]
    moved = real.assign(fold=real["fold"].where(real["ID"] != twice["ID"].iloc[0], 1))
    assert source_leaks(moved, [1, 2, 3, 4], [5])["source"].tolist() == [twice["source"].iloc[0]]


@pytest.mark.parametrize("target,contaminant", permutations((4, 5)))
def test_real_contaminants_never_come_from_training_folds(real, tmp_path, target, contaminant):
    parts = [select_folds(real, fold, "folds") for fold in (target, contaminant)]
    rows = scenario_manifest(tmp_path / "s.csv", "mixtures", *parts, seed=1234)
    assert len(rows) == 160 and scenario_leaks(rows, real, [1, 2, 3]).empty
    fold_of = real.set_index("ID")["fold"]
    assert set(fold_of[rows["contaminant"]]) == {contaminant}
    assert set(fold_of[rows["target"]]) == {target}


@pytest.mark.parametrize("folder", ["mixtures_stft", "mixtures_stft_fold5"])
def test_the_published_manifests_of_this_repository(real, folder):
    """Those that the tables in recipes/ESC10/results were computed on."""
    rows = pd.read_csv(f"recipes/ESC10/results/{folder}/scenario.csv", keep_default_na=False)
    assert len(rows) == 160 and scenario_leaks(rows, real, [1, 2, 3]).empty
    assert len(scenario_leaks(rows, real, [4])) == 160  # it could fail
