"""Runs of every stage are killed at random, started again, and must end as if nothing happened."""

import json
import random
import re
import shutil
import threading
import time

import numpy as np
import pandas as pd

from benchmarks.soak._runs import STAGES, complete, output, start
from lmac.io.checked_rows import CHECK
from lmac.io.lock import LOCK
from metrics.tables import SECONDS

WHAT = "random kills over all stages, resumed: weights, tables and logs equal to the last bit"
COUNT = 50
SHORT = 2
# What tells when or how fast something was done, or where it was kept meanwhile.
_LEFT_OUT = ("save", "cache", "gallery", "log.txt", "SHA256SUMS", "provenance.json", LOCK)


def trials(count, seed, folder):
    """Trial k is of stage k modulo their number; every second one is killed by the clock."""
    generator = random.Random(seed)
    undisturbed = {}
    for k in range(count):
        stage = list(STAGES)[k % len(STAGES)]
        for one in list(STAGES)[: k % len(STAGES) + 1]:
            if one not in undisturbed:
                undisturbed[one] = _reference(one, folder)
        label, problem = stage, None
        try:
            label = _disturb(stage, folder, generator, undisturbed[stage], by_clock=k % 2 == 1)
            problem = difference(undisturbed[stage][0], output(stage, folder))
        except RuntimeError as error:
            problem = str(error)
        shutil.rmtree(output(stage, folder))
        shutil.copytree(undisturbed[stage][0], output(stage, folder))
        yield f"{k}: {label}", problem


def _reference(stage, folder):
    """A run that is not disturbed: a copy of what it left, its moments, its seconds, and the
    folder as it was before."""
    number = list(STAGES).index(stage)
    out, before = output(stage, folder), folder / f"before{number}"
    if out.exists():  # the evaluation, before it is checked
        shutil.copytree(out, before)
    start_time = time.perf_counter()
    complete(stage, folder, folder / f"log{number}.txt", list_to=folder / "moments")
    seconds = time.perf_counter() - start_time
    kept = shutil.copytree(out, folder / f"undisturbed{number}")
    return kept, len((folder / "moments").read_text().splitlines()), seconds, before


def _disturb(stage, folder, generator, undisturbed, by_clock):
    """Kill a run of ``stage`` once or twice, and run it to its end; what was done, in words."""
    _, moments, seconds, before = undisturbed
    shutil.rmtree(output(stage, folder))
    if before.exists():
        shutil.copytree(before, output(stage, folder))
    log = folder / "log.txt"
    log.unlink(missing_ok=True)
    done = []
    for _ in range(generator.choice((1, 1, 2))):
        if by_clock:
            after = generator.uniform(0.1, 1) * seconds
            process = start(stage, folder, log)
            timer = threading.Timer(after, process.kill)
            timer.start()
            process.join()
            timer.cancel()
            done.append(f"after {after:.2f} s")
        else:
            moment = generator.randint(1, moments)
            process = start(stage, folder, log, kill_at=moment)
            process.join()
            done.append(f"at moment {moment} of {moments}")
        done[-1] += "" if process.exitcode == -9 else " (it had ended)"
        if process.exitcode not in (0, -9):
            raise RuntimeError(f"{stage}, {done[-1]}: {log.read_text()[-300:]}")
    complete(stage, folder, log)
    return f"{stage}, killed {' and '.join(done)}"


def difference(expected, found, left_out=()):
    """What of the folder ``found`` is not as in ``expected``, in words; None for nothing.

    ``left_out`` names further files, at the top, that are not compared.
    """
    ours, theirs = (_files(folder, (*_LEFT_OUT, *left_out)) for folder in (found, expected))
    if odd := sorted(set(ours) ^ set(theirs)):
        return f"{odd[0]} is there in one run only"
    for name in sorted(ours):
        if _content(ours[name]) != _content(theirs[name]):
            return f"{name} differs"
    return None


def _files(folder, left_out):
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {str(name): path for name, path in paths.items() if name.parts[0] not in left_out}


def _content(path):
    """What two runs must have in common: all but times."""
    if path.suffix == ".csv":
        text = pd.read_csv(path, dtype=str, keep_default_na=False)
        return text.drop(columns=[SECONDS, "seconds", CHECK], errors="ignore").to_csv()
    if path.name == "evaluation.json":
        note = json.loads(path.read_text(encoding="utf-8"))
        note.get("statement", {}).pop("run", None)
        return note
    if path.name == "table.md":
        rows = path.read_text(encoding="utf-8").splitlines()
        rows = [row for row in rows if not row.startswith("Run: ")]
        return [re.sub(r"\|[^|]*\|$", "|", row) for row in rows]  # the last column: seconds
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as parts:
            return {name: parts[name].tolist() for name in parts}
    return path.read_bytes()
