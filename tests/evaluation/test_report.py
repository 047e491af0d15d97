"""What a report states: what was recorded where it was done, and never what was not run."""

from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import forget_sum
from planted import plant

from data_prep.scenario_record import write_rows
from lmac.evaluation.files import public
from lmac.evaluation.folder import EvaluationFolder
from lmac.evaluation.report import augmentation, statement, write_report
from metrics.significance import against_reference, footnote

MIXED = {
    "mix_probability": 1.0, "mix_snr_db": [0, 20], "gain_db": [-6, 0], "noise_folder": None,
    "noise_path": None, "noise_probability": 1.0, "noise_snr_db": [0, 0],
}  # fmt: skip
NOISY = {**MIXED, "noise_folder": "wham_noise/tr", "noise_path": "/home/me/wham_noise/tr"}
CLASSIFIER = {
    "loss": "cross_entropy", "number_of_epochs": 50, "seed": 7, "valid_folds": [4],
    "valid": {"folds": [4], "accuracy": 0.9375}, "test": {"folds": [5], "accuracy": 0.875},
    "augmentation": {**MIXED, "mix_probability": 0.5, "mix_snr_db": [0, 15]},
}  # fmt: skip
DECODER = {
    "l_in": 8.0, "l_out": 0.2, "l_sparse": 4.0, "l_guidance": 0.0, "epochs": 40,
    "valid_folds": [4], "augmentation": MIXED, "finetune_from": "/home/me/results",
    "decoder": {"class": "TopDownDecoder", "conditioned": False, "reads_input": True},
}  # fmt: skip


@pytest.fixture
def hparams():
    """Settings that differ from what was recorded, wherever they may."""
    return {
        "dataset": "ESC-10",
        "domain": "stft",
        "scenario": "mixtures",
        "signal_length_s": 5.0,
        "seed": 99,
        "n_boot": 20,
        "target_folds": [1],
        "contaminant_folds": [2],
        "contaminant_folder": None,
        "interpreters": {"L-MAC": None, "IG": None, "All-ones": None},
        "classifier_name": "CNN14",
        "signal_path": "direct",
        "embedding_model": SimpleNamespace(reads="mel"),
    }


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path, {"target_folds": [4], "contaminant_folds": [5]})


def make(path, record, contaminants=("x", "y", "z"), methods=("L-MAC", "IG", "All-ones")):
    """An evaluation with a manifest of this record, and L-MAC as a trained row."""
    rows = plant(path, "mixtures", "stft", list(methods), clips=12)
    manifest = [
        {
            "ID": ID, "scenario": "mixtures", "target": target, "target_wav": "", "label": "dog",
            "contaminant": contaminants[i % len(contaminants)], "contaminant_wav": f"{i % 3}.wav",
            "contaminant_label": "rain", "gain_target": 0.8, "gain_contaminant": 0.2, "offset": 0,
            "short": "pad",
        }
        for i, (ID, target) in enumerate(
            rows.drop_duplicates("ID")[["ID", "target_id"]].itertuples(index=False)
        )
    ]  # fmt: skip
    record = {"dataset": "ESC-10", "seed": 1234, "per_target": 2, **record}
    write_rows(manifest, record, path / "scenario.csv")
    (path / "evaluation.json").unlink()
    folder = EvaluationFolder(path)
    notes = {m: {"description": f"{m}()"} for m in methods}
    notes["L-MAC"]["trained"] = public(DECODER)
    folder.begin({"scenario": "mixtures"}, notes)
    return folder


def told(folder, hparams, info=CLASSIFIER):
    return statement(folder, folder.rows(), hparams, info, "cpu")


def test_the_data_are_those_of_the_manifest_and_not_of_the_settings(folder, hparams):
    data = told(folder, hparams)["data"]
    assert "targets of fold [4] (the fold that also selected checkpoints, as published)" in data
    assert "contaminants of fold [5], drawn with seed 1234" in data
    assert "12 clips of 6 different targets and 3 different contaminant recordings." in data
    assert "Thin data: 3 contaminant recordings serve all 12 clips, each of them for 4" in data


def test_whether_targets_selected_a_checkpoint_is_what_checkpoints_recorded(tmp_path, hparams):
    folder = make(tmp_path, {"target_folds": [5], "contaminant_folds": [4]})
    assert "fold [5] (not used to select any checkpoint)" in told(folder, hparams)["data"]
    # One checkpoint that was selected there is enough, whichever it is.
    for info, decoder in ((dict(CLASSIFIER, valid_folds=[5]), DECODER),
                          (CLASSIFIER, dict(DECODER, valid_folds=[3, 5]))):  # fmt: skip
        folder.begin({}, {"L-MAC": {"description": "L-MAC()", "trained": decoder}})
        assert "(the fold that also selected checkpoints" in told(folder, hparams, info)["data"]
    # And one that did not say leaves it open.
    folder.begin({}, {"L-MAC": {"description": "L-MAC()", "trained": DECODER}})
    assert "is not recorded for all of them" in told(folder, hparams, {})["data"]


