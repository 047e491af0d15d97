"""Recordings without labels as a data set, cut into clips: L-MAC's decoder needs no labels."""

import random
from pathlib import Path

from data_prep.manifest import COLUMNS, DataError, audio_duration, write_table
from data_prep.recordings import audio_files

TRAIN, VALID = 1, 2  # the folds


def prepare(data_folder, clip_s, manifest, seed=1234, files=None):
    """Write the manifest of the clips of ``data_folder``: fold 1 to train on, fold 2 to validate.

    A tenth of the files validates, one at least; of a single file its last tenth. What is left of
    a file behind its whole clips is one more where it has half their length, or is all there is.

    Arguments
    ---------
    data_folder : path
        Searched with its subfolders for audio.
    clip_s : float
        Seconds.
    manifest : path
        CSV to write.
    seed : int
        Of the split.
    files : list of path, optional
        These files below ``data_folder``, in place of all.

    Returns None, in place of class names. Raises DataError for files that cannot be read, each in
    one sentence, and for less than two clips.
    """
    folder = Path(data_folder)
    files = audio_files(folder, "data_folder") if files is None else [Path(f) for f in files]
    rows = {file: list(_clips(file, folder, clip_s)) for file in dict.fromkeys(files)}
    count = sum(map(len, rows.values()))
    if count < 2:
        raise DataError(
            f"{folder}: {count} clip of {clip_s:g} s is too little to train on and to validate: "
            "give more recordings, or a smaller window_s."
        )
    if len(rows) == 1:
        (own,) = rows.values()
        valid = own[-max(1, len(own) // 10) :]
    else:
        shuffled = random.Random(seed).sample(sorted(rows), len(rows))
        valid = [row for file in shuffled[: max(1, len(rows) // 10)] for row in rows[file]]
    for row in valid:
        row["fold"] = VALID
    every = [row for own in rows.values() for row in own]
    write_table(every, (*COLUMNS, "start_s"), manifest)


def _clips(file, folder, clip_s):
    """A row for each clip of ``file``, all in the fold that is trained on."""
    seconds = audio_duration(file, "data_folder")
    n = max(1, int(seconds / clip_s + 0.5))
    wav = file.relative_to(folder).as_posix()
    for i in range(n):
        start = i * clip_s
        yield {
            **dict.fromkeys(COLUMNS, ""),
            "ID": f"{wav}@{start:g}",
            "duration": round(min(clip_s, seconds - start), 4),
            "wav": wav,
            "fold": TRAIN,
            "source": wav,
            "start_s": start,
        }
