"""Manifests to SpeechBrain data sets of waveforms of one length."""

import logging
import os
from pathlib import Path

import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from data_prep.audio import (
    AudioCache,
    AudioError,
    cropped,
    is_silent,
    peak_normalise,
)
from data_prep.manifest import DataError, read_manifest, select_folds
from lmac.io.dry_run import few, require_room
from lmac.io.once import once

logger = logging.getLogger(__name__)


def prepare(hparams):
    """Prepare the data set of an experiment: its manifest (DataFrame) and its class names.

    These are None for recordings without labels.

    Reads from ``hparams``: ``prepare_data`` (a function of the data set's file), ``manifest``,
    ``out_n_neurons``.
    """
    labels = once(hparams["prepare_data"], manifest=hparams["manifest"])
    if labels is not None and len(labels) != hparams["out_n_neurons"]:
        raise DataError(
            f"The data set has {len(labels)} classes, but out_n_neurons is "
            f"{hparams['out_n_neurons']}: set --out_n_neurons={len(labels)}."
        )
    return read_manifest(hparams["manifest"]), labels


def clip_dataset(
    rows, data_folder, labels, n_samples, cache_folder=None, sample_rate=16000, crop="start"
):
    """Clips as items with keys ``id``, ``sig`` (float32 [n_samples], peak 1), ``class``.

    Without ``labels`` there is no ``class``. A clip begins ``start_s`` seconds into its file where
    the rows have that; clips are cropped or padded as :func:`cropped` does. With a
    ``cache_folder``, everything that is not in it yet is decoded now: training never waits for
    it, and files that cannot be used are named before it starts (DataError). Clips that are silent
    where they are looked at are used as they are, and named in a warning, and so is how many are
    cut.
    """
    cache = AudioCache(cache_folder, sample_rate)
    folder = Path(data_folder)
    items = {
        row.ID: {"row": "", "start_s": 0.0, **row._asdict()} for row in rows.itertuples(index=False)
    }

    def seen(samples, start_s):
        return cropped(samples[round(float(start_s) * sample_rate) :], n_samples, crop)

    if cache_folder:
        missing = (
            i for i in items.values() if "duration" in i and not cache.has(folder / i["wav"])
        )
        needed = 4 * sample_rate * sum(i["duration"] for i in missing)
        require_room(cache_folder, needed, "the decoded clips")
        damaged = once(cache.fill, [folder / item["wav"] for item in items.values()])
        if damaged:
            raise DataError(_damage(items.values(), folder, damaged))
        looked_at = f"{'loudest' if crop == 'loudest' else 'first'} {n_samples / sample_rate:g} s"
        silent = [
            i for i in items.values() if is_silent(seen(cache(folder / i["wav"]), i["start_s"]))
        ]
        if silent:
            names = "; ".join(_row(i["row"], folder / i["wav"]) for i in silent[:10])
            names += f"; and {len(silent) - 10} more" if len(silent) > 10 else ""
            said = "%d of %d clips are silent in their %s: %s"
            logger.warning(said, len(silent), len(items), looked_at, names)
        # A few samples more than their length are no reason to speak.
        cut = sum(i.get("duration", 0.0) > 1.1 * n_samples / sample_rate for i in items.values())
        if cut:
            said = "Of %d of %d clips, which are longer, the %s are used (signal_length_s, crop)."
            logger.warning(said, cut, len(items), looked_at)

    def waveform(wav, row, start_s):
        try:
            samples = cache(folder / wav)
        except AudioError as error:
            raise DataError(_row(row, error)) from error
        return peak_normalise(torch.from_numpy(seen(samples, start_s)))

    dynamic = [{"func": waveform, "takes": ["wav", "row", "start_s"], "provides": "sig"}]
    if labels is not None:
        number = {name: i for i, name in enumerate(labels)}
        dynamic.append({"func": number.__getitem__, "takes": "label", "provides": "class"})
    keys = ["id", *(item["provides"] for item in dynamic)]
    return DynamicItemDataset(items, dynamic_items=dynamic, output_keys=keys)


def _row(row, text):
    """``text`` with the row of the metadata in front, where it is known."""
    return f"row {row} of the metadata: {text}" if row else str(text)


def _damage(items, folder, damaged):
    """One message for all files that cannot be used, the first ten by name."""
    found = [i for i in items if folder / i["wav"] in damaged]
    lines = [_row(i["row"], damaged[folder / i["wav"]]) for i in found]
    if len(lines) > 10:
        lines[10:] = [f"{len(lines) - 10} more: python -m lmac inspect names all damaged files."]
    return "\n".join(lines)


def fold_datasets(hparams, manifest, labels, splits=("train", "valid", "test")):
    """One data set for each of ``splits``, from the folds that ``<split>_folds`` names."""
    n = hparams["batch_size"] * int(os.environ.get("WORLD_SIZE", 1))
    rows = {
        split: few(
            select_folds(manifest, hparams[f"{split}_folds"], f"{split}_folds"),
            split,
            2 * n if split == "train" else n,
        )
        for split in splits
    }
    return {
        split: clip_dataset(
            rows[split],
            hparams["data_folder"],
            labels,
            round(hparams["signal_length_s"] * hparams["sample_rate"]),
            hparams["cache_folder"],
            hparams["sample_rate"],
            hparams.get("crop", "start"),
        )
        for split in splits
    }


def require_every_class(manifest, labels, hparams):
    """DataError for a class without a clip in ``train_folds``: it could not be learnt."""
    there = set(select_folds(manifest, hparams["train_folds"], "train_folds")["label"])
    missing = [name for name in labels if name not in there]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise DataError(
            f"train_folds {hparams['train_folds']} have no clip of {', '.join(missing[:3])}{more}: "
            "give other folds, or leave these classes out of the data set."
        )
