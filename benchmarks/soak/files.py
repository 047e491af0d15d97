"""Files that runs have written are cut short, or a bit of them is turned over.

A file survived when the next run says that it is damaged, and either makes it again, so that all
results are as before, or ends in one sentence that names it and leaves everything as it is.
"""

import random
import shutil

import numpy as np

from benchmarks.soak._runs import complete, output, said, start
from benchmarks.soak.kills import difference
from data_prep.audio import AudioCache
from lmac.io.lock import LOCK

WHAT = "truncated and flipped checkpoints, weights, tables, manifests and caches"
COUNT = 100
SHORT = 2  # those that need one training only

NEEDED = ("classifier", "L-MAC", "L-MAC, fine-tuning", "L2I", "evaluation")


def trials(count, seed, folder):
    """Of each kind in turn; every file and every damage at random."""
    generator = random.Random(seed)
    kinds = [_cache, _checkpoint, _exported, _rows, _made_again]
    whole = {}
    for k in range(count):
        kind = kinds[k % len(kinds)]
        for stage in NEEDED if kind in (_exported, _rows, _made_again) else NEEDED[:1]:
            if stage not in whole:
                complete(stage, folder, folder / "log.txt", list_to=folder / "moments")
                whole[stage] = folder / f"whole{len(whole)}"
                shutil.copytree(output(stage, folder), whole[stage])
                if stage == "classifier":
                    _interrupt(folder, whole[stage])
        log = folder / "log.txt"
        log.unlink(missing_ok=True)
        trial = Trial(folder, whole, log, generator)
        try:
            kind(trial)
        except (AssertionError, RuntimeError) as error:
            yield f"{k}: {trial.label}", str(error) or type(error).__name__
        else:
            yield f"{k}: {trial.label}", None
        for stage, kept in whole.items():
            shutil.rmtree(output(stage, folder))
            shutil.copytree(kept, output(stage, folder))


def _interrupt(folder, whole):
    """Keep, as ``interrupted``, what a training leaves that is killed in its last epoch."""
    moments = (folder / "moments").read_text().splitlines()
    last = max(i for i, name in enumerate(moments, 1) if name == "fit_batch")
    shutil.rmtree(output("classifier", folder))
    process = start("classifier", folder, folder / "log.txt", kill_at=last)
    process.join()
    assert process.exitcode == -9
    shutil.copytree(output("classifier", folder), folder / "interrupted")
    shutil.rmtree(output("classifier", folder))
    shutil.copytree(whole, output("classifier", folder))


class Trial:
    """One damaged file: ``hurt`` chooses and damages it, the others run and compare."""

    def __init__(self, folder, whole, log, generator):
        self.folder, self.whole, self.log, self.generator = folder, whole, log, generator
        self.label = ""

    def out(self, stage):
        return output(stage, self.folder)

    def hurt(self, paths):
        """Cut one of ``paths`` short or turn over one of its bits."""
        path = self.generator.choice(sorted(paths))
        content = bytearray(path.read_bytes())
        where = self.generator.randrange(len(content))
        if self.generator.random() < 0.5:
            path.write_bytes(content[:where])
            done = f"cut after {where} of {len(content)} bytes"
        else:
            bit = self.generator.randrange(8)
            content[where] ^= 1 << bit
            path.write_bytes(content)
            done = f"bit {bit} of byte {where} of {len(content)} turned over"
        self.label = f"{path.relative_to(self.folder)}: {done}"
        return path

    def complete(self, stage):
        complete(stage, self.folder, self.log)

    def refused(self, stage, path):
        """The stage ends in one sentence that names ``path``, and changes nothing."""
        before = _bytes(self.folder)
        process = start(stage, self.folder, self.log)
        process.join()
        end = said(self.log)
        assert process.exitcode == 1, f"ended with {process.exitcode}: {end[-200:]}"
        assert end.startswith("error: ") and str(path) in end, end[-300:]
        assert "Traceback" not in self.log.read_text(encoding="utf-8", errors="replace")
        assert _bytes(self.folder) == before, "it changed files"

    def as_before(self, stage):
        problem = difference(self.whole[stage], self.out(stage))
        assert problem is None, problem

    def named(self):
        text = self.log.read_text(encoding="utf-8", errors="replace")
        assert "damaged" in text, "nothing was said"


def _bytes(folder):
    """All results below ``folder``, without logs and resolved settings."""
    left_out = ("log.txt", "hyperparams.yaml", "provenance.json", "SHA256SUMS", LOCK)
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in left_out)
    return {path: path.read_bytes() for path in files}


def _cache(trial):
    """Decoded audio is decoded again."""
    cache = trial.out("classifier") / "cache"
    sounds = sorted((trial.folder / "sounds" / "audio").glob("*.wav"))
    read = AudioCache(cache)
    expected = {path: np.array(read(path)) for path in sounds}
    trial.hurt(cache.glob("*.npy"))
    again = AudioCache(cache)
    assert again.fill(sounds) == {}
    for path in sounds:
        assert np.array_equal(again(path), expected[path]), f"{path.name} sounds different"


def _exported(trial):
    """What is in best/ is not used, and exported anew from the checkpoints."""
    stage = trial.generator.choice(NEEDED[:-1])
    best = trial.out(stage) / "best"
    path = trial.hurt(p for p in best.iterdir() if p.suffix in (".ckpt", ".json", ".txt"))
    trial.refused("evaluation", path)
    trial.complete(stage)
    trial.as_before(stage)


def _rows(trial):
    """Rows are computed again where they are damaged, the other files of an evaluation written."""
    out = trial.out("evaluation")
    names = ("metrics.csv", "metrics.csv", "evaluation.json", "scenario.csv", "summary.csv")
    path = trial.hurt([out / trial.generator.choice(names)])
    if path.name == "scenario.csv":
        trial.refused("evaluation", path)
        path.unlink()
    trial.complete("evaluation")
    trial.as_before("evaluation")
    if path.name == "evaluation.json":
        trial.named()


def _checkpoint(trial):
    """A training goes on from an older checkpoint, unless that would lose the best one."""
    out = trial.out("classifier")
    shutil.rmtree(out)
    shutil.copytree(trial.folder / "interrupted", out)
    path = trial.hurt(p for p in out.glob("save/CKPT*/*"))
    process = start("classifier", trial.folder, trial.log)
    process.join()
    if process.exitcode == 0:
        trial.named()
        trial.as_before("classifier")
        return
    shutil.rmtree(out)
    shutil.copytree(trial.folder / "interrupted", out)
    end = said(trial.log)
    assert end.startswith("error: ") and str(path.parent) in end, end[-300:]
    assert "best checkpoint" in end, end[-300:]


def _made_again(trial):
    """What a finished training has prepared is made again; other settings are not guessed."""
    stage, name = trial.generator.choice(
        (("L2I", "dictionary.npz"), ("L-MAC", "manifest.csv"), ("L-MAC", "hyperparams.yaml"))
    )
    path = trial.hurt([trial.out(stage) / name])
    if name == "hyperparams.yaml":
        trial.refused(stage, path)
        path.unlink()
    trial.complete(stage)
    trial.as_before(stage)
    if name != "hyperparams.yaml":
        trial.named()
