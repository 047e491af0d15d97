"""``--dry_run=True``: what it says, that it leaves nothing, and what comes before decoding."""

import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY
from planted import plant

import eval_explanations
import lmac.training.brain
import train_classifier
import train_lmac
from data_prep.audio import AudioCache
from lmac.classifiers import Cnn14, LinearHead
from lmac.io import dry_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results with an untrained classifier."""
    folder = tmp_path_factory.mktemp("results")
    torch.manual_seed(0)
    model = Cnn14(width=4)
    (folder / "best").mkdir()
    torch.save(model.state_dict(), folder / "best/embedding_model.ckpt")
    torch.save(LinearHead(model.emb_dim, 10).state_dict(), folder / "best/classifier.ckpt")
    return folder


def words(yaml, folder, *more):
    return [f"hparams/{yaml}.yaml", *TINY, f"--results_folder={folder}", "--batch_size=4", *more,
            f"--classifier_checkpoint={folder}/best", "--dry_run=True"]  # fmt: skip


def contents(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_a_training_is_tried_and_leaves_nothing(folder, capsys):
    before = contents(folder)
    train_lmac.main(words("lmac", folder, "--decoder_hidden=8", "--number_of_epochs=7"))
    assert contents(folder) == before and dry_run.SEEN is None
    out = capsys.readouterr().out
    assert "Dry run: all is well" in out and "clips: 30 train, 10 valid" in out
    assert "7 epochs of 8 steps of 4 clips" in out and "device cpu" in out  # 30 clips, the last 2
    assert f" in {folder}/lmac/stft/1234" in out and "Decoder:" not in out


def test_a_fault_inside_is_seen(folder, monkeypatch):
    """SpeechBrain has exceptions logged, but the log of a trial is thrown away."""

    def fails(self, batch):
        raise RuntimeError("a fault")

    monkeypatch.setattr(lmac.training.brain.TrainingBrain, "fit_batch", fails)
    before = sys.excepthook
    with pytest.raises(RuntimeError, match="a fault"):
        train_lmac.main(words("lmac", folder, "--decoder_hidden=8"))
    assert sys.excepthook is before


def test_an_evaluation_is_tried_beside_the_rows_that_are_there(folder, capsys):
    plant(folder / "there", "mixtures", "stft", ["IG"])  # of another classifier
    (folder / "there/scenario.csv").unlink()
    before = contents(folder)
    line = words("evaluation", folder, "--methods=[Saliency,All-ones]")
    eval_explanations.main([*line, f"--output_folder={folder}/new"])
    out = capsys.readouterr().out
    assert "clips: 20 clips" in out and "2 methods in 5 batches of 4 clips" in out
    with pytest.raises(ValueError, match="holds rows of another .*another --output_folder"):
        eval_explanations.main([*line, f"--output_folder={folder}/there"])
    assert contents(folder) == before and dry_run.SEEN is None


def test_checkpoints_and_folds_come_before_decoding(folder, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("decoded")

    monkeypatch.setattr(AudioCache, "fill", fail)
    line = [*TINY, f"--results_folder={tmp_path}", f"--data_folder={tmp_path}/sounds"]
    monkeypatch.setattr(lmac.training.brain, "prepare", fail)
    missing = "--classifier_checkpoint=nowhere"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train_lmac.main(["hparams/lmac.yaml", *line, missing])
    with pytest.raises(FileNotFoundError, match="finetune_from: there is no"):
        train_lmac.main(["hparams/lmac_finetune.yaml", *line, "--finetune_from=nowhere",
                         f"--classifier_checkpoint={folder}/best"])  # fmt: skip
    with pytest.raises((ValueError, FileNotFoundError), match="nowhere"):
        train_classifier.main(["hparams/classifier.yaml", *line, missing])
    with pytest.raises(ValueError, match="test_folds: fold .9. has no clips"):
        train_classifier.main(["hparams/classifier.yaml", *line, "--test_folds=[9]"])


def test_too_little_room_is_said_before_decoding(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=1_500_000)
    monkeypatch.setattr(dry_run.shutil, "disk_usage", lambda place: usage)
    dry_run.require_room(tmp_path / "not/there", 1.4e6, "things")
    with pytest.raises(ValueError, match="things take about 2.0 GB, and 1.5 MB are free"):
        dry_run.require_room(tmp_path / "not/there", 2e9, "things")
    usage.free = 0
    monkeypatch.setattr(AudioCache, "fill", lambda *_: 1 / 0)
    with pytest.raises(ValueError, match="the decoded clips take about"):
        train_classifier.main(["hparams/classifier.yaml", *TINY, f"--results_folder={tmp_path}",
                               "--number_of_epochs=1"])  # fmt: skip
