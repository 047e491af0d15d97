"""ESC-50 (Piczak, 2015) and its ESC-10 subset, in the published folder layout.

data_folder/audio/*.wav     any file type soundfile reads
data_folder/meta/esc50.csv  filename, fold, target, category, esc10, src_file, take
"""

from data_prep.manifest import (
    DataError,
    audio_duration,
    read_table,
    require_folder,
    to_int,
    write_manifest,
)

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
    table = read_table(meta, ("filename", "fold", "target", "category", "esc10"))
    rows, targets = [], {}
    for i, row in enumerate(table.itertuples(index=False)):
        line = i + 2  # as an editor counts: the header is line 1
        if esc10_only and row.esc10.strip().lower() != "true":
            continue
        target = to_int(row.target, "target", meta, line)
        if targets.setdefault(target, row.category) != row.category:
            raise DataError(
                f"{meta}, row {line}: target {target} is {row.category!r} here and "
                f"{targets[target]!r} above."
            )
        relative = f"audio/{row.filename}"
        rows.append(
            {
                "ID": row.filename.rsplit(".", 1)[0],
                "duration": round(audio_duration(folder / relative, f"{meta}, row {line},"), 4),
                "wav": relative,
                "fold": to_int(row.fold, "fold", meta, line),
                "label": row.category,
                "source": getattr(row, "src_file", ""),
                "clean": "",
            }
        )
    if not rows:
        raise DataError(f"{meta} has no {'ESC-10 ' if esc10_only else ''}clips.")
    write_manifest(rows, manifest)
    return [targets[t] for t in sorted(targets)]
