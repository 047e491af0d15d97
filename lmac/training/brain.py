"""What all trainings share: the learning rate of every step, log, checkpoints and export."""

import json
import logging
import re
from functools import partial
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from speechbrain.nnet.schedulers import ReduceLROnPlateau, update_learning_rate
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from data_prep.dataset import fold_datasets, prepare
from data_prep.leaks import warn_of_training_leaks
from lmac.io import dry_run
from lmac.io.files import write_checked, write_text
from lmac.io.once import once
from lmac.io.processes import batch_number, count, dealt_batches, loading, rank
from lmac.io.random_state import set_random_state
from lmac.io.weights import INFO_FILE
from lmac.training.checkpointer import load_progress, save_progress

logger = logging.getLogger(__name__)


def explainer_datasets(hparams):
    """The data sets ``"train"`` and ``"valid"`` of what explains a classifier.

    Reads from ``hparams`` the keys of the data set's YAML. Logs what the two share.
    """
    manifest, labels = prepare(hparams)
    datasets = fold_datasets(hparams, manifest, labels, ("train", "valid"))
    warn_of_training_leaks(manifest, hparams, ("valid",))
    return datasets


def train_explainer(brain_class, explained, modules, datasets, hparams, run_opts, **options):
    """Train what explains a classifier; goes on from the checkpoints that are there.

    Arguments
    ---------
    brain_class : type
        A TrainingBrain that is made with ``explained``.
    explained : lmac.core.explained.ExplainedClassifier
    modules : dict of str to nn.Module
        What is trained and kept in checkpoints.
    datasets : dict of DynamicItemDataset
        Of ``explainer_datasets``.
    hparams : dict
    run_opts : speechbrain RunOptions
    **options
        Further arguments of ``brain_class``.

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
        **options,
    )
    loader = {"batch_size": hparams["batch_size"], "num_workers": hparams["num_workers"]}
    brain.fit_and_test(datasets, loader)
    return brain


class TrainingBrain(sb.Brain):
    """A Brain that trains by ``hparams.lr_schedule`` and keeps the best checkpoint.

    ``hparams`` beside SpeechBrain's: ``lr_schedule``, ``number_of_epochs``, ``epoch_counter``
    and ``train_logger``; ``steps_per_epoch`` is added when the training clips are known. The
    schedule is a function of progress (``lmac.training.schedules``), called at every step, or
    SpeechBrain's ``ReduceLROnPlateau``, called after every validation and kept in the
    checkpoints. ``best_key`` names the validation statistic that selects the checkpoint,
    ``best_is`` whether it is the least (``"min"``) or the largest (``"max"``). ``stage_sums``
    names the attributes that add up what the batches of an epoch give.

    A run that goes on ends where it would have ended: checkpoints have the state of all random
    numbers, and those within an epoch (``--ckpt_interval_minutes``) the ``stage_sums``.

    Under ``torchrun`` each process trains on batches of ``batch_size``: n of them take the steps
    of one with n times the batch, on the same clips. Validation clips are dealt out
    (``lmac.io.processes``), and statistics are of the clips of all.
    """

    best_key, best_is = "loss", "min"
    stage_sums = ()
    epochs_done = 0
    loaded = None  # of a checkpoint, until it is taken up: see ``load_progress``

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
    def exports(self):
        """Whether there is something to export: not of a debugging run, which keeps nothing."""
        return not self.debug or self.debug_persistently

    def fit(self, epoch_counter, *args, **kwargs):
        """As SpeechBrain's; ``epochs_done`` is how many epochs were trained, now or before."""
        super().fit(epoch_counter, *args, **kwargs)
        # The counter goes back when the selected checkpoint is loaded.
        self.epochs_done = int(epoch_counter.current)
        if self.test_only and self.checkpointer is not None:
            last = self.checkpointer.find_checkpoint()
            self.epochs_done = int(last.meta.get("epoch", 0)) if last else 0

    def evaluate(self, *args, max_key=None, min_key=None, **kwargs):
        """As SpeechBrain's; ValueError where ``--test_only`` finds nothing that was trained."""
        if self.test_only and self.checkpointer is not None:
            if self.checkpointer.find_checkpoint(max_key=max_key, min_key=min_key) is None:
                raise ValueError(
                    f"--test_only=True: {self.checkpointer.checkpoints_dir} has no checkpoint: "
                    "train first, or give the output_folder of a training."
                )
        return super().evaluate(*args, max_key=max_key, min_key=min_key, **kwargs)

    def make_dataloader(self, dataset, stage, **kwargs):
        """As SpeechBrain's; of clips that are not trained on, the batches of this process."""
        kwargs = loading(self.device, kwargs, stay=stage != sb.Stage.TEST)
        if stage != sb.Stage.TRAIN:
            batches = dealt_batches(len(dataset), kwargs.pop("batch_size", 1))
            return super().make_dataloader(dataset, stage, batch_sampler=batches, **kwargs)
        if count() > 1 and kwargs.pop("shuffle", False):
            # Else torch's own would shuffle, whatever the seed.
            kwargs["sampler"] = ReproducibleRandomSampler(dataset, seed=self.hparams.seed)
        self._note_steps(kwargs)
        loader = super().make_dataloader(dataset, stage, **kwargs)
        self.hparams.steps_per_epoch = len(loader)
        if count() > len(dataset) or len(loader) == 0:
            each = f" for each of {count()} processes" if count() > 1 else ""
            raise ValueError(
                f"batch_size {kwargs['batch_size']}{each} is larger than the {len(dataset)} "
                f"training clips: give a smaller --batch_size{', or start fewer' if each else ''}."
            )
        return loader

    def _note_steps(self, loader):
        """For a dry run, which has a few clips only: the steps of an epoch of all."""
        if dry_run.SEEN is not None:
            batch = loader["batch_size"] * count()
            n = dry_run.SEEN["clips"]["train"]
            dry_run.note(steps=n // batch if loader.get("drop_last") else -(-n // batch))

    @property
    def batch_number(self):
        """The number of a validation batch among those of all processes, from 1."""
        return batch_number(self.step)

    def module(self, name, stage):
        """A module as it is called: in training with its gradients averaged over processes."""
        module = self.modules[name]
        return module if stage == sb.Stage.TRAIN else _plain(module)

    def _wrap_distributed(self):
        # SpeechBrain's makes SyncBatchNorm, which is for GPUs only.
        if self.distributed_launch and self.device_type == "cpu":
            for name, module in self.modules.items():
                if any(p.requires_grad for p in module.parameters()):
                    self.modules[name] = DistributedDataParallel(
                        module,
                        broadcast_buffers=False,
                        find_unused_parameters=self.find_unused_parameters,
                    )
        else:
            super()._wrap_distributed()

    def _average_statistics(self):
        """Give BatchNorm the mean of what the processes found, where each has its own clips."""
        if count() > 1:
            norms = [m for m in self.modules.modules() if isinstance(m, _BatchNorm)]
            for value in (v for m in norms for v in (m.running_mean, m.running_var)):
                if value is not None:
                    torch.distributed.all_reduce(value)
                    value /= count()

    @property
    def plateau(self):
        """The schedule, if it follows the validation loss, else None."""
        schedule = self.hparams.lr_schedule
        return schedule if isinstance(schedule, ReduceLROnPlateau) else None

    def on_fit_start(self):
        if self.checkpointer is not None:  # as Brain, which can do without
            if self.plateau is not None:
                self.checkpointer.add_recoverable("lr_schedule", self.plateau)
            hooks = load_progress, save_progress
            self.checkpointer.add_recoverable("progress", self, *hooks, optional_load=True)
            once(self.checkpointer.settle, self.best_key, self.best_is)
        if rank() > 0:  # or all would mix and mask alike; a checkpoint has its own
            torch.manual_seed(self.hparams.seed + rank())
        super().on_fit_start()
        done = self.hparams.epoch_counter.current
        once(self._shorten_log, done)
        if self.loaded is None and (done or self.step):
            logger.warning(
                "The checkpoint is of an earlier version and has no random state: the run goes on, "
                "but ends elsewhere than one that was never interrupted."
            )
        if self.loaded is not None and not self.step:
            self._go_on()

    def _shorten_log(self, done):
        """Leave out what is trained again: what follows the epoch ``done``."""
        path = Path(getattr(self.hparams.train_logger, "save_file", ""))
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            lines = text.splitlines(keepends=True)
            epochs = [re.match(r"epoch: (\d+),", line) for line in lines]
            kept = [x for x, e in zip(lines, epochs, strict=True) if e and int(e[1]) <= done]
            if "".join(kept) != text:
                write_text("".join(kept), path)

    def _go_on(self):
        """Take up the random numbers, and in an epoch what its batches gave, where they were."""
        for name, value in self.loaded["stage"].items():
            setattr(self, name, value)
        set_random_state(self.loaded["random"])
        self.loaded = None

    def on_evaluate_start(self, max_key=None, min_key=None):
        super().on_evaluate_start(max_key, min_key)
        self.loaded = None  # of the selected checkpoint

    def of_this_epoch(self):
        """What an unfinished epoch has given so far, {} between two."""
        return {name: getattr(self, name) for name in self.stage_sums} if self.step else {}

    def _should_save_intra_epoch_ckpt(self, *args):
        # Not while gradients are added up, for they are in no checkpoint, nor at the end.
        due = super()._should_save_intra_epoch_ckpt(*args)
        at_step = self.step % self.grad_accumulation_factor == 0
        return due and at_step and self.step < self.hparams.steps_per_epoch

    def on_fit_batch_start(self, batch, should_step):
        """Send the batch to the device; set the rate from the epoch and the step that begins."""
        self._send(batch)
        if self.loaded is not None:
            self._go_on()  # only here, for making the loader's iterator has drawn a number
        if self.plateau is not None:
            return  # the rate is in the optimizer, which is in the checkpoints
        steps = self.hparams.steps_per_epoch
        done = (self.hparams.epoch_counter.current - 1) * steps + self.step - 1
        rate = self.hparams.lr_schedule(done / (steps * self.hparams.number_of_epochs))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def evaluate_batch(self, batch, stage):
        """As SpeechBrain's, with the batch on its way to the device."""
        self._send(batch)
        return super().evaluate_batch(batch, stage)

    def _send(self, batch):
        """To a GPU without waiting for it: batches are pinned, and what uses them comes after."""
        if self.device_type == "cuda":
            batch.to(self.device, non_blocking=True)

    def finish_stage(self, stage, stats, epoch):
        """Keep the statistics (dict) of a stage; after validation, log and save a checkpoint."""
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
            self._average_statistics()
        elif stage == sb.Stage.VALID:
            self.hparams.train_logger.log_stats(
                {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"]},
                train_stats=self.train_stats,
                valid_stats=stats,
            )
            if self.plateau is not None:  # the rate of the next epoch, saved with this one
                _, rate = self.plateau([self.optimizer], epoch, stats["loss"])
                update_learning_rate(self.optimizer, rate)
            if self.checkpointer is not None:
                self.checkpointer.save_and_keep_only(
                    meta={self.best_key: stats[self.best_key], "epoch": epoch},
                    **{f"{self.best_is}_keys": [self.best_key]},
                )
        else:
            self.test_stats = stats

    def export_weights(self, folder, files, info, more=None):
        """Write the weights of modules and what is known of them, with checksums.

        Arguments
        ---------
        folder : path
        files : dict
            Name in ``modules`` to name of the file.
        info : dict
            Written as ``info.json``, which ``lmac.checkpoints.training_info`` reads.
        more : dict, optional
            Further files, as ``lmac.io.files.write_checked`` takes them.
        """
        states = {n: _plain(self.modules[part]).state_dict() for part, n in files.items()}
        writers = {name: partial(torch.save, state) for name, state in states.items()}
        text = json.dumps(info, indent=2) + "\n"
        writers[INFO_FILE] = lambda file: file.write(text.encode())
        write_checked({**writers, **(more or {})}, folder)


def _plain(module):
    """``module`` without what averages its gradients or compiles it."""
    module = module.module if isinstance(module, DistributedDataParallel) else module
    return getattr(module, "_orig_mod", module)
