"""A data set of one's own, without Python: a folder for each class, or a CSV.

data_folder/<class>/**/*.wav    any depth, any file type soundfile reads
labels_csv                      file, label and, where known, fold and source; files in data_folder

Without folds the clips are dealt to five, recordings whole, and the split is written as folds.csv
beside the manifest: a CSV as above, to be looked at, edited and given as ``labels_csv``.
"""

import hashlib
import logging
import re
from collections import Counter
from pathlib import Path

from data_prep.manifest import DataError, read_table, require_folder, write_manifest, write_table
from data_prep.recordings import audio_files
from lmac.io.files import damage

logger = logging.getLogger(__name__)

N_FOLDS = 5
SPLIT = "folds.csv"
_COLUMNS = ("file", "label", "fold", "source")
# What numbers the cuts of one recording: "park-001" and "park-002" are of "park".
_CUT = re.compile(r"[-_ ]?\d+$")


def prepare(data_folder, manifest, labels_csv=None):
    """Write the manifest, and the split where none is given.

    Arguments
    ---------
    data_folder : path
    manifest : path
        CSV to write.
    labels_csv : path, optional
        Without it, classes are the subfolders.

    Returns
    -------
    list of str
        Class names, sorted.

    Raises
    ------
    DataError
        For a folder without audio or classes, sounds outside the folders of classes, a class of
        fewer than five clips, rows without a file or label, and rows that name several labels.
    """
    rows, meta = list_clips(data_folder, labels_csv)
    few = [f"{n} of {name}" for name, n in Counter(r["label"] for r in rows).items() if n < N_FOLDS]
    if not any("fold" in row for row in rows):
        if few:
            raise DataError(
                f"{meta} has {', '.join(few[:5])}: a split needs {N_FOLDS} clips of each class at "
                "least. Add some, or give folds of your own (labels_csv with a column fold)."
            )
        _deal(rows)
        split = Path(manifest).parent / SPLIT
        if damage(split):
            raise DataError(f"{split} was edited: give it as --labels_csv={split}.")
        lines = [{**row, "file": row["wav"]} for row in rows]
        write_table(({c: line[c] for c in _COLUMNS} for line in lines), _COLUMNS, split)
        logger.info("The split is %s: to change it, edit it and give it as --labels_csv.", split)
    return write_manifest(rows, manifest, data_folder, meta)


def count_classes(data_folder, labels_csv=None):
    """How many classes there are; DataError as :func:`prepare`."""
    return len({row["label"] for row in list_clips(data_folder, labels_csv)[0]})


def list_clips(data_folder, labels_csv=None):
    """(rows of the manifest, with ``fold`` where it is given, what they were read from)."""
    folder = require_folder(data_folder, "data_folder", "Give a folder with one for each class.")
    rows = _of_csv(labels_csv) if labels_csv else _of_folders(folder)
    meta = labels_csv or folder
    classes = {row["label"] for row in rows}
    if len(classes) < 2:
        raise DataError(f"{meta} has the class {', '.join(classes)} alone: give two at least.")
    return rows, meta


def _of_folders(folder):
    files = [path.relative_to(folder) for path in audio_files(folder, "data_folder")]
    if loose := [path for path in files if len(path.parts) == 1]:
        raise DataError(
            f"{folder / loose[0]} ({len(loose)} such files) lies in no folder of a class: expected "
            f"{folder}/<class>/…, or a CSV of labels, --labels_csv=…"
        )
    rows = [_row(path.as_posix(), path.parts[0]) for path in files]
    return _with_sources(rows)


def _of_csv(path):
    table = read_table(path, ("file", "label"))
    rows = []
    for line, given in enumerate(table.to_dict("records"), start=2):
        label = given["label"].strip()
        if not given["file"] or not label:
            raise DataError(f"{path}, row {line}: expected a file and its label.")
        if ";" in label:
            raise DataError(
                f"{path}, row {line}: {label!r} names several labels, and a classifier is trained "
                "on one for each clip."
            )
        row = _row(given["file"], label) | {"row": line}
        row |= {key: given[key] for key in ("fold", "source") if given.get(key)}
        rows.append(row)
    if not rows:
        raise DataError(f"{path} has no clips.")
    missing = [row["row"] for row in rows if "fold" not in row]
    if missing and len(missing) < len(rows):
        raise DataError(f"{path}, row {missing[0]}: it has no fold, and others have one.")
    return rows if "source" in table else _with_sources(rows)


def _row(file, label):
    return {"ID": file, "wav": file, "label": label}


def _with_sources(rows):
    """Clips whose names differ in the last number alone are of one recording.

    Unless a class had fewer than five recordings then: its clips are merely numbered.
    """
    names = [_CUT.sub("", Path(row["wav"]).with_suffix("").as_posix()) for row in rows]
    found = {}
    for row, name in zip(rows, names, strict=True):
        found.setdefault(row["label"], set()).add(name)
    return [
        {**row, "source": name if len(found[row["label"]]) >= N_FOLDS else row["wav"]}
        for row, name in zip(rows, names, strict=True)
    ]


def _deal(rows):
    """Give each row its fold: the recordings of a class in turn, always in the same order."""
    folds, turn = {}, Counter()

    def place(row):
        return hashlib.sha256(row["source"].encode()).hexdigest()

    for row in sorted(rows, key=place):
        if row["source"] not in folds:
            folds[row["source"]] = turn[row["label"]] % N_FOLDS + 1
            turn[row["label"]] += 1
        row["fold"] = folds[row["source"]]
