"""Manifests: one CSV row a clip, in the form SpeechBrain's ``DynamicItemDataset`` reads.

A data set's file lists its rows from the metadata, at every start; ``write_manifest`` adds the
durations, which are slow to read, and takes them from the manifest that is there for files that
did not change since. So a manifest is as good as new whenever it is used, at no cost.
"""

import logging
from pathlib import Path

import pandas as pd
import soundfile
from tqdm import tqdm

from data_prep.audio import cut_short
from lmac.io.files import Damaged, damage, require_undamaged, write_checked
from lmac.io.provenance import is_own

logger = logging.getLogger(__name__)

COLUMNS = ("ID", "duration", "wav", "fold", "label", "source", "clean")
# row: line of the metadata file, for messages; bytes: size of the file when it was measured.
WRITTEN = (*COLUMNS, "row", "bytes")


class DataError(ValueError):
    """A data set that is not as expected; the message names file, row and remedy."""


class DamagedData(DataError):
    """Files of a data set that cannot be used: ``rows`` are all its rows, as they were listed."""

    def __init__(self, problems, rows):
        more = f" (and {len(problems) - 1} more: " if len(problems) > 1 else " ("
        super().__init__(problems[0] + more + "python -m lmac inspect names all damaged files)")
        self.problems = problems
        self.rows = rows


def require_folder(path, what, hint):
    """``path`` as a Path; DataError when it is no folder."""
    if path is None or not str(path):
        raise DataError(f"{what} is not set: {hint}")
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"{what}: there is no folder {path}. {hint}")
    return path


