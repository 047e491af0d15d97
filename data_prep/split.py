"""One fold as two, by recording: where a data set has too few folds for its protocol."""

from data_prep.manifest import DataError


def split_fold(rows, fold, new_fold):
    """Move about half of the recordings of ``fold`` to ``new_fold``, with all their clips.

    Class by class, recordings from that with the most clips to that with the fewest (then by
    name) stay, go, go, stay, and so on: the parts get as many recordings as the class allows,
    and about as many clips. A class with one recording is in ``fold`` alone. Nothing is random.

    Arguments
    ---------
    rows : list of dict
        Of a manifest, each with ``ID``, ``fold`` (int), ``label`` and ``source``, the recording.
    fold, new_fold : int

    Returns
    -------
    list of dict
        The rows in their order.

    Raises
    ------
    DataError
        When ``fold`` has no clips, ``new_fold`` has some, a clip of ``fold`` names no recording,
        or there is none to move.
    """
    there = {row["fold"] for row in rows}
    if fold not in there:
        raise DataError(f"split_fold: fold {fold} has no clips; folds here: {sorted(there)}.")
    if new_fold in there:
        raise DataError(f"split_fold: fold {new_fold}, which is to get a half, has clips already.")
    clips = {}
    for row in rows:
        if row["fold"] == fold:
            if not row["source"]:
                raise DataError(f"split_fold: clip {row['ID']} names no recording to split by.")
            recordings = clips.setdefault(row["label"], {})
            recordings[row["source"]] = recordings.get(row["source"], 0) + 1
    moved, seen = set(), set()
    for label in sorted(clips):
        # A recording with clips of two classes goes where the first of them sends it.
        own = [name for name in clips[label] if name not in seen]
        own.sort(key=lambda name: (-clips[label][name], name))
        moved.update(name for i, name in enumerate(own) if i % 4 in (1, 2))
        seen.update(own)
    if not moved:
        raise DataError(
            f"split_fold: no class has two recordings in fold {fold}, so it cannot be split."
        )
    return [
        {**row, "fold": new_fold} if row["fold"] == fold and row["source"] in moved else row
        for row in rows
    ]
