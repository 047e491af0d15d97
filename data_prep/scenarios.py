"""Evaluation scenarios: seeded manifests of what is explained, and the audio they stand for.

One row a clip: a target, optionally a contaminant, and the gains of their unit-energy signals.
Rows are drawn once and kept beside the results, so that every method and every run is scored
on the same audio.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from data_prep.audio import AudioCache, fit_length, peak_normalise
from data_prep.manifest import DataError, read_table

COLUMNS = (
    "ID",
    "scenario",
    "target",
    "target_wav",
    "label",
    "contaminant",
    "contaminant_wav",
    "contaminant_label",
    "gain_target",
    "gain_contaminant",
    "offset",
)


def _row(scenario, number, target, contaminant=None, gains=(1.0, 0.0), offset=0):
    empty = contaminant is None
    return {
        "ID": target.ID if empty else f"{target.ID}_{number}_{contaminant.ID}",
        "scenario": scenario,
        "target": target.ID,
        "target_wav": target.wav,
        "label": target.label,
        "contaminant": "" if empty else contaminant.ID,
        "contaminant_wav": "" if empty else contaminant.wav,
        "contaminant_label": "" if empty else contaminant.label,
        "gain_target": gains[0],
        "gain_contaminant": gains[1],
        "offset": offset,
    }


def plain(targets, contaminants=None, seed=0, duration_s=5.0, sample_rate=16000):
    """The clips as they are."""
    return [_row("plain", 0, target) for target in targets.itertuples(index=False)]


def mixtures(
    targets,
    contaminants,
    seed=0,
    duration_s=5.0,
    sample_rate=16000,
    per_target=2,
    gains=(0.8, 0.2),
):
    """OOD mixtures: each target with ``per_target`` different clips of other classes.

    ``0.8 s1 / |s1| + 0.2 s2 / |s2|``: the contaminant is 12 dB below. A contaminant longer than
    ``duration_s`` is cropped at a random offset (in samples).
    """
    generator = np.random.default_rng(seed)
    rows = []
    for target in targets.itertuples(index=False):
        others = contaminants[contaminants["label"] != target.label]
        if len(others) < per_target:
            raise DataError(
                f"mixtures: {target.ID} needs {per_target} contaminants of another class than "
                f"{target.label!r}, found {len(others)}."
            )
        drawn = others.iloc[generator.choice(len(others), per_target, replace=False)]
        for number, contaminant in enumerate(drawn.itertuples(index=False)):
            room = max(0, round((contaminant.duration - duration_s) * sample_rate))
            offset = int(generator.integers(room + 1))
            rows.append(_row("mixtures", number, target, contaminant, gains, offset))
    return rows


SCENARIOS = {"plain": plain, "mixtures": mixtures}


def scenario_manifest(path, scenario, targets, contaminants, **options):
    """The manifest at ``path``: read when it is there, else drawn and written.

    Returns a DataFrame with COLUMNS. Raises DataError for an unknown scenario, or when the file
    was drawn for another scenario or other clips than ``targets``.
    """
    path = Path(path)
    if scenario not in SCENARIOS:
        raise DataError(f"Unknown scenario {scenario!r}: expected one of {', '.join(SCENARIOS)}.")
    if not path.exists():
        rows = SCENARIOS[scenario](targets, contaminants, **options)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False)
        os.replace(temporary, path)
    table = read_table(path, COLUMNS)
    foreign = set(table["target"]) - set(targets["ID"])
    if set(table["scenario"]) != {scenario} or foreign:
        raise DataError(
            f"{path} was drawn for scenario {', '.join(sorted(set(table['scenario'])))}"
            + (f" and has clips that are no targets here ({sorted(foreign)[0]})" if foreign else "")
            + ": give another --scenario_manifest, or delete it to draw a new one."
        )
    numbers = {"gain_target": float, "gain_contaminant": float, "offset": int}
    return table.astype(numbers)


def mix(target, contaminant, gain_target, gain_contaminant):
    """``g1 s1 / |s1| + g2 s2 / |s2|``, peak normalised, and the target's part in it.

    Arguments
    ---------
    target : Tensor [L]
    contaminant : Tensor [L] or None
        None leaves the target alone, peak normalised.

    Returns
    -------
    (mixture, clean) : Tensors [L]
        Silent signals stay silent.
    """
    clean = gain_target * target / target.norm().clamp_min(1e-8)
    mixture = clean
    if contaminant is not None:
        mixture = clean + gain_contaminant * contaminant / contaminant.norm().clamp_min(1e-8)
    scale = mixture.abs().amax().clamp_min(1e-8)
    return peak_normalise(mixture), clean / scale


def scenario_dataset(rows, data_folder, labels, n_samples, cache_folder=None, sample_rate=16000):
    """Items with keys ``id``, ``target``, ``class``, ``sig`` and ``clean`` (float32 [n_samples]).

    ``sig`` is what is explained, ``clean`` the target's part of it.
    """
    cache = AudioCache(cache_folder, sample_rate)
    number = {name: i for i, name in enumerate(labels)}
    folder = Path(data_folder)

    def read(wav, start=0):
        return torch.from_numpy(fit_length(cache(folder / wav), n_samples, start))

    def render(target_wav, contaminant_wav, gain_target, gain_contaminant, offset):
        contaminant = read(contaminant_wav, offset) if contaminant_wav else None
        yield from mix(read(target_wav), contaminant, gain_target, gain_contaminant)

    return DynamicItemDataset(
        {row.ID: row._asdict() for row in rows.itertuples(index=False)},
        dynamic_items=[
            {
                "func": render,
                "takes": [
                    "target_wav",
                    "contaminant_wav",
                    "gain_target",
                    "gain_contaminant",
                    "offset",
                ],
                "provides": ["sig", "clean"],
            },
            {"func": number.__getitem__, "takes": "label", "provides": "class"},
        ],
        output_keys=["id", "target", "class", "sig", "clean"],
    )
