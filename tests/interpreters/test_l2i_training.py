"""L2I from the command line, on a few built-in sounds and a tiny classifier."""

import json
import shutil

import pandas as pd
import pytest
import torch
from conftest import make_explained
from speechbrain.dataio.encoder import CategoricalEncoder

import eval_explanations
import explain
from data_prep.builtin_events import CLASSES
from data_prep.builtin_sounds import generate
from interpreters.l2i import L2I
from lmac.training import l2i as train

TINY = ["--classifier_width=4", "--device=cpu"]
SOUNDS = [
    *("--dataset_yaml=hparams/datasets/builtin.yaml", "--clips_per_class=5"),
    "--signal_length_s=1.0",
]


def train_in(folder, *overrides):
    train.main(
        ["hparams/l2i.yaml", *TINY, *SOUNDS, f"--results_folder={folder}",
         f"--output_folder={folder}/l2i", f"--classifier_checkpoint={folder}/classifier",
         "--n_components=8", "--l2i_hidden=16", "--number_of_epochs=1", "--nmf_max_frames=1500",
         *overrides]
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder with a classifier of random weights, the sounds and a trained L2I."""
    folder = tmp_path_factory.mktemp("l2i")
    best = folder / "classifier"
    best.mkdir()
    classifier = make_explained(n_classes=10).classifier
    for part in ("embedding_model", "classifier"):
        torch.save(getattr(classifier, part).state_dict(), best / f"{part}.ckpt")
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(list(CLASSES), sequence_input=False)
    encoder.save(best / "label_encoder.txt")
    generate(folder / "builtin_sounds", clips_per_class=5, duration_s=1.0)
    train_in(folder)
    return folder


@pytest.fixture
def again(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "again")
    return tmp_path / "again"


def test_what_a_training_leaves(folder):
    info = json.loads((folder / "l2i/best/info.json").read_text())
    assert info["alpha"] == 10.0 and info["valid"]["folds"] == [4] and info["epochs"] == 1
    assert info["signal_path"] == "direct" and info["train_folds"] == [1, 2, 3]
    assert info["augmentation"]["mix_probability"] == 0.8 and info["domain"] == "stft"
    assert 0 < info["valid"]["relative_error"] and 0 <= info["valid"]["fidelity"] <= 1
    history = pd.read_csv(folder / "l2i/dictionary.csv")
    assert list(history.columns) == ["epoch", "relative_error", "seconds"]
    assert history["relative_error"].iloc[-1] == pytest.approx(
        info["dictionary_relative_error"], rel=1e-8
    )
    state = torch.load(folder / "l2i/best/l2i.ckpt", weights_only=True)
    assert state["W"].shape == (513, 8)
    torch.testing.assert_close(state["W"].norm(dim=0), torch.ones(8))


def test_it_goes_on_where_it_was(folder, again, capsys):
    before = (again / "l2i/dictionary.npz").read_bytes()
    train_in(again, "--number_of_epochs=3", f"--classifier_checkpoint={folder}/classifier")
    out = capsys.readouterr().out
    assert "not silent" not in out and "relative reconstruction error" in out
    assert (again / "l2i/dictionary.npz").read_bytes() == before
    log = (again / "l2i/train_log.txt").read_text()
    assert [log.count(f"epoch: {i},") for i in (1, 2, 3)] == [1, 1, 1]
    stored = torch.load(folder / "classifier/embedding_model.ckpt", weights_only=True)
    fresh = make_explained(n_classes=10).classifier.embedding_model.state_dict()
    assert all(torch.equal(stored[k], fresh[k]) for k in fresh)


def test_training_learns_to_reconstruct_and_to_agree(folder, tmp_path):
    for part in ("classifier", "builtin_sounds"):
        shutil.copytree(folder / part, tmp_path / part)
    train_in(tmp_path, "--number_of_epochs=25", "--lr=0.01", "--batch_size=8")
    lines = (tmp_path / "l2i/train_log.txt").read_text().splitlines()
    lines = [line for line in lines if line.startswith("epoch: ")]

    def history(name):
        return [float(line.split(f"train {name}: ")[1].split(",")[0].split()[0]) for line in lines]

    assert history("relative_error")[-1] < 0.8 * history("relative_error")[0]
    assert history("cross_entropy")[-1] < history("cross_entropy")[0]


def test_the_subset_is_said(folder, tmp_path, capsys):
    for part in ("classifier", "builtin_sounds"):
        shutil.copytree(folder / part, tmp_path / part)
    train_in(tmp_path, "--nmf_max_frames=500")
    assert "of which a random 500 are used" in capsys.readouterr().out


def test_evaluation_and_one_file(again):
    common = [*TINY, f"--classifier_checkpoint={again}/classifier", "--methods=[L2I]",
              f"--l2i_checkpoint={again}/l2i/best"]  # fmt: skip
    eval_explanations.main(
        ["hparams/evaluation.yaml", *common, *SOUNDS, f"--results_folder={again}",
         f"--output_folder={again}/evaluation", "--listen=1", "--n_boot=50"]
    )  # fmt: skip
    rows = pd.read_csv(again / "evaluation/metrics.csv")
    assert len(rows) == 20 and rows["MM"].between(0, 1).all() and rows["MM"].mean() > 0
    samples = sorted((again / "evaluation/samples").glob("*/L2I/explanation.wav"))
    assert len(samples) == 1

    sound = next((again / "builtin_sounds/audio").glob("*.wav"))
    explain.main(
        ["hparams/explain.yaml", *common, f"--audio={sound}", "--window_s=0.5",
         "--overlap_s=0.1", f"--target_class={list(CLASSES)[3]}", f"--output_folder={again}/one"]
    )  # fmt: skip
    out = again / "one" / sound.name / f"L2I, asked {list(CLASSES)[3]}"
    result = json.loads((out / "explanation.json").read_text())
    assert result["method"] == "L2I" and len(result["windows"]) > 1
    assert (out / "explanation.wav").stat().st_size > 1000


def test_what_training_recorded_is_compared(again):
    """But for the signal path: it is trained on unmasked clips, so it serves both."""
    path, explained = again / "l2i/best/info.json", make_explained(n_classes=10)
    info = json.loads(path.read_text())
    path.write_text(json.dumps(info | {"classifier_weights": "0" * 12}))
    with pytest.raises(ValueError, match="info.json is damaged or was changed"):
        L2I(explained, again / "l2i/best")
    (path.parent / "SHA256SUMS").unlink()  # a folder of an earlier version has none
    with pytest.raises(ValueError, match="l2i_checkpoint: .* classifier_weights 000000000000, not"):
        L2I(explained, again / "l2i/best")
    path.write_text(json.dumps(info | {"signal_path": "waveform"}))
    L2I(explained, again / "l2i/best")
    path.unlink()
    L2I(explained, again / "l2i/best")


def test_mistakes_get_one_sentence(again):
    (again / "l2i/hyperparams.yaml").unlink()  # else the settings of the run are compared first
    for override, message in (
        ("--domain=mel", "cannot explain domain: mel"),
        ("--seed=5", "dictionary.npz was made with seed 1234, now it is 5"),
        ("--train_folds=[1,2]", "dictionary.npz was made with training clips"),
        ("--n_components=9", "dictionary.npz was made with n_components 8, now it is 9"),
    ):
        with pytest.raises(ValueError, match=message) as problem:
            train_in(again, override)
        assert "\n" not in str(problem.value)
        (again / "l2i/hyperparams.yaml").unlink(missing_ok=True)
