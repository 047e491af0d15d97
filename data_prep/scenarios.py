"""Evaluation scenarios: which target is explained with which contaminant, drawn from a seed.

One row a clip: a target, optionally a contaminant, and the gains of their unit-energy signals.
Rows are drawn once and kept beside the results with what they were drawn with (see
``data_prep.scenario_record``), so that every method and every run is scored on the same audio.
"""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from tqdm import tqdm

from data_prep.in_domain import refuse_other_noise
from data_prep.leaks import warn_of_scenario_leaks
from data_prep.manifest import DataError, audio_duration, listed, read_table, select_folds
from data_prep.mixing import scenario_dataset
from data_prep.recordings import audio_files, refuse_training_noise
from data_prep.scenario_kinds import EXTERNAL, GAUSSIAN, SCENARIOS
from data_prep.scenario_record import CHANGED, COLUMNS, digest, refuse_other_settings, write_rows
from lmac.io.dry_run import few
from lmac.io.files import require_undamaged
from lmac.io.once import once


def draw(scenario, targets, contaminants=None, seed=0, duration_s=5.0, sample_rate=16000):
    """Rows (dictionaries with COLUMNS) of the scenario of this name.

    Arguments
    ---------
    scenario : str
        A key of SCENARIOS.
    targets, contaminants : DataFrame
        ``ID``, ``wav``, ``label`` and ``duration`` (s). Contaminants are of another class than
        their target; one longer than ``duration_s`` is cropped at a random offset (in samples).
        For white noise, ``offset`` is the seed of the noise.

    Raises DataError when a target has too few contaminants.
    """
    kind = SCENARIOS[scenario]
    generator = np.random.default_rng(seed)
    targets = list(targets.itertuples(index=False))
    if kind.contaminants is None:
        return [_row(scenario, 0, target) for target in targets]
    if kind.contaminants == "gaussian":
        noise = SimpleNamespace(ID=GAUSSIAN, wav="", label="")
        seeds = generator.integers(2**31, size=len(targets))
        return [
            _row(scenario, 0, target, noise, int(own))
            for target, own in zip(targets, seeds, strict=True)
        ]
    rows = []
    for target in targets:
        others = contaminants[contaminants["label"] != target.label]
        if len(others) < kind.per_target:
            raise DataError(
                f"{scenario}: {target.ID} needs {kind.per_target} contaminants of another class "
                f"than {target.label!r}, found {len(others)}."
            )
        drawn = others.iloc[generator.choice(len(others), kind.per_target, replace=False)]
        for number, contaminant in enumerate(drawn.itertuples(index=False)):
            room = max(0, round((contaminant.duration - duration_s) * sample_rate))
            offset = int(generator.integers(room + 1))
            rows.append(_row(scenario, number, target, contaminant, offset))
    return rows


def _row(scenario, number, target, contaminant=None, offset=0):
    kind = SCENARIOS[scenario]
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
        "gain_target": kind.gains[0],
        "gain_contaminant": kind.gains[1],
        "offset": offset,
        "short": kind.short,
    }


