"""ESC-50 (Piczak, 2015) and its ESC-10 subset, in the published folder layout.

data_folder/audio/*.wav     any file type soundfile reads
data_folder/meta/esc50.csv  filename, fold, target, category, esc10, src_file, take
"""

from pathlib import Path

from data_prep.download import fetch_archive
from data_prep.manifest import DataError, note_class, read_rows, require_folder, write_manifest

URL = "https://github.com/karoldvl/ESC-50/archive/master.zip"
N_CLIPS = 2000
_HINT = (
    "Give the folder that holds audio/ and meta/esc50.csv: --data_folder=/path/to/ESC-50; "
    "with --download=True it is fetched there (about 600 MB)."
)


def prepare(
    data_folder,
    manifest,
    esc10_only=False,
    download=False,
    download_url=URL,
    download_checksum=None,
):
    """Write the manifest of ESC-50.

    Arguments
    ---------
    data_folder : path
        The unpacked data set.
    manifest : path
        CSV to write.
    esc10_only : bool
        Keep only the ten classes of ESC-10.
    download : bool
        Fetch the data set when ``data_folder`` does not exist or is empty.
    download_url, download_checksum : str
        Where from, and the checksum of the archive, ``md5:…`` or ``sha256:…``. (That of GitHub may
        change while the content stays the same; None accepts any.)

    Returns
    -------
    list of str
        Class names in the order of their ESC-50 target numbers.

    Raises
    ------
    DataError
        For a missing folder, file or column, or a damaged row, with file and row; for a download
        that failed.
    """
    if download and data_folder and not _metadata(data_folder).is_file():
        by_hand = (
            f"By hand: fetch {download_url}, unpack it, and rename or link its folder so that "
            f"{_metadata(data_folder)} exists."
        )
        fetch_archive(download_url, data_folder, by_hand, download_checksum, _require_complete)
    folder = require_folder(data_folder, "data_folder", _HINT)
    meta = _metadata(folder)
    columns = ("filename", "fold", "target", "category", "esc10")
    rows, targets = [], {}
    for line, row in read_rows(meta, columns):
        if esc10_only and row.esc10.strip().lower() != "true":
            continue
        note_class(targets, row.target, row.category, "target", meta, line)
        rows.append(
            {
                "ID": row.filename.rsplit(".", 1)[0],
                "wav": f"audio/{row.filename}",
                "fold": row.fold,
                "label": row.category,
                "source": getattr(row, "src_file", ""),
                "row": line,
            }
        )
    if not rows:
        raise DataError(f"{meta} has no {'ESC-10 ' if esc10_only else ''}clips.")
    write_manifest(rows, manifest, folder, meta)
    return [targets[t] for t in sorted(targets)]


def _metadata(folder):
    return Path(folder) / "meta" / "esc50.csv"


def _require_complete(folder):
    """DataError unless ``folder`` is the whole ESC-50."""
    names = [row.filename for _, row in read_rows(_metadata(folder), ("filename",))]
    absent = [name for name in names if not (folder / "audio" / name).is_file()]
    if len(names) != N_CLIPS or absent:
        raise DataError(
            f"it has {len(names)} rows and {len(names) - len(absent)} of their files, ESC-50 has "
            f"{N_CLIPS}."
        )
