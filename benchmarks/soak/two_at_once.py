"""Two processes in one folder: the second is refused until the first has ended or let go.

A trial survived when the second was told so in one sentence, got the folder as soon as it was free,
however the first ended, and every row that either wrote is there.
"""

import os
import random
import signal

import pandas as pd

from lmac.evaluation.checks.row_cache import RowCache
from lmac.evaluation.folder import EvaluationFolder
from lmac.io.lock import AtWork, claim, release

WHAT = "two processes at once in one folder: killed, ended, let go, stopped in between"
COUNT = 200
SHORT = 15
ENDS = ("killed", "ends", "lets go", "falls")


def trials(count, seed, folder):
    """How the first one ends, and what either writes, at random."""
    generator = random.Random(seed)
    for k in range(count):
        end, place = generator.choice(ENDS), folder / str(k)
        place.mkdir()
        yield f"{k}: the first {end}", _tried(place, end, generator.randrange(1, 20))


def _tried(place, end, n):
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _first(place, end, n, ready[1], go[0])
    try:
        os.read(ready[0], 1)
        try:
            claim(place)
        except AtWork as error:
            if "\n" in str(error) or str(child) not in str(error):
                return f"no sentence that names the process: {error}"
        else:
            return "two were let in"
        if end == "killed":
            os.kill(child, signal.SIGKILL)
        os.write(go[1], b"x")
        if end != "lets go":
            os.waitpid(child, 0)
            child = None
        else:
            os.read(ready[0], 1)
        if not claim(place):
            return "not let in when the folder was free"
        _write(place, "second", n)
        release(place)
        found = pd.read_csv(place / "toy.csv")["method"].value_counts().to_dict()
        return None if found == {"first": n, "second": n} else f"rows: {found}"
    finally:
        if child is not None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for handle in (*ready, *go):
            os.close(handle)


def _first(place, end, n, ready, go):
    """The other process; it never returns."""
    claim(place)
    _write(place, "first", n)
    os.write(ready, b"x")
    os.read(go, 1)
    if end == "lets go":
        release(place)
        os.write(ready, b"x")
        signal.pause()
    os._exit(end == "falls")


def _write(place, method, n):
    cache = RowCache(EvaluationFolder(place), "toy", ["method", "ID", "computed_with"])
    cache.put([{"ID": str(i)} for i in range(n)], "x", method=method)