def read_table(path, columns):
    """A CSV as strings; DataError when it is missing or lacks one of ``columns``."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no metadata file {path}.")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a readable CSV file ({error}).") from error
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}: expected {', '.join(columns)}, "
            f"found {', '.join(table.columns)}."
        )
    return table


def read_rows(path, columns):
    """Pairs (line, row) of a CSV, read as ``read_table`` does.

    ``line`` counts as an editor does: the header is line 1. ``row.<column>`` is a string.
    """
    return list(enumerate(read_table(path, columns).itertuples(index=False), start=2))


def to_int(value, column, path, row):
    """``value`` as an int; DataError naming file, row and column."""
    try:
        return int(value)
    except ValueError:
        raise DataError(
            f"{path}, row {row}: column {column} holds {value!r}, expected a whole number."
        ) from None


def note_class(classes, value, label, column, path, row):
    """Enter ``label`` in ``classes`` (dict of number to name) under the number ``value``.

    DataError naming file, row and column when ``value`` is no number or has another name already.
    """
    number = to_int(value, column, path, row)
    if classes.setdefault(number, label) != label:
        raise DataError(
            f"{path}, row {row}: {column} {number} is {label!r} here and {classes[number]!r} above."
        )


def audio_duration(path, where):
    """Seconds of the audio file ``path``; DataError that says ``where`` it was named."""
    if not path.is_file():
        raise DataError(f"{where} names {path}, which does not exist.")
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(f"{where} names {path}, which is not a readable audio file.") from error
    if cut_short(path):
        raise DataError(f"{where} names {path}, which is cut short: its end is missing.")
    if info.frames == 0:
        raise DataError(f"{where} names {path}, which holds no samples.")
    return info.duration


def write_table(rows, columns, path):
    """Write dictionaries with the keys ``columns`` as a CSV, whole or not at all.

    Its checksum is noted beside it (``lmac.io.files``).
    """
    path = Path(path)
    table = pd.DataFrame(list(rows), columns=list(columns))
    text = table.to_csv(index=False, lineterminator="\n").encode("utf-8")
    write_checked({path.name: lambda file: file.write(text)}, path.parent)
    return path


def write_manifest(rows, path, data_folder=None, meta="The data set"):
    """Write the manifest of a data set, or leave it alone where it is still right.

    Arguments
    ---------
    rows : iterable of dict
        ``ID``, ``wav`` (relative to ``data_folder``), ``fold`` (also as a string), ``label``, and
        where known ``source``, ``clean`` and ``row`` (line of the metadata file).
    path : path
        CSV to write.
    data_folder : path, optional
        Audio whose durations are measured; without it, rows have a ``duration`` in seconds.
    meta : path
        The metadata file, as messages name it.

    Returns
    -------
    list of str
        The labels, sorted.

    Raises
    ------
    DataError
        When two rows have the same ID, a fold is no number or a label is empty.
    DamagedData
        When files are missing, unreadable, empty or cut short; names the first with its row.
    """
    path = Path(path)
    rows = [dict(row) for row in rows]
    _require_sound(rows, meta)
    _require_own(path)
    before = path.read_text("utf-8", errors="replace") if path.exists() else None
    problem = damage(path)
    changed = 0 if data_folder is None else _measure(rows, path, Path(data_folder), meta)
    labels = sorted({row["label"] for row in rows})
    table = pd.DataFrame(rows, columns=list(WRITTEN))
    if before == table.to_csv(index=False, lineterminator="\n"):
        return labels
    write_table(rows, WRITTEN, path)
    if problem:
        logger.warning("%s: it was written anew.", problem)
    elif before is None:
        logger.info("Manifest of %d clips: %s", len(rows), path)
    else:
        reason = f"{changed} of {len(rows)} files are new or changed" if changed else "the rows did"
        logger.warning("%s no longer agreed with %s (%s) and was written anew.", path, meta, reason)
    return labels


def _require_own(path):
    """DataError where something else than a manifest, or a file of a run, would be written over."""
    if not path.is_symlink() and not path.exists() or path.is_file() and is_own(path.parent):
        return
    first = ",".join(WRITTEN[:5])
    if (
        path.is_symlink()
        or not path.is_file()
        or not (damage(path) or path.read_bytes().startswith(first.encode()))
    ):
        raise DataError(
            f"manifest: {path} is there and is no manifest of this project (a CSV that begins with "
            f"{first}): it is not written over, give another --manifest."
        )


def _require_sound(rows, meta):
    """Make the folds integers; DataError for a row that would be misread or lost."""
    first = {}
    for row in rows:
        line = row.get("row", "?")
        row["fold"] = to_int(row["fold"], "fold", meta, line)
        if not row["label"]:
            raise DataError(f"{meta}, row {line}: clip {row['ID']} has no label.")
        earlier = first.setdefault(row["ID"], row)
        if earlier is not row:
            raise DataError(
                f"{meta}, row {line}: clip {row['ID']} is also in row {earlier.get('row', '?')}; "
                "each clip needs an ID of its own."
            )


def _measured(path):
    """(bytes, duration) as strings of every file in the manifest that is there, if any."""
    try:
        table = read_table(require_undamaged(path, "it is not used."), WRITTEN)
    except (DataError, Damaged):
        return {}
    known = zip(table["wav"], zip(table["bytes"], table["duration"], strict=True), strict=True)
    return {wav: values for wav, values in known if values[1].replace(".", "", 1).isdigit()}


def _measure(rows, path, folder, meta):
    """Fill in ``duration`` and ``bytes``; returns the number of files that were read."""
    known = _measured(path)
    unknown, problems = [], []
    for row in rows:
        where = f"{meta}, row {row['row']}," if row.get("row") else f"{meta}"
        file = folder / row["wav"]
        try:
            row["bytes"] = file.stat().st_size
        except OSError:
            problems.append(f"{where} names {file}, which does not exist.")
            continue
        size, duration = known.get(row["wav"], (None, None))
        if size == str(row["bytes"]):
            row["duration"] = float(duration)
        else:
            unknown.append((row, file, where))
    for row, file, where in tqdm(unknown, "reading headers", disable=len(unknown) < 1000):
        try:
            row["duration"] = round(audio_duration(file, where), 4)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DamagedData(problems, rows)
    return len(unknown)


def read_manifest(path):
    """The manifest as a DataFrame with at least COLUMNS (fold: int, duration: float)."""
    table = read_table(path, COLUMNS)
    table["fold"] = [to_int(v, "fold", path, i + 2) for i, v in enumerate(table["fold"])]
    table["duration"] = table["duration"].astype(float)
    return table


def listed(folds):
    """``folds``, an int or a list of them, as a list."""
    return [folds] if isinstance(folds, int) else list(folds)


def select_folds(manifest, folds, what):
    """Rows of ``folds`` (an int or a list); DataError when a fold has none."""
    folds = listed(folds)
    there = sorted(manifest["fold"].unique().tolist())
    missing = [f for f in folds if f not in there]
    if missing or not folds:
        raise DataError(f"{what}: fold {missing or folds} has no clips; folds here: {there}.")
    return manifest[manifest["fold"].isin(folds)].reset_index(drop=True)
