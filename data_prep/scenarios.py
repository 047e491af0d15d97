"""Evaluation scenarios: seeded manifests of what is explained, and the audio they stand for.

One row a clip: a target, optionally a contaminant, and the gains of their unit-energy signals.
Rows are drawn once and kept beside the results, so that every method and every run is scored
on the same audio.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from tqdm import tqdm

from data_prep.audio import AudioCache, fit_length, peak_normalise
from data_prep.leaks import warn_of_scenario_leaks
from data_prep.manifest import (
    DataError,
    audio_duration,
    read_table,
    select_folds,
    write_table,
)
from data_prep.recordings import audio_files, refuse_training_noise

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
    "short",
)
GAUSSIAN = "gaussian"


def _row(scenario, number, target, contaminant=None, gains=(1.0, 0.0), offset=0, short="pad"):
    """A row; ``short`` says whether a short contaminant is zero-padded or looped."""
    name, wav, label = "", "", ""
    if contaminant is not None:
        name, wav, label = contaminant.ID, contaminant.wav, contaminant.label
    return {
        "ID": f"{target.ID}_{number}_{name}" if name else target.ID,
        "scenario": scenario,
        "target": target.ID,
        "target_wav": target.wav,
        "label": target.label,
        "contaminant": name,
        "contaminant_wav": wav,
        "contaminant_label": label,
        "gain_target": gains[0],
        "gain_contaminant": gains[1],
        "offset": offset,
        "short": short,
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
    scenario="mixtures",
    short="pad",
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
            rows.append(_row(scenario, number, target, contaminant, gains, offset, short))
    return rows


def speech(targets, contaminants, **options):
    """OOD speech: as ``mixtures``, with utterances of a folder (LJSpeech's ``wavs``)."""
    return mixtures(targets, contaminants, scenario="speech", **options)


def noise(targets, contaminants, **options):
    """In domain: the clip with ambient noise (WHAM!'s ``tt``) at 0 dB, as in training."""
    options = {"per_target": 1, "gains": (1.0, 1.0), "short": "loop", **options}
    return mixtures(targets, contaminants, scenario="id", **options)


def white_noise(targets, contaminants=None, seed=0, duration_s=5.0, sample_rate=16000):
    """OOD white noise: ``s / |s| + 0.5 n / |n|``; ``offset`` is the seed of n."""
    gaussian = SimpleNamespace(ID=GAUSSIAN, wav="", label="")
    seeds = np.random.default_rng(seed).integers(2**31, size=len(targets))
    return [
        _row("white_noise", 0, target, gaussian, (1.0, 0.5), int(own))
        for target, own in zip(targets.itertuples(index=False), seeds, strict=True)
    ]


SCENARIOS = {
    "plain": plain,
    "id": noise,
    "mixtures": mixtures,
    "white_noise": white_noise,
    "speech": speech,
}
# These draw from a folder of recordings rather than from folds of the data set.
EXTERNAL = ("id", "speech")


def folder_clips(folder, what="contaminant_folder", last=None):
    """All audio below ``folder`` as contaminants, sorted by path; the ``last`` ones if given.

    Raises DataError for a folder that is missing or empty, and for files that are no audio; only
    those that are kept are looked into.
    """
    files = audio_files(folder, what)
    if last is not None and not 0 < last:
        raise DataError(f"last_contaminants is {last}: expected a number above 0, or null.")
    rows, broken = [], []
    for path in tqdm(files[-last:] if last else files, what, disable=len(files) < 1000):
        relative = path.relative_to(folder)
        try:
            duration = audio_duration(path, what)
        except DataError as error:
            broken.append((relative, error))
            continue
        rows.append(
            {
                "ID": relative.with_suffix("").as_posix().replace("/", "-"),
                "wav": relative.as_posix(),
                "label": "",
                "duration": duration,
            }
        )
    if broken:
        more = ", ".join(str(name) for name, _ in broken[1:6])
        raise DataError(
            f"{broken[0][1]}" + (f" So {len(broken) - 1} others: {more}." if more else "")
        )
    return pd.DataFrame(rows)


def scenario_manifest(path, scenario, targets, contaminants, **options):
    """The manifest at ``path``: read when it is there, else drawn and written.

    Returns a DataFrame with COLUMNS. Raises DataError for an unknown scenario, or when the file
    was drawn for another scenario or other clips than ``targets``.
    """
    path = Path(path)
    if scenario not in SCENARIOS:
        raise DataError(f"Unknown scenario {scenario!r}: expected one of {', '.join(SCENARIOS)}.")
    if not path.exists():
        write_table(SCENARIOS[scenario](targets, contaminants, **options), COLUMNS, path)
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


def scenario_dataset(
    rows,
    data_folder,
    labels,
    n_samples,
    cache_folder=None,
    sample_rate=16000,
    contaminant_folder=None,
):
    """Items with keys ``id``, ``target``, ``class``, ``sig`` and ``clean`` (float32 [n_samples]).

    ``sig`` is what is explained, ``clean`` the target's part of it. Contaminants are in
    ``contaminant_folder``, by default ``data_folder``.
    """
    cache = AudioCache(cache_folder, sample_rate)
    number = {name: i for i, name in enumerate(labels)}
    folder = Path(data_folder)
    other_folder = Path(contaminant_folder or data_folder)

    def contaminant_signal(name, wav, offset, short):
        if name == GAUSSIAN:
            return torch.randn(n_samples, generator=torch.Generator().manual_seed(offset))
        if not wav:
            return None
        samples = cache(other_folder / wav)
        if short == "loop" and len(samples) < n_samples:
            return torch.from_numpy(np.resize(samples, n_samples))  # repeats its argument
        return torch.from_numpy(fit_length(samples, n_samples, offset))

    def render(target_wav, name, wav, gain_target, gain_contaminant, offset, short):
        target = torch.from_numpy(fit_length(cache(folder / target_wav), n_samples))
        contaminant = contaminant_signal(name, wav, offset, short)
        yield from mix(target, contaminant, gain_target, gain_contaminant)

    return DynamicItemDataset(
        {row.ID: row._asdict() for row in rows.itertuples(index=False)},
        dynamic_items=[
            {
                "func": render,
                "takes": [
                    "target_wav",
                    "contaminant",
                    "contaminant_wav",
                    "gain_target",
                    "gain_contaminant",
                    "offset",
                    "short",
                ],
                "provides": ["sig", "clean"],
            },
            {"func": number.__getitem__, "takes": "label", "provides": "class"},
        ],
        output_keys=["id", "target", "class", "sig", "clean"],
    )


def scenario_clips(hparams, manifest, labels, trained):
    """The manifest of an evaluation's scenario, and its data set.

    Reads from ``hparams`` the keys of ``hparams/evaluation.yaml``; ``manifest`` and ``labels``
    are those of the data set, ``trained`` has what the training of every checkpoint recorded, by
    the setting that names it. Raises DataError as the functions above do.
    """
    duration_s, sample_rate = hparams["signal_length_s"], hparams["sample_rate"]
    external = hparams["scenario"] in EXTERNAL
    if external:
        contaminants = folder_clips(
            hparams["contaminant_folder"], last=hparams["last_contaminants"]
        )
        refuse_training_noise(hparams["contaminant_folder"], trained)
    else:
        contaminants = select_folds(manifest, hparams["contaminant_folds"], "contaminant_folds")
    scenario = scenario_manifest(
        hparams["scenario_manifest"],
        hparams["scenario"],
        select_folds(manifest, hparams["target_folds"], "target_folds"),
        contaminants,
        seed=hparams["seed"],
        duration_s=duration_s,
        sample_rate=sample_rate,
    )
    warn_of_scenario_leaks(scenario, manifest, trained, hparams["train_folds"])
    dataset = scenario_dataset(
        scenario,
        hparams["data_folder"],
        labels,
        round(duration_s * sample_rate),
        hparams["cache_folder"],
        sample_rate,
        hparams["contaminant_folder"] if external else None,
    )
    return scenario, dataset