def test_a_folder_of_contaminants_is_named_with_its_last_files(tmp_path, hparams):
    record = {"target_folds": [4], "contaminant_folder": "LJSpeech-1.1/wavs"}
    folder = make(tmp_path / "a", {**record, "last_contaminants": 3000})
    assert (
        "contaminants from LJSpeech-1.1/wavs, its last 3000 files, drawn with"
        in told(folder, hparams)["data"]
    )
    assert "LJSpeech-1.1/wavs, drawn" in told(make(tmp_path / "b", record), hparams)["data"]


def test_an_old_manifest_says_that_it_does_not_say(folder, hparams):
    path = folder.path / "scenario.csv"
    pd.read_csv(path).drop(columns=["seed", "target_folds", "contaminant_folds", "dataset",
        "contaminant_folder", "last_contaminants", "drawn_from", "per_target", "signal_length_s",
        "sample_rate"]).to_csv(path, index=False)  # fmt: skip
    forget_sum(path)  # as versions without checksums left it
    data = told(folder, hparams)["data"]
    assert "what the scenario was drawn with is not recorded: 12 clips of 6" in data


def test_trained_rows_state_how_they_were_trained(folder, hparams):
    text = told(folder, hparams)["training"]
    assert text == (
        "L-MAC was trained with l_in 8, l_out 0.2, l_sparse 4, 40 epochs, other clips mixed in at "
        "0 to 20 dB in 100 % of the clips."
    )
    more = {
        "l_guidance": 4.0, "guidance": "bce", "cc_th": 0.6, "bin_th": 0.35,
        "decoder": {"reads_input": False, "conditioned": True}, "augmentation": NOISY,
    }  # fmt: skip
    folder.begin({}, {"L-MAC": {"description": "L-MAC()", "trained": {**DECODER, **more}}})
    text = told(folder, hparams)["training"]
    for words in (
        "l_guidance 4 (bce, cc_th 0.6, bin_th 0.35)",
        "a decoder that does not read X",
        "that is given the class",
        "noise of wham_noise/tr mixed in at 0 dB in 100 %",
    ):
        assert words in text
    folder.begin({}, {"L-MAC": {"description": "L-MAC()", "trained": {}}})
    assert told(folder, hparams)["training"] == (
        "L-MAC was trained with settings that are not recorded."
    )


def test_in_noise_it_is_said_who_was_trained_in_noise(folder, hparams):
    assert "noise" not in told(folder, hparams)
    hparams["scenario"] = "noise"
    assert told(folder, hparams)["noise"] == "Trained without noise: the classifier, L-MAC."
    info = {**CLASSIFIER, "augmentation": NOISY}
    assert told(folder, hparams, info)["noise"] == (
        "Trained in wham_noise/tr at 0 dB: the classifier. Trained without noise: L-MAC."
    )
    assert "noise of the classifier is not recorded" in told(folder, hparams, {})["noise"]


def test_augmentation_in_words():
    assert augmentation(NOISY) == "noise of wham_noise/tr mixed in at 0 dB in 100 % of the clips"
    assert augmentation({**MIXED, "mix_probability": 0.0}) == "nothing mixed in"


def test_paired_tests_are_stated_of_these_rows(folder, hparams):
    text = told(folder, hparams)["tests"]
    assert text == footnote(against_reference(folder.rows()))
    assert "corrected by Holm" in text and "AI, against L-MAC: " in text and "IG" in text


def test_no_path_of_a_machine_is_kept(folder):
    assert "/home/me" not in (folder.path / "evaluation.json").read_text()
    assert public({"seed": 1}) == {"seed": 1}


def test_the_classifier_and_the_path(folder, hparams):
    paragraphs = told(folder, hparams)
    assert "CNN14 (loss cross_entropy; number_of_epochs 50; seed 7; other clips mixed in at 0 to " \
        "15 dB in 50 % of the clips; accuracy 93.8 % on folds [4]; 87.5 % on folds [5])" \
        in paragraphs["classifier"]  # fmt: skip
    assert "path" not in paragraphs
    assert "its training is not recorded" in told(folder, hparams, {})["classifier"]
    hparams["signal_path"] = "waveform"
    assert told(folder, hparams)["path"].startswith("Waveform path: ")


def test_the_statement_is_kept_as_it_is_printed(folder, hparams):
    text = write_report(folder, hparams, CLASSIFIER, "cpu")
    kept = EvaluationFolder(folder.path).statement
    assert list(kept)[0] == "title" and list(kept)[-1] == "run"
    for paragraph in kept.values():
        assert f"{paragraph}\n\n" in text
    assert (folder.path / "table.md").read_text() == text
    assert list(folder.written_summary["method"]) == ["L-MAC", "IG", "All-ones"]
