"""For tests/test_torchrun.py, which lets torchrun start it: scripts one after another, and a
training that is small enough to be done by hand."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from lmac.io.processes import count, gather, leave, rank, start
from lmac.training.brain import TrainingBrain
from lmac.training.checkpointer import Checkpointer

SEED, CLIPS, BATCH, EPOCHS, RATE = 3, 16, 3, 2, 0.01


def data(n=CLIPS):
    """Items ``i`` with sig [3] and its target, a float."""
    generator = torch.Generator().manual_seed(1)
    sig = torch.randn(n, 3, generator=generator)
    items = {str(i): {"sig": x, "y": float(i)} for i, x in enumerate(sig)}
    return DynamicItemDataset(items, output_keys=["id", "sig", "y"])


class LineBrain(TrainingBrain):
    """Fits a line to ``data``; beside it a BatchNorm that only watches."""

    def compute_forward(self, batch, stage):
        x = batch.sig.data
        watched = self.module("norm", stage)(x)
        return self.module("line", stage)(x).squeeze(1) + 0 * watched.sum()

    def compute_objectives(self, y, batch, stage):
        loss = (y - torch.as_tensor(batch.y)).square().mean()
        self.seen.append((list(batch.id), self.optimizer.param_groups[0]["lr"], loss.item()))
        return loss

    def on_stage_start(self, stage, epoch=None):
        self.seen = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.TRAIN:
            norm = self.modules["norm"]
            self.before = getattr(norm, "module", norm).running_mean.tolist()
        seen = gather(self.seen)
        n = sum(len(ids) for ids, _, _ in seen)
        loss = sum(len(ids) * loss for ids, _, loss in seen) / n
        self.log.append((stage.name, self.seen, seen))
        self.finish_stage(stage, {"loss": loss}, epoch)


def fit_line(folder):
    """Train; each process writes what it saw and has."""
    torch.manual_seed(SEED)
    line = torch.nn.Linear(3, 1)
    torch.nn.init.constant_(line.weight, 0.5)
    torch.nn.init.constant_(line.bias, rank())  # that of the main process counts
    counter = sb.utils.epoch_loop.EpochCounter(EPOCHS)
    parts = {"line": line, "counter": counter}
    checkpointer = Checkpointer(folder / "save", parts)
    logger = SimpleNamespace(log_stats=lambda *_, **__: None)
    brain = LineBrain(
        modules={"line": line, "norm": torch.nn.BatchNorm1d(3)},
        opt_class=lambda parameters: torch.optim.SGD(parameters, lr=RATE),
        hparams={"lr_schedule": lambda progress: RATE * (1 - progress), "seed": SEED,
                 "number_of_epochs": EPOCHS, "epoch_counter": counter, "train_logger": logger},
        run_opts={"device": "cpu", "distributed_backend": "gloo", "noprogressbar": True,
                  "max_grad_norm": 1e9},
        checkpointer=checkpointer,
    )  # fmt: skip
    brain.log = []
    brain.fit_and_test({"train": data(), "valid": data(7)}, {"batch_size": BATCH})
    brain.export_weights(folder / f"weights{rank()}", {"line": "line.ckpt"}, {})
    norm = brain.modules["norm"]
    facts = {
        "log": brain.log,
        "steps": brain.hparams.steps_per_epoch,
        "loss": brain.test_stats["loss"],
        "before": brain.before,
        "after": getattr(norm, "module", norm).running_mean.tolist(),
        "draw": torch.rand(1).item(),
        "processes": count(),
    }
    (folder / f"facts{rank()}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    folder, *runs = sys.argv[1:]
    start(sb.utils.run_opts.RunOptions(device="cpu"))
    fit_line(Path(folder))
    for words in map(json.loads, runs):
        importlib.import_module(words[0]).main(words[1:])
    leave()
