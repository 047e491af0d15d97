"""What all trainings share: the learning rate of every step, log, checkpoints and export."""

import json
import math
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.nnet.schedulers import ReduceLROnPlateau, update_learning_rate

from data_prep.dataset import fold_datasets, prepare
from data_prep.leaks import warn_of_training_leaks
from lmac.checkpoints import INFO_FILE


def explainer_datasets(hparams):
    """The data sets ``"train"`` and ``"valid"`` of what explains a classifier.

    Reads from ``hparams`` the keys of the data set's YAML and ``batch_size``; adds
    ``steps_per_epoch``. Logs what the two share.
    """
    manifest, labels = prepare(hparams)
    datasets = fold_datasets(hparams, manifest, labels, ("train", "valid"))
    warn_of_training_leaks(manifest, hparams, ("valid",))
    hparams["steps_per_epoch"] = math.ceil(len(datasets["train"]) / hparams["batch_size"])
    return datasets


def train_explainer(brain_class, explained, modules, datasets, hparams, run_opts):
    """Train what explains a classifier; goes on from the checkpoints that are there.

    Arguments
    ---------
    brain_class : type
        A TrainingBrain that is made with ``explained``.
    explained : lmac.explained.ExplainedClassifier
    modules : dict of str to nn.Module
        What is trained and kept in checkpoints.
    datasets : dict of DynamicItemDataset
        Of ``explainer_datasets``.
    hparams : dict
    run_opts : speechbrain RunOptions

    Returns
    -------
    The Brain, with the selected checkpoint loaded and its ``test_stats``.
    """
    hparams["checkpointer"].add_recoverables(modules)
    brain = brain_class(
        explained,
        modules=modules,
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    loader = {"batch_size": hparams["batch_size"], "num_workers": hparams["num_workers"]}
    brain.fit_and_test(datasets, loader)
    return brain


class TrainingBrain(sb.Brain):
    """A Brain that trains by ``hparams.lr_schedule`` and keeps the best checkpoint.

    ``hparams`` beside SpeechBrain's: ``lr_schedule``, ``steps_per_epoch``,
    ``number_of_epochs``, ``epoch_counter`` and ``train_logger``. The schedule is a function of
    progress (``lmac.schedules``), called at every step, or SpeechBrain's ``ReduceLROnPlateau``,
    called after every validation and kept in the checkpoints. ``best_key`` names the
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

    @property
    def plateau(self):
        """The schedule, if it follows the validation loss, else None."""
        schedule = self.hparams.lr_schedule
        return schedule if isinstance(schedule, ReduceLROnPlateau) else None

    def on_fit_start(self):
        if self.plateau is not None and self.checkpointer is not None:
            self.checkpointer.add_recoverable("lr_schedule", self.plateau)
        super().on_fit_start()

    def on_fit_batch_start(self, batch, should_step):
        """Set the rate from the epoch and the step that now begins."""
        if self.plateau is not None:
            return  # the rate is in the optimizer, which is in the checkpoints
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
            if self.plateau is not None:  # the rate of the next epoch, saved with this one
                _, rate = self.plateau([self.optimizer], epoch, stats["loss"])
                update_learning_rate(self.optimizer, rate)
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
            Written as ``info.json``, which ``lmac.checkpoints.training_info`` reads.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for part, name in files.items():
            torch.save(self.modules[part].state_dict(), folder / name)
        (folder / INFO_FILE).write_text(json.dumps(info, indent=2) + "\n")
