"""Somebody's files lie where a run, a page, a manifest or published results are to be written.

A trial survived when every one of these files is as it was, and what was to be written is either
all there or refused in one sentence that names what is in the way.
"""

import os
import random
import shutil

import soundfile
import torch

from data_prep.manifest import write_manifest
from lmac.evaluation.runs.publish import publish
from lmac.evaluation.runs.rounded import share
from lmac.io.files import remove_remains, write_text
from lmac.io.provenance import WRITTEN, WRITTEN_FOLDERS, mark_own, require_own
from lmac.pages.page import write_page

WHAT = "other people's files, links, pipes and folders where something is to be written"
COUNT = 400
SHORT = 40

MINE = ("config.py", "load.py", ".lock", ".notes.new", ".log.txt.part-12", "deep/.a.new", "a.wav")


def trials(count, seed, folder):
    """Writers in turn; what is in the way, and beside it, at random."""
    generator = random.Random(seed)
    for k in range(count):
        name, (write, targets) = list(WRITERS.items())[k % len(WRITERS)]
        place = folder / str(k)
        _source(folder / "source")
        place.mkdir()
        planted = generator.sample(MINE, 3)
        target = generator.choice(targets)
        kind = generator.choice(list(KINDS))
        for mine in planted:
            _file(place / mine, generator)
        KINDS[kind](place / target, generator, folder / f"precious{k}")
        before = _state(place), _state(folder / f"precious{k}")
        problem = _tried(write, place, folder / "source", target)
        if problem is None:
            after = _state(place), _state(folder / f"precious{k}")
            gone = {p: v for p, v in before[0].items() if after[0].get(p) != v}
            if gone or before[1] != after[1]:
                problem = f"changed {sorted(map(str, gone)) or 'what a link leads to'}"
        yield f"{k}: {name}, {kind} at {target}", problem
        shutil.rmtree(place)


def _tried(write, place, source, target):
    """None where it was refused in a sentence that names the target, or done."""
    try:
        write(place, source)
    except ValueError as error:
        text = str(error)
        if "\n" in text:
            return f"more than a sentence: {text}"
        return None if target.split("/")[0] in text or str(place) in text else f"unnamed: {text}"
    except Exception as error:  # whatever it is, it is no sentence
        return f"{type(error).__name__}: {error}"
    return None


def _file(path, generator):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(generator.randbytes(generator.choice([0, 1, 50])))


def _link(path, generator, precious):
    path.parent.mkdir(parents=True, exist_ok=True)
    precious.write_bytes(generator.randbytes(20))
    path.symlink_to(precious)


def _pipe(path, generator, precious):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def _folder(path, generator, precious):
    _file(path / "mine.txt", generator)


KINDS = {
    "a file": lambda path, generator, precious: _file(path, generator),
    "a link": _link, "a pipe": _pipe, "a folder": _folder,
}  # fmt: skip


def _state(folder):
    """Path to what it is: bytes, the address of a link, or that it is a pipe."""
    found = {}
    for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
        if path.is_symlink():
            found[path] = os.readlink(path)
        elif path.is_file():
            found[path] = path.read_bytes()
        elif path.is_fifo():
            found[path] = "pipe"
    return found


def _source(folder):
    """Results that may be published, and weights that may be shared."""
    if folder.is_dir():
        return
    best = folder / "classifier" / "best"
    best.mkdir(parents=True)
    (best / "info.json").write_text("{}\n")
    for name in ("classifier.ckpt", "embedding_model.ckpt"):
        torch.save({"w": torch.ones(2)}, best / name)
    (folder / "seeds").mkdir()
    (folder / "seeds" / "classifier.md").write_text("table\n")


def _run(place, source):
    require_own(place)
    mark_own(place)
    remove_remains(place)
    for name in ("log.txt", "hyperparams.yaml"):
        write_text("ours\n", place / name)
    (place / "best").mkdir(exist_ok=True)
    write_text("ours\n", place / "best" / "info.json", checked=True)


def _manifest(place, source):
    soundfile.write(source / "a.wav", [0.0, 0.1], 8000)
    row = {"ID": "a", "wav": "a.wav", "fold": 1, "label": "x"}
    write_manifest([row], place / "mine.csv", source)


def _page(place, source):
    write_page("explanation.html", place / "index.html", title="t", most_db=0, data={})


WRITERS = {
    "a run": (_run, [*WRITTEN[1:], *(f"{name}/info.json" for name in WRITTEN_FOLDERS[:1])]),
    "a manifest": (_manifest, ["mine.csv"]),
    "a page": (_page, ["index.html"]),
    "published results": (
        lambda place, source: publish(source, place),
        ["classifier/info.json", "seeds/classifier.md", "classifier", "seeds"],
    ),
    "shared weights": (
        lambda place, source: share(source, place, parts=["classifier"]),
        ["classifier/best/classifier.ckpt", "classifier/best/info.json", "classifier/best"],
    ),
}
