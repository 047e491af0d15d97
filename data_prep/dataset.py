"""Manifests to SpeechBrain data sets of waveforms of one length."""

from pathlib import Path

import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from data_prep.audio import AudioCache, fit_length, peak_normalise
from data_prep.manifest import DataError, read_manifest, select_folds


def prepare(hparams):
    """Prepare the data set of an experiment: its manifest (DataFrame) and its class names.

    Reads from ``hparams``: ``prepare_data`` (a function of the data set's file), ``manifest``,
    ``out_n_neurons``.
    """
    labels = hparams["prepare_data"](manifest=hparams["manifest"])
    if len(labels) != hparams["out_n_neurons"]:
        raise DataError(
            f"The data set has {len(labels)} classes, but out_n_neurons is "
            f"{hparams['out_n_neurons']}: set --out_n_neurons={len(labels)}."
        )
    return read_manifest(hparams["manifest"]), labels


def clip_dataset(rows, data_folder, labels, n_samples, cache_folder=None, sample_rate=16000):
    """Clips as items with keys ``id``, ``sig`` (float32 [n_samples], peak 1), ``label``.

    Shorter clips are zero-padded at the end, longer ones cropped at the end.
    """
    cache = AudioCache(cache_folder, sample_rate)
    number = {name: i for i, name in enumerate(labels)}
    folder = Path(data_folder)

    def waveform(wav):
        return peak_normalise(torch.from_numpy(fit_length(cache(folder / wav), n_samples)))

    return DynamicItemDataset(
        {row.ID: row._asdict() for row in rows.itertuples(index=False)},
        dynamic_items=[
            {"func": waveform, "takes": "wav", "provides": "sig"},
            {"func": number.__getitem__, "takes": "label", "provides": "class"},
        ],
        output_keys=["id", "sig", "class"],
    )


def fold_datasets(hparams, manifest, labels, splits=("train", "valid", "test")):
    """One data set for each of ``splits``, from the folds that ``<split>_folds`` names."""
    return {
        split: clip_dataset(
            select_folds(manifest, hparams[f"{split}_folds"], f"{split}_folds"),
            hparams["data_folder"],
            labels,
            round(hparams["signal_length_s"] * hparams["sample_rate"]),
            hparams["cache_folder"],
            hparams["sample_rate"],
        )
        for split in splits
    }
