"""The disk is full at some moment of a write.

A trial survived when what was there before is there, whole, and the error is one sentence; and
when the same write, with room again, leaves all that it should.
"""

import errno
import os
import random
import shutil
from unittest.mock import patch

from benchmarks.soak.foreign_files import WRITERS, _source, _state
from lmac.io import files

WHAT = "a full disk at some moment of a write: runs, manifests, pages, published results, weights"
COUNT = 150
SHORT = 15


class Full:
    """A function that fails from its n-th call on."""

    def __init__(self, function, left):
        self.function, self.left = function, left

    def __call__(self, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), args[0])
        return self.function(*args, **kwargs)


def trials(count, seed, folder):
    """Writers in turn, what fails and when at random."""
    generator = random.Random(seed)
    _source(folder / "source")
    for k in range(count):
        name, (write, _) = list(WRITERS.items())[k % len(WRITERS)]
        place, call = folder / str(k), generator.choice(["fsync", "replace"])
        place.mkdir()
        again = k % 2  # over what an earlier write left, or into nothing
        if again:
            write(place, folder / "source")
        before, moment = _state(place), generator.randrange(8)
        problem = _tried(write, place, folder / "source", call, moment, before if again else {})
        yield f"{k}: {name}, {call} fails from call {moment} on", problem
        shutil.rmtree(place)


def _tried(write, place, source, call, moment, before):
    full = Full(getattr(os, call), moment)
    try:
        with patch.object(files.os, call, full):
            write(place, source)
    except (files.Unwritable, ValueError) as error:
        if "\n" in str(error):
            return f"more than a sentence: {error}"
    except Exception as error:  # whatever it is, it is no sentence
        return f"{type(error).__name__}: {error}"
    now = _state(place)
    if lost := [str(p) for p in before if p not in now]:
        return f"lost {lost}"
    if left := [str(p) for p in now if ".lmac-" in p.name]:
        return f"left {left}"
    write(place, source)
    return None if _state(place).keys() >= before.keys() else "not all is there afterwards"
