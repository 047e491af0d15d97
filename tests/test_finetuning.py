"""Stage 2 through the script: from a stage-1 decoder, and from nothing else."""

import json
import shutil

import pandas as pd
import pytest
import speechbrain as sb
import torch
from conftest import TINY

import eval_explanations
import train_classifier
import train_lmac
from lmac.training.lmac import DecoderBrain


def finetune(folder, name, *overrides):
    train_lmac.main(
        ["hparams/lmac_finetune.yaml", *TINY, f"--results_folder={folder}",
         f"--classifier_checkpoint={folder}/classifier/best", "--decoder_hidden=8",
         f"--finetune_from={folder}/lmac/best", "--number_of_epochs=1",
         f"--output_folder={folder}/{name}", *overrides]
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained classifier and stage-1 decoder."""
    folder = tmp_path_factory.mktemp("finetuning")
    train_classifier.main(
        ["hparams/classifier.yaml", *TINY, f"--results_folder={folder}", "--batch_size=10",
         f"--output_folder={folder}/classifier", "--number_of_epochs=1"]
    )  # fmt: skip
    train_lmac.main(
        ["hparams/lmac.yaml", *TINY, f"--results_folder={folder}", "--number_of_epochs=1",
         f"--classifier_checkpoint={folder}/classifier/best", "--decoder_hidden=8",
         f"--output_folder={folder}/lmac"]
    )  # fmt: skip
    return folder


def test_it_starts_from_the_given_decoder_logs_the_selected_and_goes_on(folder):
    # With a rate below what float32 can add only BatchNorm statistics move: the weights are those
    # of stage 1.
    finetune(folder, "still", "--lr=1e-30", "--cc_th=-1")
    one, two = (
        torch.load(folder / name / "best" / "decoder.ckpt", weights_only=True)
        for name in ("lmac", "still")
    )
    weights = [k for k in one if "running" not in k and "tracked" not in k]
    assert weights and all(torch.equal(one[k], two[k]) for k in weights)
    log = (folder / "still" / "train_log.txt").read_text()
    assert "train selected: 30" in log and "train of: 30" in log
    assert "valid selected: 10" in log and "valid of: 10" in log

    finetune(folder, "none", "--cc_th=1")
    assert "train selected: 0, train of: 30" in (folder / "none" / "train_log.txt").read_text()
    finetune(folder, "none", "--cc_th=1", "--number_of_epochs=2")
    log = (folder / "none" / "train_log.txt").read_text()
    assert log.count("epoch: 1,") == 1 and log.count("epoch: 2,") == 1


def validated_clips(folder, name, monkeypatch, *overrides):
    """(X, clean X) of every batch of validation, in the order of the run."""
    seen, real = [], DecoderBrain.compute_objectives

    def record(brain, step, batch, stage):
        if stage == sb.Stage.VALID:
            seen.append((step.X, step.clean_X))
        return real(brain, step, batch, stage)

    monkeypatch.setattr(DecoderBrain, "compute_objectives", record)
    finetune(folder, name, *overrides)
    monkeypatch.undo()
    return seen


def test_every_epoch_and_run_validates_on_the_same_mixtures(folder, monkeypatch):
    options = ["--number_of_epochs=2", "--batch_size=5", "--mix_probability=1.0"]
    one = validated_clips(folder, "validated", monkeypatch, *options)
    other = validated_clips(folder, "validated_too", monkeypatch, *options, "--lr=0.0003")
    assert len(one) == len(other) == 4  # two batches an epoch
    for a, b in [(one[i], one[i + 2]) for i in (0, 1)] + list(zip(one, other, strict=True)):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    for X, clean_X in one:
        assert ((X - clean_X).abs().flatten(1).amax(1) > 0.1).all()


@pytest.mark.parametrize("guidance", ["bce", "mse"])
def test_guidance_leads_to_the_clean_source(folder, guidance):
    """With every clip selected and little else in the loss, the guidance term falls."""
    options = ["--cc_th=-1", "--l_in=0.0", "--l_out=0.0", "--number_of_epochs=6", "--lr=0.01"]
    finetune(folder, f"guided_{guidance}", *options, f"--guidance={guidance}")
    losses = [
        float(line.split("train guidance: ")[1].split(",")[0])
        for line in (folder / f"guided_{guidance}" / "train_log.txt").read_text().splitlines()
        if "train guidance" in line
    ]
    assert len(losses) == 6 and losses[-1] < 0.9 * losses[0]


def test_both_stages_in_one_table(folder):
    finetune(folder, "lmac_ft")
    eval_explanations.main(
        ["hparams/evaluation.yaml", *TINY, f"--results_folder={folder}", "--listen=0",
         f"--classifier_checkpoint={folder}/classifier/best", "--decoder_hidden=8",
         f"--lmac_checkpoint={folder}/lmac/best", f"--lmac_ft_checkpoint={folder}/lmac_ft/best",
         "--methods=[L-MAC,L-MAC FT,Oracle,All-ones]", f"--output_folder={folder}/table",
         "--n_boot=20"]
    )  # fmt: skip
    rows = pd.read_csv(folder / "table" / "metrics.csv").set_index("method")
    assert (rows.loc["L-MAC", "MM"].to_numpy() != rows.loc["L-MAC FT", "MM"].to_numpy()).any()
    # What the oracle keeps is the source, wherever it is not louder than the mixture.
    distance, audio = (
        rows.groupby("method")[c].mean() for c in ("distance to source", "SI-SDR (dB)")
    )
    assert distance["Oracle"] < distance["All-ones"] and audio["Oracle"] > audio["All-ones"]


@pytest.mark.parametrize(
    "override, message",
    [
        ("--finetune_from=nowhere", "finetune_from: there is no nowhere"),
        ("--finetune_from=null", "finetune_from is not set"),
        ("--domain=mel", "was trained for domain stft, not for mel"),
        ("--decoder_hidden=4", "was trained with decoder_hidden 8"),
    ],
)
def test_missing_and_foreign_checkpoints_are_refused(folder, override, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        finetune(folder, "refused", override)


def test_a_refused_command_can_be_corrected(folder):
    with pytest.raises(FileNotFoundError):
        finetune(folder, "corrected", "--finetune_from=nowhere")
    finetune(folder, "corrected")
    assert (folder / "corrected" / "best" / "decoder.ckpt").is_file()
    with pytest.raises(ValueError, match="holds a run with finetune_from .*lmac/best, now"):
        finetune(folder, "corrected", "--finetune_from=elsewhere")


def test_a_decoder_of_another_classifier_is_refused(folder, tmp_path):
    shutil.copytree(folder / "lmac" / "best", tmp_path / "best")
    info = json.loads((tmp_path / "best" / "info.json").read_text())
    info["classifier_weights"] = "0" * 12
    (tmp_path / "best" / "info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="info.json is damaged or was changed"):
        finetune(folder, "refused", f"--finetune_from={tmp_path}/best")
    (tmp_path / "best" / "SHA256SUMS").unlink()  # a folder of an earlier version has none
    with pytest.raises(ValueError, match="classifier_weights 000000000000"):
        finetune(folder, "refused", f"--finetune_from={tmp_path}/best")


def test_a_decoder_of_the_other_signal_path_is_refused(folder):
    with pytest.raises(ValueError, match="was trained for signal_path direct, not for waveform"):
        finetune(folder, "refused", "--signal_path=waveform")


def test_what_is_recorded_beside_the_weights(folder):
    one, classifier = (
        json.loads((folder / name / "best" / "info.json").read_text())
        for name in ("lmac", "classifier")
    )
    for info in (one, classifier):
        assert info["dataset"] == "built-in sounds" and info["seed"] == 1234
        assert (info["train_folds"], info["valid_folds"]) == ([1, 2, 3], [4])
        assert info["signal_path"] == "direct"
    assert classifier["test_folds"] == [5] and classifier["number_of_epochs"] == 1
    assert classifier["augmentation"]["mixup"] == 0.3
    assert one["epochs"] == 1 and one["l_sparse"] == 6.4 and one["l_guidance"] == 0
    assert one["out_share"] == 0.25
    assert one["decoder"] == {
        **{"class": "TopDownDecoder", "hidden": 8, "detail": 8, "head": 1, "gain": 4.0},
        **{"conditioned": False, "reads_input": True},
    }
    assert one["augmentation"] == {
        **{"mix_probability": 0.8, "mix_snr_db": [0, 15], "gain_db": [-6, 0]},
        **{"noise_folder": None, "noise_path": None},
        **{"noise_probability": 1.0, "noise_snr_db": [0, 0]},
    }
