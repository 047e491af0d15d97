"""What ``--dry_run=True`` asks of data: a few clips in the place of all, and that there is room."""

import shutil
from pathlib import Path

# What a dry run saw, for its report (lmac.settings.dry_run); None: this is none.
SEEN = None


def few(rows, what, n):
    """All ``rows`` (DataFrame), or in a dry run ``n`` of them, spread over all.

    A dry run notes under ``what`` how many there are, and their seconds of audio.
    """
    if SEEN is None:
        return rows
    SEEN.setdefault("clips", {})[what] = len(rows)
    if "duration" in rows:
        SEEN["audio_s"] = SEEN.get("audio_s", 0.0) + float(rows["duration"].sum())
    return rows.iloc[:: max(1, len(rows) // n)].head(n).reset_index(drop=True)


def note(**facts):
    """Keep what a dry run reports."""
    if SEEN is not None:
        SEEN.update(facts)


def require_room(folder, needed, what):
    """ValueError where the disk of ``folder``, which need not exist, has no ``needed`` bytes."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ValueError(
            f"{folder}: {what} take about {in_words(needed)}, and {in_words(free)} are free there: "
            "make room, or give a folder on another disk."
        )


def in_words(n_bytes):
    """A number of bytes as "1.2 GB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes / 1e3:.0f} kB"
