"""UrbanSound8K (Salamon, Jacoby and Bello, 2014), in the published folder layout.

data_folder/audio/fold1 … fold10/*.wav
data_folder/metadata/UrbanSound8K.csv   slice_file_name, fsID, start, end, salience, fold,
                                        classID, class
"""

import logging

from data_prep.manifest import (
    DataError,
    note_class,
    read_table,
    require_folder,
    to_int,
    write_manifest,
)
from data_prep.split import split_fold as split_by_recording

logger = logging.getLogger(__name__)

COLUMNS = ("slice_file_name", "fsID", "fold", "classID", "class")
# Of the second half of a split fold: the half of fold 3 is 13.
HALF = 10
_HINT = (
    "Give the folder that holds audio/fold1 … fold10 and metadata/UrbanSound8K.csv: "
    "--data_folder=/path/to/UrbanSound8K."
)


def prepare(data_folder, manifest, split_fold=None):
    """Write the manifest of UrbanSound8K.

    The published folds keep all slices of one recording (``fsID``) together, so they must not be
    shuffled. A copy that lacks whole folds will do for the others: they are named in a warning,
    and asking for one of them later is an error (``data_prep.manifest.select_folds``).

    Arguments
    ---------
    data_folder : path
        The unpacked data set.
    manifest : path
        CSV to write.
    split_fold : int, optional
        A fold of which half of the recordings become fold 10 + k (``data_prep.split``).

    Returns
    -------
    list of str
        Class names in the order of ``classID``.

    Raises
    ------
    DataError
        For a missing folder, file or column, or a damaged row or file; names file and row.
        For a fold that cannot be split.
    """
    folder = require_folder(data_folder, "data_folder", _HINT)
    meta = folder / "metadata" / "UrbanSound8K.csv"
    there = {p.name for p in folder.glob("audio/fold*") if p.is_dir()}
    table = read_table(meta, COLUMNS).rename(columns={"class": "label"})
    rows, classes, absent = [], {}, {}
    # Lines as an editor counts: the header is line 1.
    for line, row in enumerate(table.itertuples(index=False), start=2):
        note_class(classes, row.classID, row.label, "classID", meta, line)
        fold = to_int(row.fold, "fold", meta, line)
        if f"fold{fold}" not in there:
            absent[fold] = absent.get(fold, 0) + 1
            continue
        rows.append(
            {
                "ID": row.slice_file_name.rsplit(".", 1)[0],
                "wav": f"audio/fold{fold}/{row.slice_file_name}",
                "fold": fold,
                "label": row.label,
                "source": row.fsID,
                "row": line,
            }
        )
    if not rows:
        raise DataError(f"There are no clips below {folder}/audio. {_HINT}")
    if absent:
        logger.warning(
            "%s lacks %s: %d of the %d clips are left out.",
            folder / "audio",
            ", ".join(f"fold{fold}" for fold in sorted(absent)),
            sum(absent.values()),
            len(table),
        )
    if split_fold is not None:
        rows = split_by_recording(rows, split_fold, split_fold + HALF)
    write_manifest(rows, manifest, folder, meta)
    return [classes[number] for number in sorted(classes)]
