"""Two runs in one folder: the second is told so, and a killed one leaves nothing behind."""

import os
import signal
import subprocess
import sys

import pytest
from conftest import REPOSITORY, TINY

import eval_explanations
import train_classifier
from lmac.io.lock import claim

HOLDS = """
import os, sys, time
from lmac.io.lock import claim
claim(sys.argv[1])
if len(sys.argv) > 2 and not os.fork():
    time.sleep(60)  # a worker that outlives its parent
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Starts another process that is at work in tmp_path."""
    started = []

    def start(*words):
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", HOLDS, str(tmp_path), *words],
                cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )
        )  # fmt: skip
        assert started[-1].stdout.readline().strip() == str(started[-1].pid)
        return started[-1]

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def contents(folder):
    """Of every file; the checkpointer makes an empty folder early."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "main,yaml",
    [
        (train_classifier.main, "hparams/classifier.yaml"),
        (eval_explanations.main, "hparams/evaluation.yaml"),
    ],
)
def test_the_second_run_in_a_folder_is_refused_and_touches_nothing(other, tmp_path, main, yaml):
    (tmp_path / ".hyperparams.yaml.lmac-part-1").write_text("of the other run")
    process = other()
    before = contents(tmp_path)
    with pytest.raises(ValueError) as error:
        main([yaml, *TINY, f"--output_folder={tmp_path}"])
    assert str(error.value) == (
        f"Another run is at work in {tmp_path} (process {process.pid}): wait for it, stop it, or "
        "give another --output_folder."
    )
    assert contents(tmp_path) == before


def test_a_killed_run_leaves_the_folder_free_at_once(other, tmp_path):
    process = other("with a worker")
    with pytest.raises(ValueError, match="Another run is at work"):
        claim(tmp_path)
    process.kill()  # the worker lives on
    process.wait()
    claim(tmp_path)
    claim(tmp_path / ".")  # this process may go on in its own folder
