"""What a report states about the data, and that it can be read back."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from planted import plant

from lmac.results.report import caption, read_caption, write_report


@pytest.fixture
def hparams(tmp_path):
    folder = tmp_path / "wham_noise" / "tt"
    folder.mkdir(parents=True)
    return {
        "output_folder": str(tmp_path / "id_stft"),
        "scenario_manifest": str(tmp_path / "id_stft" / "scenario.csv"),
        "dataset": "ESC-10",
        "domain": "stft",
        "scenario": "id",
        "signal_length_s": 5.0,
        "seed": 1,
        "n_boot": 20,
        "target_folds": [4],
        "valid_folds": [4],
        "contaminant_folds": [5],
        "contaminant_folder": str(folder),
        "last_contaminants": None,
        "classifier_name": "CNN14",
        "signal_path": "direct",
        "embedding_model": SimpleNamespace(reads="mel"),
    }


def test_names_the_contaminants_with_their_parent_and_number(hparams, tmp_path):
    rows = plant(tmp_path / "id_stft", "id", "stft", ["IG"], clips=4)
    pd.DataFrame(
        {"ID": list("abcd"), "contaminant_wav": ["x.wav", "y.wav", "x.wav", "x.wav"]}
    ).to_csv(hparams["scenario_manifest"], index=False)
    data = caption(rows, hparams, {}, "cpu")[1]
    assert "contaminants from wham_noise/tt (2 different recordings drawn)" in data
    assert "fold [4] (the fold that also selected the checkpoints, as published), " in data
    data = caption(rows, {**hparams, "last_contaminants": 3000, "target_folds": [5]}, {}, "cpu")[1]
    assert "wham_noise/tt, the last 3000 files (2 different" in data
    assert "fold [5] (not used to select any checkpoint), " in data


def test_the_caption_is_read_back_as_it_was_written(hparams, tmp_path):
    hparams["scenario"] = "mixtures"
    rows = plant(tmp_path / "id_stft", "mixtures", "stft", ["IG", "All-ones"], clips=4)
    write_report(rows, hparams, {}, "cpu")
    found = read_caption(Path(hparams["output_folder"]) / "table.md")
    assert found == caption(rows, hparams, {}, "cpu")[1:]
    assert len(found) == 4 and "contaminants from fold [5]; manifest" in found[0]
