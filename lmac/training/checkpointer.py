"""Checkpoints that are whole, or are known to be damaged, and hold all that a run goes on with."""

import logging
import os
import shutil
from pathlib import Path

import torch
import yaml
from speechbrain.utils.checkpoints import METAFNAME, ckpt_recency
from speechbrain.utils.checkpoints import Checkpointer as SpeechBrainCheckpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process

from lmac.io.files import (
    SUMS,
    Damaged,
    Unwritable,
    damage,
    digest_of,
    read_sums,
    sync_folder,
    write_sums,
    writing,
)
from lmac.io.random_state import random_state

logger = logging.getLogger(__name__)

PARTIAL, SET_ASIDE = ".partial-", "damaged-"


class Checkpointer(SpeechBrainCheckpointer):
    """SpeechBrain's Checkpointer, with folders that are written whole and have checksums.

    A checkpoint is written beside its place and renamed when all of it is on the disk: a kill or
    a full disk leaves the earlier ones. ``settle`` must be called before a run goes on.
    """

    _partial = None  # the folder that is being written

    def __init__(self, checkpoints_dir, *args, **kwargs):
        # SpeechBrain's makes the folder at once; ours comes with the first checkpoint.
        super().__init__(os.curdir, *args, **kwargs)
        self.checkpoints_dir = Path(checkpoints_dir)

    def _list_checkpoint_dirs(self):
        return super()._list_checkpoint_dirs() if self.checkpoints_dir.is_dir() else []

    def save_checkpoint(self, *args, **kwargs):
        """As SpeechBrain's; Unwritable when it cannot be written."""
        try:
            with writing(self.checkpoints_dir):
                saved = super().save_checkpoint(*args, **kwargs)
                ddp_barrier()  # every process has written its part
                if saved is not None:
                    saved = self._complete(saved)
        except Unwritable:
            if self._partial is not None:
                shutil.rmtree(self._partial, ignore_errors=True)
            raise
        ddp_barrier()
        return saved

    def _new_checkpoint_dirpath(self):
        path = super()._new_checkpoint_dirpath()
        # Of those within a second SpeechBrain uses a number again that has become free.
        stamp, _, number = path.name.rpartition("+")
        taken = [int(other.name.rpartition("+")[2]) for other in path.parent.glob(f"{stamp}+*")]
        path = path.with_name(f"{stamp}+{max([int(number), *(n + 1 for n in taken)]):02d}")
        self._partial = self._hidden(path)
        return self._partial

    def _custom_checkpoint_dirpath(self, name):
        self._partial = self._hidden(super()._custom_checkpoint_dirpath(name))
        return self._partial

    @staticmethod
    def _hidden(path):
        return path.with_name(PARTIAL + path.name)

    def _complete(self, saved):
        """Note the checksums of a checkpoint and give it its name."""
        files = sorted(saved.path.iterdir())
        write_sums(saved.path, {path.name: {digest_of(path)} for path in files})
        for path in files:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        place = saved.path.with_name(saved.path.name.removeprefix(PARTIAL))
        os.rename(saved.path, place)
        sync_folder(place.parent)
        paramfiles = {name: place / path.name for name, path in saved.paramfiles.items()}
        return saved._replace(path=place, paramfiles=paramfiles)

    def delete_checkpoints(
        self,
        *,
        num_to_keep=1,
        min_keys=None,
        max_keys=None,
        importance_keys=(ckpt_recency,),
        ckpt_predicate=None,
        verbosity=logging.INFO,
    ):
        """As SpeechBrain's, but a kill never leaves half of one."""
        orders = [{"min_key": key} for key in min_keys or []]
        orders += [{"max_key": key} for key in max_keys or []]
        orders += [{"importance_key": key} for key in importance_keys]
        found, kept = set(), set()
        for order in orders:
            ranked = self.find_checkpoints(**order, ckpt_predicate=ckpt_predicate)
            found |= set(ranked)
            kept |= set(ranked[:num_to_keep])
        ddp_barrier()
        if if_main_process():
            for checkpoint in found - kept:
                hidden = self._hidden(checkpoint.path)
                os.rename(checkpoint.path, hidden)
                shutil.rmtree(hidden)
                logger.log(verbosity, "Deleted the checkpoint %s.", checkpoint.path)
        ddp_barrier()

    def settle(self, best_key, best_is):
        """Look through the checkpoints before a run goes on; the damaged ones are set aside.

        Arguments
        ---------
        best_key, best_is : str
            The statistic that selects the best checkpoint; "min" or "max".

        The run goes on from the newest that is whole, and trains what came after it once more.
        Where the best one is damaged, and no older one is whole, that would lose it: Damaged.
        """
        for path in self.checkpoints_dir.glob(f"{PARTIAL}*"):
            shutil.rmtree(path)  # a kill left it
        folders = sorted(self.checkpoints_dir.glob("CKPT*"))
        problems = {path: problem for path in folders if (problem := self._problem(path))}
        if not problems:
            return
        metas = {path: _meta(path) for path in folders}
        whole = [path for path in folders if path not in problems]
        sign = 1 if best_is == "max" else -1

        def best(path):
            value = metas[path].get(best_key)
            if value is None:  # one within an epoch never is; of others the worst is expected
                return metas[path].get("end-of-epoch", True)
            others = [metas[o][best_key] for o in whole if best_key in metas[o]]
            return all(sign * value > sign * other for other in others)

        age = _age(metas)
        newest = max(whole, key=age, default=None)
        lost = [
            path for path in problems
            if newest is not None and age(path) < age(newest) and best(path)
        ]  # fmt: skip
        if lost:
            first = min(map(age, lost))
            older = [path for path in whole if age(path) < first]
            if not older:
                raise Damaged(
                    f"{problems[lost[0]]}. It is the best checkpoint of this run, and none before "
                    f"it is left: restore it, delete {lost[0]} to go on with the best of the "
                    "others, or give another --output_folder to train anew."
                )
            newest = max(older, key=age)
        for path in folders:
            after = newest is None or age(path) > age(newest)
            if path in problems or after:
                self._set_aside(path)
        for path, problem in problems.items():
            goes_on = f"from {newest.name}" if newest else "from the beginning"
            logger.warning("%s. The run goes on %s; %s is set aside.", problem, goes_on, path.name)

    def _set_aside(self, path):
        place = path.with_name(SET_ASIDE + path.name)
        if place.exists():
            shutil.rmtree(place)
        os.rename(path, place)

    def _problem(self, path):
        """What is wrong with a checkpoint, None for nothing."""
        needed = {"optimizer", *filter(self._needed, self.recoverables)}  # it is added later
        names = {METAFNAME, *(f"{name}.ckpt" for name in needed)}
        try:
            listed = set(read_sums(path))
        except Damaged as error:
            return str(error).split(";")[0]
        if missing := [name for name in sorted(names | listed) if not (path / name).is_file()]:
            return f"{path} is damaged: it has no {missing[0]}"
        if listed and (unlisted := names - listed):
            return f"{path / SUMS} is damaged: it does not list {min(unlisted)}"
        if problem := next(filter(None, (damage(path / name) for name in sorted(listed))), None):
            return problem
        return None if "unixtime" in _meta(path) else f"{path / METAFNAME} is damaged"

    def _needed(self, name):
        return not self.optional_recoverables.get(name) and "dataloader" not in name


def _meta(path):
    """What CKPT.yaml of a checkpoint says; {} where it cannot be read."""
    try:
        meta = yaml.safe_load((path / METAFNAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _age(metas):
    """A key that sorts checkpoints by time; by their names, where one has lost its time."""
    if all("unixtime" in meta for meta in metas.values()):
        return lambda path: metas[path]["unixtime"]
    return lambda path: path.name


def save_progress(progress, path):
    """A hook: write the random state, and what ``progress`` has of an unfinished epoch."""
    torch.save({"random": random_state(), "stage": progress.of_this_epoch()}, _own(path))


def load_progress(progress, path, end_of_epoch):
    """The hook that reads it back."""
    path = _own(path)
    progress.loaded = torch.load(path, weights_only=True) if path.is_file() else None
    del end_of_epoch  # it is SpeechBrain's "brain" that knows the step


def _own(path):
    """Each process draws its own random numbers."""
    rank = int(os.environ.get("RANK", 0))
    return path.with_name(f"{path.stem}-{rank}{path.suffix}") if rank else path