def folder_clips(folder, what="contaminant_folder", last=None):
    """All audio below ``folder`` as contaminants, sorted by path; the ``last`` ones if given.

    Raises DataError for a folder that is missing or empty, for files that are no audio, and for
    two that would have the same ID; only those that are kept are looked into.
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
    clips = pd.DataFrame(rows)
    same = clips[clips.duplicated("ID", keep=False)].sort_values("ID", kind="stable")
    if len(same):
        raise DataError(
            f"{what}: {same['wav'].iloc[0]} and {same['wav'].iloc[1]} in {folder} would both be "
            f"called {same['ID'].iloc[0]}: rename one, or take it away."
        )
    return clips


def scenario_manifest(
    path,
    scenario,
    targets,
    contaminants,
    seed=0,
    duration_s=5.0,
    sample_rate=16000,
    **further,
):
    """The manifest at ``path``: read when it is there, else drawn and written with its record.

    Arguments
    ---------
    path : path
    scenario, targets, contaminants, seed, duration_s, sample_rate
        As of ``draw``.
    **further
        Other keys of ``scenario_record.RECORD`` to be recorded, such as ``target_folds``.

    Returns
    -------
    DataFrame
        With COLUMNS.

    Raises
    ------
    DataError
        For an unknown scenario, and for a file that was drawn for another scenario, for other
        clips than ``targets``, or with other settings than these; it names the first.
    """
    path = Path(path)
    if scenario not in SCENARIOS:
        raise DataError(f"Unknown scenario {scenario!r}: expected one of {', '.join(SCENARIOS)}.")
    kind = SCENARIOS[scenario]
    record = {
        "scenario": scenario,
        "gains": list(kind.gains),
        **further,
        "seed": seed,
        "per_target": kind.per_target,
        "signal_length_s": float(duration_s),
        "sample_rate": sample_rate,
        "drawn_from": digest(contaminants) if kind.contaminants in ("folds", "folder") else None,
    }
    if not path.exists():
        rows = draw(scenario, targets, contaminants, seed, duration_s, sample_rate)
        write_rows(rows, record, path)
    table = read_table(require_undamaged(path, CHANGED), COLUMNS)
    foreign = set(table["target"]) - set(targets["ID"])
    if set(table["scenario"]) != {scenario} or foreign:
        raise DataError(
            f"{path} was drawn for scenario {', '.join(sorted(set(table['scenario'])))}"
            + (f" and has clips that are no targets here ({sorted(foreign)[0]})" if foreign else "")
            + f", asked for is {scenario}: give another --scenario_manifest or --output_folder, or "
            "delete the file to draw a new one."
        )
    refuse_other_settings(path, record)
    numbers = {"gain_target": float, "gain_contaminant": float, "offset": int}
    return table[list(COLUMNS)].astype(numbers)


def scenario_clips(hparams, manifest, labels, trained):
    """The manifest of an evaluation's scenario, and its data set.

    Arguments
    ---------
    hparams : dict
        With the keys of ``hparams/evaluation.yaml``.
    manifest : DataFrame
    labels : list of str
        Those of the data set.
    trained : dict
        What is evaluated: name of the setting, such as "lmac_checkpoint", to what its training
        recorded; see ``data_prep.in_domain``.

    Raises
    ------
    DataError
        As the functions above do, and for noise that was trained in (WHAM!'s ``tr``); for
        scenario ``id``, where something was not trained in noise of this collection at 0 dB.
    """
    scenario, folder = once(_scenario_rows, hparams, manifest, trained)
    n = hparams["batch_size"] * int(os.environ.get("WORLD_SIZE", 1))
    scenario = few(scenario, "clips", n)
    dataset = scenario_dataset(
        scenario,
        hparams["data_folder"],
        labels,
        round(hparams["signal_length_s"] * hparams["sample_rate"]),
        hparams["cache_folder"],
        hparams["sample_rate"],
        folder,
        hparams.get("crop", "start"),
    )
    return scenario, dataset


def _scenario_rows(hparams, manifest, trained):
    """The scenario's manifest, and the folder of its contaminants (None: that of the data set)."""
    name = hparams["scenario"]
    target_folds = listed(hparams["target_folds"])
    further = {"dataset": hparams["dataset"], "target_folds": sorted(target_folds)}
    contaminants, folder = None, None
    if name in EXTERNAL:
        folder, last = hparams["contaminant_folder"], hparams["last_contaminants"]
        contaminants = folder_clips(folder, last=last)
        refuse_training_noise(folder, trained)
        if name == "id":
            refuse_other_noise(folder, trained)
        # The last two parts tell the collection; more would publish a private path.
        further["contaminant_folder"] = "/".join(Path(folder).resolve().parts[-2:])
        further["last_contaminants"] = last
    elif name in SCENARIOS and SCENARIOS[name].contaminants == "folds":
        folds = hparams["contaminant_folds"]
        contaminants = select_folds(manifest, folds, "contaminant_folds")
        further["contaminant_folds"] = sorted(listed(folds))
    scenario = scenario_manifest(
        hparams["scenario_manifest"],
        name,
        select_folds(manifest, target_folds, "target_folds"),
        contaminants,
        seed=hparams["scenario_seed"],
        duration_s=hparams["signal_length_s"],
        sample_rate=hparams["sample_rate"],
        **further,
    )
    warn_of_scenario_leaks(scenario, manifest, trained, hparams["train_folds"])
    return scenario, folder
