"""Manifests: one CSV row a clip, in the form SpeechBrain's ``DynamicItemDataset`` reads."""

import os
from pathlib import Path

import pandas as pd
import soundfile

COLUMNS = ("ID", "duration", "wav", "fold", "label", "source", "clean")


class DataError(ValueError):
    """A data set that is not as expected; the message names file, row and remedy."""


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


def to_int(value, column, path, row):
    """``value`` as an int; DataError naming file, row and column."""
    try:
        return int(value)
    except ValueError:
        raise DataError(
            f"{path}, row {row}: column {column} holds {value!r}, expected a whole number."
        ) from None


def audio_duration(path, where):
    """Seconds of the audio file ``path``; DataError that says ``where`` it was named."""
    if not path.is_file():
        raise DataError(f"{where} names {path}, which does not exist.")
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(f"{where} names {path}, which is not a readable audio file.") from error
    if info.frames == 0:
        raise DataError(f"{where} names {path}, which holds no samples.")
    return info.duration


def write_table(rows, columns, path):
    """Write dictionaries with the keys ``columns`` as a CSV, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    pd.DataFrame(list(rows), columns=list(columns)).to_csv(temporary, index=False)
    os.replace(temporary, path)
    return path


def write_manifest(rows, path):
    """Write the manifest of a data set: dictionaries with the keys of COLUMNS."""
    return write_table(rows, COLUMNS, path)


def read_manifest(path):
    """The manifest as a DataFrame with columns COLUMNS (fold: int, duration: float)."""
    table = read_table(path, COLUMNS)
    table["fold"] = [to_int(v, "fold", path, i + 2) for i, v in enumerate(table["fold"])]
    table["duration"] = table["duration"].astype(float)
    return table


def select_folds(manifest, folds, what):
    """Rows of ``folds`` (an int or a list); DataError when a fold has none."""
    folds = [folds] if isinstance(folds, int) else list(folds)
    there = sorted(manifest["fold"].unique())
    missing = [f for f in folds if f not in there]
    if missing or not folds:
        raise DataError(f"{what}: fold {missing or folds} has no clips; folds here: {there}.")
    return manifest[manifest["fold"].isin(folds)].reset_index(drop=True)
