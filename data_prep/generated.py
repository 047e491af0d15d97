"""Folders of generated data: complete or absent, and never somebody else's."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import soundfile

from lmac.io.files import Unwritable

RECORD = Path("meta", "generator.json")


def generate_folder(folder, record, n_wavs, meta, write):
    """Make ``folder`` hold the data set of ``record``; one that is complete is left alone.

    Arguments
    ---------
    folder : path
    record : dict
        All that the data depend on, with ``generator``, the module's name; kept in RECORD.
    n_wavs : dict of str to int
        How many WAV files are in each of its subfolders.
    meta : str
        Name of the metadata CSV in ``meta/``.
    write : callable
        Writes the data set into a folder that has the subfolders and ``meta/``.

    Data of another record are replaced, and nothing appears in ``folder`` before all of it is made.
    ValueError where ``folder`` holds files that are not of our making.
    """
    folder = Path(folder).resolve()  # so that a link to another disk stays a link
    if _is_complete(folder, record, n_wavs, meta):
        return
    try:
        _generate(folder, record, n_wavs, write)
    except (OSError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unwritable(
            f"{folder} cannot be made ({reason}): make room or give another --data_folder; nothing "
            "of it is left."
        ) from error


def _generate(folder, record, n_wavs, write):
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-unfinished-") as scratch:
        new = Path(scratch, "new")
        for part in (*n_wavs, "meta"):
            (new / part).mkdir(parents=True)
        write(new)
        (new / RECORD).write_text(json.dumps(record, indent=2) + "\n")
        if folder.exists():
            os.replace(folder, Path(scratch, "old"))
        os.replace(new, folder)


def _is_complete(folder, record, n_wavs, meta):
    """Does folder hold the data set of `record`? ValueError if it must not be replaced either."""
    if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        return False
    try:
        found = json.loads((folder / RECORD).read_text())
        ours = found["generator"] == record["generator"]
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise ValueError(f"{folder} is not of our making and is not overwritten: choose another.")
    there = {part: len(list(folder.glob(f"{part}/*.wav"))) for part in n_wavs}
    if found == record and there == n_wavs and (folder / "meta" / meta).exists():
        return True
    # Results that someone keeps beside the sounds would be lost in the replacement.
    if others := sorted({p.name for p in folder.iterdir()} - {*n_wavs, "meta"}):
        raise ValueError(f"{folder} would be replaced, but also holds {others}: move them away.")
    return False
