"""Tables of one, two and four processes: equal to the last digit.

A classifier and a decoder are trained on a few built-in sounds, in both domains; then each table
is made without torchrun and by torchrun with 1, 2 and 4 processes, in turn into folders of their
own. Compared are all rows but their seconds (and the checksums, which are of these, too), as text,
the summary and the printed table. Every second run with several processes is killed once in between
and started again, with another number.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from lmac.io.checked_rows import CHECK
from metrics.tables import SECONDS

WHAT = "tables of torchrun with 1, 2 and 4 processes, equal to those of one without"
COUNTS = (1, 2, 4)
TABLES = (("mixtures", "stft"), ("mixtures", "mel"), ("white_noise", "stft"))
COUNT = len(TABLES) * len(COUNTS)
SHORT = 0  # tests/test_torchrun.py has the small version, with everything else in the same start
ROOT = Path(__file__).resolve().parents[2]
METHODS = {"stft": ["L-MAC", "Saliency", "SmoothGrad", "GradCAM", "Random", "Oracle"]}
METHODS["mel"] = METHODS["stft"]
LONGEST_S = 900


def trials(count, seed, folder):
    """One for each table and number of processes."""
    if count == 0:
        return
    tiny = [
        "--dataset_yaml=hparams/datasets/builtin.yaml", "--clips_per_class=5", f"--seed={seed}",
        "--signal_length_s=1.0", "--classifier_width=4", "--device=cpu", "--noprogressbar",
        f"--results_folder={folder}", f"--data_folder={folder}/sounds",
    ]  # fmt: skip
    checkpoint = f"--classifier_checkpoint={folder}/classifier/best"
    run(["train_classifier.py", "hparams/classifier.yaml", *tiny, "--number_of_epochs=2",
         "--batch_size=6", f"--output_folder={folder}/classifier"])  # fmt: skip
    for domain in METHODS:
        run(["train_lmac.py", "hparams/lmac.yaml", *tiny, checkpoint, "--number_of_epochs=1",
             f"--domain={domain}", "--decoder_hidden=8", "--batch_size=6",
             f"--output_folder={folder}/lmac_{domain}"])  # fmt: skip
    wanted = [(table, n) for table in TABLES for n in COUNTS][:count]
    alone = {}
    for number, (table, n) in enumerate(wanted):
        scenario, domain = table

        def words(name, scenario=scenario, domain=domain):
            return ["eval_explanations.py", "hparams/evaluation.yaml", *tiny, checkpoint,
                    f"--scenario={scenario}", f"--domain={domain}", "--decoder_hidden=8",
                    f"--lmac_checkpoint={folder}/lmac_{domain}/best", "--batch_size=3",
                    f"--methods=[{','.join(METHODS[domain])}]", "--listen=2", "--n_boot=100",
                    f"--output_folder={folder / name}"]  # fmt: skip

        if table not in alone:
            alone[table] = folder / f"{scenario}_{domain}_alone"
            run(words(alone[table].name))
        name = f"{scenario}_{domain}_{n}"
        killed = n > 1 and number % 2 == 1
        if killed:
            run_and_kill(words(name), 6 - n, folder / name)
        run(words(name), n)
        label = f"{scenario}, {domain}, {n} processes" + ", killed before" * killed
        yield label, difference(alone[table], folder / name)


def environment():
    """One thread each, as torchrun sets: the number of threads changes a CPU's last digits."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def together(words, n):
    """The command line of ``words``, a script and its arguments, on ``n`` processes (0: alone)."""
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={n}"]
    return [sys.executable, *(several if n else ()), *words]


def run(words, n=0):
    """Run a script to its end; RuntimeError with what it said when it fails."""
    done = subprocess.run(together(words, n), cwd=ROOT, env=environment(), capture_output=True,
                          text=True, timeout=LONGEST_S)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")


def run_and_kill(words, n, folder):
    """Kill all processes (SIGKILL) as soon as some of them has written rows."""
    process = subprocess.Popen(together(words, n), cwd=ROOT, env=environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)  # fmt: skip
    end = time.monotonic() + LONGEST_S
    while process.poll() is None and time.monotonic() < end:
        parts = list(folder.glob("metrics.process*.csv"))
        if any(len(p.read_bytes().splitlines()) > 1 for p in parts):
            break
        time.sleep(0.05)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was faster
    process.wait()


def difference(one, two):
    """What differs between two evaluations' folders, None for nothing."""
    left = sorted(p.name for p in two.glob("metrics.process*"))
    if left:
        return f"{left[0]} is left over"
    for name in ("metrics.csv", "summary.csv"):
        tables = [pd.read_csv(f / name, dtype=str, keep_default_na=False) for f in (one, two)]
        if len(tables[0]) != len(tables[1]):
            return f"{name} has {len(tables[1])} rows, not {len(tables[0])}"
        one_way, other_way = (t.drop(columns=[SECONDS, CHECK], errors="ignore") for t in tables)
        other = one_way != other_way
        if other.any(axis=None):
            column = other.any()[lambda c: c].index[0]
            return f"{name}: {column} differs in {other[column].sum()} rows"
    if printed(one) != printed(two):
        return "table.md differs"
    if (one / "scenario.csv").read_bytes() != (two / "scenario.csv").read_bytes():
        return "scenario.csv differs"
    sounds = [sorted(str(p.relative_to(f)) for p in f.rglob("*.wav")) for f in (one, two)]
    return None if sounds[0] == sounds[1] else "other sounds were written"


def printed(folder):
    """The printed table, without the column of seconds and the folder's own date."""
    lines = (folder / "table.md").read_text(encoding="utf-8").splitlines()
    return [x.rsplit("|", 2)[0] if x.startswith("|") else x for x in lines if "Run: " not in x]
