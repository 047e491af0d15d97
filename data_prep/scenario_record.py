"""What a scenario manifest was drawn with, kept in its own file: ``scenario.csv``.

The record is columns of one value each, so that it goes wherever the CSV is copied. Manifests of
earlier versions have none of them: not recorded.
"""

import hashlib
import json
from pathlib import Path

import pandas as pd

from data_prep.manifest import DataError, read_table, write_table
from data_prep.scenario_kinds import GAUSSIAN
from lmac.io.files import require_undamaged

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
# Column of the record to how its text is read; an empty cell is None, a setting not used.
RECORD = {
    "dataset": str,
    "seed": int,
    "target_folds": json.loads,
    "contaminant_folds": json.loads,
    "contaminant_folder": str,
    "last_contaminants": int,
    "drawn_from": str,
    "per_target": int,
    "signal_length_s": float,
    "sample_rate": int,
}
# What helps where a manifest is not as it was drawn.
CHANGED = (
    "delete it to draw it again, which gives the same, or restore it; to use it as a manifest of "
    "your own, give it another name, or delete its line there."
)
# Fewer different contaminants than this are called thin data.
FEW_CONTAMINANTS = 20


def write_rows(rows, record, path):
    """Write a manifest whole or not at all: rows with COLUMNS, and the dict ``record``.

    Keys of RECORD that ``record`` lacks are settings that were not used.
    """
    text = {key: _text(record.get(key)) for key in RECORD}
    write_table([{**row, **text} for row in rows], (*COLUMNS, *RECORD), path)


def _text(value):
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def drawn_with(path):
    """What the manifest at ``path`` was drawn with.

    Arguments
    ---------
    path : path
        A ``scenario.csv``, wherever it was copied to.

    Returns
    -------
    dict
        ``scenario`` (str), ``gains`` (of the target and of the contaminant, both of unit energy)
        and the keys of RECORD: ``dataset`` (str), ``seed`` (int), ``target_folds`` and
        ``contaminant_folds`` (lists of int), ``contaminant_folder`` (its last two path parts),
        ``last_contaminants`` (int), ``drawn_from`` (str: number of contaminants there were to
        draw from, and a digest of their names and durations), ``per_target`` (int),
        ``signal_length_s`` (float), ``sample_rate`` (int, Hz). None: not used by this scenario.
        Empty for a manifest of an earlier version, which does not record it.

    Raises
    ------
    DataError
        For a file that is no manifest, has a part of the record only, or rows of two draws.
    """
    table = read_table(require_undamaged(path, CHANGED), COLUMNS)
    missing = [key for key in RECORD if key not in table]
    if len(missing) == len(RECORD):
        return {}
    remedy = "restore it, or delete it to draw a new one."
    if missing:
        raise DataError(f"{path} has lost its column {missing[0]}: {remedy}")
    if table.empty:
        raise DataError(f"{path} has no rows: {remedy}")
    # A text of their values, for the record is one draw's.
    once = ["scenario", "gain_target", "gain_contaminant", *RECORD]
    mixed = [key for key in once if table[key].nunique() > 1]
    if mixed:
        raise DataError(
            f"{path} has rows of two draws ({mixed[0]} "
            f"{' and '.join(map(repr, table[mixed[0]].unique()[:2]))}): {remedy}"
        )
    row = table.iloc[0]
    try:
        read = {key: parse(row[key]) if row[key] else None for key, parse in RECORD.items()}
        gains = [float(row["gain_target"]), float(row["gain_contaminant"])]
    except ValueError as error:
        raise DataError(f"{path}: its record cannot be read ({error}): {remedy}") from error
    return {"scenario": row["scenario"], "gains": gains, **read}


def refuse_other_settings(path, asked):
    """DataError when the manifest at ``path`` was drawn with others than the dict ``asked``.

    Its keys are those of ``drawn_with``; a manifest without a record passes.
    """
    known = drawn_with(path)
    for key in known:
        if known[key] != asked.get(key):
            raise DataError(
                f"{path} was drawn with {key} {_shown(known[key])}, asked for is "
                f"{_shown(asked.get(key))}: give another --scenario_manifest or --output_folder, "
                "or delete the file to draw a new one."
            )


def _shown(value):
    return "null" if value is None else _text(value)


def digest(contaminants):
    """Number of the contaminants, and twelve digits that tell their names and durations.

    ``contaminants`` is a DataFrame with ``wav`` (a path below their folder) and ``duration`` (s),
    from which offsets are drawn.
    """
    files = zip(contaminants["wav"], contaminants["duration"], strict=True)
    text = "\n".join(f"{wav} {float(duration):.3f}" for wav, duration in files)
    return f"{len(contaminants)} recordings ({hashlib.sha256(text.encode()).hexdigest()[:12]})"


def thin_data(rows):
    """Sentences for a caption: how many different sounds the clips of a manifest are made of.

    Arguments
    ---------
    rows : DataFrame or path
        Of a scenario manifest: its columns ``ID, target, contaminant``.

        ``contaminant`` names the recording: rows with the same one share a sound, and are not
        independent, unless it is ``scenario_kinds.GAUSSIAN``, which is drawn anew in every row,
        or empty (no contaminant). Clips count as different where their names are, even when they
        were cut from one recording; twelve sentences of two speakers count as twelve.

    Returns
    -------
    list of str
        The counts, and a warning when fewer than 20 contaminants serve more clips.
    """
    if not isinstance(rows, pd.DataFrame):
        rows = read_table(Path(rows), ("ID", "target", "contaminant"))
    n, targets = len(rows), rows["target"].nunique()
    clips = f"{n} clip{'s' * (n != 1)} of {targets} different target{'s' * (targets != 1)}"
    shared = rows["contaminant"][~rows["contaminant"].isin(["", GAUSSIAN])]
    if shared.empty:
        own = (rows["contaminant"] == GAUSSIAN).any()
        return [clips + (", each with white noise of its own." if own else ".")]
    times = shared.value_counts()
    k = len(times)
    sentences = [f"{clips} and {k} different contaminant recording{'s' * (k != 1)}."]
    if k < min(FEW_CONTAMINANTS, len(shared)):
        each = f"{times.min()} to {times.max()}" if times.min() < times.max() else times.max()
        sentences.append(
            f"Thin data: {k} contaminant recording{'s serve' if k > 1 else ' serves'} all "
            f"{len(shared)} clips, {'each of them' if k > 1 else 'and stands in'} for {each}; what "
            f"these numbers say about other recordings rests on {k}, not on {len(shared)}."
        )
    return sentences
