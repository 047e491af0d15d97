"""ESC-50 (Piczak, 2015) and its ESC-10 subset, in the published folder layout.

data_folder/audio/*.wav     any file type soundfile reads
data_folder/meta/esc50.csv  filename, fold, target, category, esc10, src_file, take
"""

from data_prep.manifest import DataError, read_rows, require_folder, to_int, write_manifest

_HINT = "Give the folder that holds audio/ and meta/esc50.csv: --data_folder=/path/to/ESC-50."


def prepare(data_folder, manifest, esc10_only=False):
    """Write the manifest of ESC-50.

    Arguments
    ---------
    data_folder : path
        The unpacked data set.
    manifest : path
        CSV to write.
    esc10_only : bool
        Keep only the ten classes of ESC-10.

    Returns
    -------
    list of str
        Class names in the order of their ESC-50 target numbers.

    Raises
    ------
    DataError
        For a missing folder, file or column, or a damaged row; names file and row.
    """
    folder = require_folder(data_folder, "data_folder", _HINT)
    meta = folder / "meta" / "esc50.csv"
    columns = ("filename", "fold", "target", "category", "esc10")
    rows, targets = [], {}
    for line, row in read_rows(meta, columns):
        if esc10_only and row.esc10.strip().lower() != "true":
            continue
        target = to_int(row.target, "target", meta, line)
        if targets.setdefault(target, row.category) != row.category:
            raise DataError(
                f"{meta}, row {line}: target {target} is {row.category!r} here and "
                f"{targets[target]!r} above."
            )
        rows.append(
            {
                "ID": row.filename.rsplit(".", 1)[0],
                "wav": f"audio/{row.filename}",
                "fold": to_int(row.fold, "fold", meta, line),
                "label": row.category,
                "source": getattr(row, "src_file", ""),
                "row": line,
            }
        )
    if not rows:
        raise DataError(f"{meta} has no {'ESC-10 ' if esc10_only else ''}clips.")
    write_manifest(rows, manifest, folder, meta)
    return [targets[t] for t in sorted(targets)]
