"""What all trainings share: the learning rate of every step, log, checkpoints and export."""

import json
from pathlib import Path

import speechbrain as sb
import torch


class TrainingBrain(sb.Brain):
    """A Brain that trains by ``hparams.lr_schedule`` and keeps the best checkpoint.

    ``hparams`` beside SpeechBrain's: ``lr_schedule`` (progress), ``steps_per_epoch``,
    ``number_of_epochs``, ``epoch_counter`` and ``train_logger``. ``best_key`` names the
    validation statistic that selects the checkpoint, ``best_is`` whether it is the least
    (``"min"``) or the largest (``"max"``).
    """

    best_key, best_is = "loss", "min"

    def fit_and_test(self, datasets, loader):
        """Train on ``datasets["train"]``, select a checkpoint on ``datasets["valid"]``, load it.

        Arguments
        ---------
        datasets : dict of DynamicItemDataset
        loader : dict
            Arguments of the data loaders; training clips are shuffled.

        Afterwards ``test_stats`` has the selected checkpoint's statistics on the latter.
        """
        self.fit(
            self.hparams.epoch_counter,
            datasets["train"],
            datasets["valid"],
            train_loader_kwargs={**loader, "shuffle": True},
            valid_loader_kwargs=loader,
        )
        best = {f"{self.best_is}_key": self.best_key}
        self.evaluate(datasets["valid"], **best, test_loader_kwargs=dict(loader))

    def on_fit_batch_start(self, batch, should_step):
        """Set the rate from the epoch and the step that now begins."""
        steps = self.hparams.steps_per_epoch
        done = (self.hparams.epoch_counter.current - 1) * steps + self.step - 1
        rate = self.hparams.lr_schedule(done / (steps * self.hparams.number_of_epochs))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def finish_stage(self, stage, stats, epoch):
        """Keep the statistics (dict) of a stage; after validation, log and save a checkpoint."""
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
        elif stage == sb.Stage.VALID:
            self.hparams.train_logger.log_stats(
                {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"]},
                train_stats=self.train_stats,
                valid_stats=stats,
            )
            self.checkpointer.save_and_keep_only(
                meta={self.best_key: stats[self.best_key], "epoch": epoch},
                **{f"{self.best_is}_keys": [self.best_key]},
            )
        else:
            self.test_stats = stats

    def export_weights(self, folder, files, info):
        """Write the weights of modules and what is known of them.

        Arguments
        ---------
        folder : path
        files : dict
            Name in ``modules`` to name of the file.
        info : dict
            Written as ``info.json``.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for part, name in files.items():
            torch.save(self.modules[part].state_dict(), folder / name)
        (folder / "info.json").write_text(json.dumps(info, indent=2) + "\n")
