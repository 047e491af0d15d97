"""A training that is killed anywhere and started again ends where it would have ended."""

import itertools
import logging
import os
import random
from pathlib import Path

import numpy as np
import pytest
import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.train_logger import FileTrainLogger
from torch import nn

from lmac.io.files import SUMS, Damaged, Unwritable
from lmac.io.random_state import random_numbers_kept
from lmac.training.brain import TrainingBrain
from lmac.training.checkpointer import Checkpointer
from lmac.training.schedules import one_cycle

LOSSES = [4.0, 2.0, 3.0, 5.0]
EPOCHS, STEPS = len(LOSSES), 3


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """A process that is killed loses nothing that it has written: only a crash would."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class Killed(BaseException):
    """As sudden as a kill for what is on the disk: nothing of ours catches it."""


class Noisy(TrainingBrain):
    """Draws from all generators at every step; ``kill`` ends it at that call of ``passing``."""

    stage_sums = ("seen",)
    kill = None

    def passing(self):
        if self.kill is not None and next(self.kill) == 0:
            raise Killed

    def compute_forward(self, batch, stage):
        self.passing()
        x = batch["x"].data
        if stage == sb.Stage.TRAIN:
            x = x + torch.randn(x.shape) + float(np.random.randn()) + random.random()
        return self.modules.model(x)

    def compute_objectives(self, predictions, batch, stage):
        self.seen.append((tuple(batch.id), float(predictions.detach().sum())))
        return predictions.square().mean()

    def on_stage_start(self, stage, epoch=None):
        self.seen = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        self.passing()
        # Of the whole stage, so that the log tells when some of it was lost.
        if stage != sb.Stage.TRAIN:  # so that the second epoch is the best one
            stage_loss = LOSSES[epoch - 1 if epoch else 1]
        stats = {"loss": stage_loss, "seen": sum(x for _, x in self.seen), "n": len(self.seen)}
        self.finish_stage(stage, stats, epoch)


def train(folder, kill=None, **run_opts):
    """Train in ``folder``, killed at moment ``kill``: weights, log and kept checkpoint."""
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(0)
    os.environ["SB_GLOBAL_SEED"] = "0"
    counter, model = EpochCounter(EPOCHS), nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
    brain = Noisy(
        modules={"model": model},
        opt_class=torch.optim.Adam,
        hparams={
            "lr_schedule": lambda progress: one_cycle(progress, 0.1), "steps_per_epoch": STEPS,
            "number_of_epochs": EPOCHS, "epoch_counter": counter,
            "train_logger": FileTrainLogger(str(folder / "train_log.txt"), precision=6),
        },
        run_opts={"device": "cpu", "noprogressbar": True, **run_opts},
        checkpointer=Checkpointer(folder / "save", {"counter": counter, "model": model}),
    )  # fmt: skip
    brain.kill = None if kill is None else itertools.count(-kill)
    data = DynamicItemDataset(
        {str(i): {"x": torch.tensor([i, -i]) / 3} for i in range(6)}, output_keys=["id", "x"]
    )
    brain.fit_and_test({"train": data, "valid": data}, {"batch_size": 2})
    return model.state_dict(), (folder / "train_log.txt").read_text(), brain.test_stats


def same(one, two):
    assert one[1:] == two[1:]
    for name, value in one[0].items():
        assert torch.equal(value, two[0][name]), name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return train(tmp_path_factory.mktemp("undisturbed"))


WITHIN = {"ckpt_interval_steps": 1}


# Each epoch passes 3 + 1 moments of training and as many of validation.
@pytest.mark.parametrize(
    ("moments", "options"),
    [((5,), {}), ((15, 7), {}), ((33,), {}), ((9, 2), WITHIN), ((27,), WITHIN)],
    ids=str,
)
def test_killed_anywhere_it_ends_as_if_nothing_had_happened(
    tmp_path, undisturbed, moments, options
):
    for moment in moments:
        with pytest.raises(Killed):
            train(tmp_path, kill=moment, **options)
    if options and moments == (9, 2):  # or this is no test of checkpoints within epochs
        assert any("end-of-epoch: false" in p.read_text() for p in tmp_path.rglob("CKPT.yaml"))
    same(train(tmp_path, **options), undisturbed)


def test_gradients_that_are_being_added_up_are_in_no_checkpoint(tmp_path):
    options = {"grad_accumulation_factor": 2, "ckpt_interval_steps": 1}
    (tmp_path / "one").mkdir()
    whole = train(tmp_path / "one", **options)
    with pytest.raises(Killed):
        train(tmp_path, kill=9, **options)  # after one of two batches
    same(train(tmp_path, **options), whole)


def test_a_finished_run_that_is_started_again_changes_nothing(tmp_path, undisturbed):
    train(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    same(train(tmp_path), undisturbed)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_checkpoint_that_was_being_written_is_none(tmp_path, undisturbed, monkeypatch):
    """Killed between its files, and before its name."""
    save = torch.save
    for place in (torch, os):
        with monkeypatch.context() as patch:
            calls = itertools.count()

            def killing(*args, calls=calls, **kwargs):
                if next(calls) == 7:
                    raise Killed
                return save(*args, **kwargs)

            def no_name(*args):
                raise Killed

            patch.setattr(place, *(("save", killing) if place is torch else ("rename", no_name)))
            with pytest.raises(Killed):
                train(tmp_path)
        assert list(tmp_path.glob("save/.partial-*"))
    same(train(tmp_path), undisturbed)
    assert not list(tmp_path.glob("save/.partial-*"))


def newest_and_best(folder):
    """The two checkpoints that a run of ours keeps before its last epoch."""
    found = sorted(folder.glob("save/CKPT*"))
    assert len(found) == 2
    return found[1], found[0]


DAMAGES = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "one bit": lambda path: path.write_bytes(
        bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]
    ),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *(("model.ckpt", "cut short"), ("progress.ckpt", "one bit"), ("CKPT.yaml", "one bit")),
        *(("progress.ckpt", "gone"), (SUMS, "cut short"), (SUMS, "gone")),
    ],
)
def test_the_run_goes_on_from_an_older_checkpoint(tmp_path, undisturbed, name, how, caplog):
    with pytest.raises(Killed):
        train(tmp_path, kill=26)
    newest, _ = newest_and_best(tmp_path)
    DAMAGES[how](newest / name)
    with caplog.at_level(logging.WARNING):
        same(train(tmp_path), undisturbed)
    if (name, how) != (SUMS, "gone"):  # then it is as those of earlier versions
        assert newest.name in caplog.text and "damaged" in caplog.text
        assert newest.with_name(f"damaged-{newest.name}").is_dir()


def test_the_best_checkpoint_is_not_given_up_in_silence(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path, kill=26)
    newest, best = newest_and_best(tmp_path)
    DAMAGES["one bit"](best / "model.ckpt")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(Damaged, match="model.ckpt is damaged.* best checkpoint") as no:
        train(tmp_path)
    assert best.name in str(no.value) and "\n" not in str(no.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_all_damaged_it_begins_anew(tmp_path, undisturbed):
    with pytest.raises(Killed):
        train(tmp_path, kill=26)
    for path in newest_and_best(tmp_path):
        DAMAGES["cut short"](path / "optimizer.ckpt")
    same(train(tmp_path), undisturbed)


def test_what_is_read_from_a_cache_the_next_time_leaves_the_random_numbers():
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    with random_numbers_kept():
        torch.rand(5), np.random.rand(5), random.random()
    assert (torch.rand(1), np.random.rand()) == expected


def test_a_full_disk_leaves_the_earlier_checkpoints(tmp_path, undisturbed, monkeypatch):
    with pytest.raises(Killed):
        train(tmp_path, kill=26)
    kept = newest_and_best(tmp_path)

    def full(*_, **__):  # what torch says: no OSError
        raise RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(Unwritable, match="save cannot be written.*make room"):
            train(tmp_path)
    assert newest_and_best(tmp_path) == kept and not list(Path(tmp_path).glob("save/.part*"))
    same(train(tmp_path), undisturbed)
