"""One run at a time in a folder: two would overwrite each other's files."""

import errno
import logging
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None

logger = logging.getLogger(__name__)

LOCK = ".lmac-lock"
_TAKEN = (errno.EACCES, errno.EAGAIN)
_held = {}  # folder to the open file, which holds its lock as long as this process lives


class AtWork(ValueError):
    """Another process is at work in a folder."""


def claim(folder):
    """Keep other processes out of ``folder`` until :func:`release`, or the end of this one.

    Returns whether it is locked: a file system without locks has none. AtWork when another process
    is at work in it.
    """
    folder = Path(folder).resolve()
    if fcntl is None or folder in _held:
        return folder in _held
    file = (folder / LOCK).open("a+", encoding="utf-8")
    try:
        # A POSIX lock: unlike flock's, it is not handed on to workers that outlive a kill.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        who = file.read().strip()
        file.close()
        if error.errno not in _TAKEN:
            logger.debug("%s cannot be locked: %s", folder, error)
            return False
        raise AtWork(
            f"Another run is at work in {folder} (process {who or 'unknown'}): wait for it, stop "
            "it, or give another --output_folder."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    _held[folder] = file
    return True


def release(folder):
    """Let other processes into ``folder``, which :func:`claim` has kept out."""
    if file := _held.pop(Path(folder).resolve(), None):
        file.close()
