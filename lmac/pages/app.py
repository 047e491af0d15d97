"""A page in the browser: drop in a sound of your own, and hear what the classifier heard.

    python -m lmac app recipes/demo/recipe.yaml --port=8001

Takes a YAML file of explain.py and overrides of its keys. Answers only on this computer unless
--host says otherwise; nothing is sent elsewhere, nothing comes from elsewhere, and what visitors
send is deleted after a while and when the app ends.
"""

import json
import math
import os
import shutil
import tempfile
import threading
from http import HTTPStatus
from pathlib import Path

import numpy as np
import soundfile

from data_prep.builtin_sounds import make_clip
from lmac.explain.loudness import MOST_DB
from lmac.pages.job_queue import JobQueue, Limits
from lmac.pages.page import write_page
from lmac.pages.server import PageHandler, PageServer, Refused, serve
from lmac.settings.cli import one_process
from lmac.settings.command_line import Argument, CommandLine, Option
from lmac.settings.load import load, parse, run_opts_of

COMMAND_LINE = CommandLine(
    Argument("yaml", "a YAML file of explain.py, such as recipes/demo/recipe.yaml:explain"),
    Option("host", str, "127.0.0.1", "address to answer on"),
    Option("port", int, 8001, "port to answer on; 0 takes a free one"),
    Option("names", list, [], "host names it answers to besides, such as the one of a proxy"),
    Option("examples", str, None, "folder of sounds to try; by default some built-in ones"),
    Option("max_seconds", float, 600.0, "longest sound that is taken"),
    Option("max_mb", float, 50.0, "largest file that is taken"),
    Option("keep_minutes", float, 60.0, "how long a sound is kept after it was last looked at"),
)
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
MOST_EXAMPLES = 20
# Two built-in sounds each, so that there is something to tell apart.
BUILT_IN = (("bird_chirps", "knock"), ("animal_call", "engine"), ("bell", "crackle"))
UPLOADS = 3  # that are taken at a time: each is in memory once
WAIT_S = 20  # for one of these places
FOLDER = "lmac-app-"  # and the number of the process whose visitors' sounds are in it
LARGEST_QUESTION, LARGEST_PAINTING = 100_000, 1_000_000  # bytes


class App(PageServer):
    """The page, the sounds that are sent to it, and their explanations.

    Arguments
    ---------
    address : tuple
        Host and port; port 0 takes a free one, see ``server_port``.
    explainer : lmac.explain.explainer.Explainer
    methods : dict
        Name to whether it can be asked for a class: those that are offered.
    chosen : list of str
        Of these, what is chosen at first.
    folder : path
        For the page and all sounds.
    examples : list of path
        Sounds to try.
    limits : lmac.pages.job_queue.Limits
    names : sequence of str
        As in :class:`lmac.pages.server.PageServer`.
    opens : bool
        Whether the page opens with the first example, explained.
    """

    def __init__(
        self, address, explainer, methods, chosen, folder, examples=(), limits=None, names=(),
        opens=False,
    ):  # fmt: skip
        folder = Path(folder)
        limits = limits or Limits()
        self.queue = JobQueue(explainer, methods, folder, limits)
        first = None
        if opens and examples:
            first = self.queue.add(examples[0].read_bytes(), examples[0].name)
            self.queue.ask(first.id, {"methods": list(chosen), "classes": [None]})
        self.examples = {f"/examples/{i}": path for i, path in enumerate(examples)}
        self.page = write_page(
            "app.html",
            folder / "index.html",
            most_db=f"{MOST_DB:g}",
            app={
                "labels": explainer.labels,
                "methods": [
                    {"name": name, "asked": asked, "chosen": name in chosen}
                    for name, asked in methods.items()
                ],
                "examples": [
                    {"name": path.name, "url": address.lstrip("/")}
                    for address, path in self.examples.items()
                ],
                "first": first.id if first else None,
                "seconds": limits.seconds,
                "bytes": limits.bytes,
                "keep_minutes": limits.keep_s / 60,
            },
        )
        self.uploads = threading.BoundedSemaphore(UPLOADS)
        super().__init__(address, PageHandler, names)

    def server_close(self):  # also where the address cannot be listened on
        super().server_close()
        self.queue.close()

    def file(self, path):
        if path in ("/", "/index.html"):
            return self.page
        return self.examples.get(path) or self.queue.file(path)

    def answer(self, path):
        kind, _, identity = path.strip("/").partition("/")
        return self.queue.status(identity) if kind == "state" else None

    def take(self, path, request):
        kind, _, rest = path.strip("/").partition("/")
        if kind == "sounds":
            if not self.uploads.acquire(timeout=WAIT_S):
                raise Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE, "Too many are sending: try again in a minute."
                )
            try:
                data = request.body(self.queue.limits.bytes, "application/octet-stream")
                return HTTPStatus.CREATED, {"id": self.queue.add(data, rest).id}
            finally:
                self.uploads.release()
        if kind == "removals":
            request.body(LARGEST_QUESTION, "application/json")
            self.queue.remove(rest)
            return HTTPStatus.OK, {}
        if kind in ("explanations", "masks"):
            largest = LARGEST_QUESTION if kind == "explanations" else LARGEST_PAINTING
            try:
                content = json.loads(request.body(largest, "application/json"))
            except (ValueError, RecursionError) as error:
                raise Refused(HTTPStatus.BAD_REQUEST, "A JSON object was expected.") from error
            if kind == "masks":
                return HTTPStatus.OK, self.queue.paint(rest, content)
            self.queue.ask(rest, content)
            return HTTPStatus.ACCEPTED, {}
        raise Refused(HTTPStatus.NOT_FOUND, "Nothing is taken here.")


def offered(explainer, chosen):
    """Methods that can explain a file here, as name to whether they can be asked for a class.

    Those ``chosen`` must be among them: the ValueError that says what one lacks is raised. Others
    without their weights are left out, and returned as name to why.
    """
    methods, missing = {}, {}
    for name in explainer.available:
        try:
            interpreter, _ = explainer.check(name)
            if interpreter.needs_clean:
                raise ValueError(f"{name} needs the clean source of a mixture.")
        except (ValueError, FileNotFoundError) as error:
            if name in chosen:
                raise
            missing[name] = str(error)
        else:
            methods[name] = interpreter.any_class
    for name in chosen:
        explainer.check(name)  # says which there are
    return methods, missing


def find_examples(folder, scratch):
    """Paths of sounds to try: those in ``folder``, or built-in ones that are made in ``scratch``.

    Raises ValueError for a folder without any.
    """
    if folder is None:
        return [_built_in(pair, Path(scratch)) for pair in BUILT_IN]
    found = sorted(p for p in Path(folder).glob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(
            f"--examples={folder}: expected a folder with {', '.join(SUFFIXES)} files in it."
        )
    return found[:MOST_EXAMPLES]


def _built_in(pair, scratch):
    rate = 16000
    first, second = (make_clip(name, 0, 7, 3 * rate, rate, (15, 20))[0] for name in pair)
    mixture = np.concatenate([first, np.zeros(2 * rate, np.float32)])
    mixture[2 * rate :] += 0.7 * second
    path = scratch / f"{pair[0]} and {pair[1]}.wav"
    soundfile.write(path, 0.9 * mixture / np.abs(mixture).max(), rate)
    return path


def make_app(argv, address, folder):
    """The :class:`App` of a command line, with its files in ``folder``."""
    one_process("the app")
    limits = limits_of(COMMAND_LINE.parse(COMMAND_LINE.split(argv)[0]))
    own, others = COMMAND_LINE.split(argv)
    options = COMMAND_LINE.parse(own)
    path, given, overrides = parse([options["yaml"], *others])
    hparams, _ = load(path, overrides)
    # Here, so that --help, and what is wrong in the command line, need not wait for them.
    from lmac.explain.explainer import Explainer
    from lmac.io.processes import device_of

    device = device_of(run_opts_of(given))
    explainer = Explainer.from_hparams(hparams, device=device)
    chosen = hparams["methods"]
    chosen = [chosen] if isinstance(chosen, str) else list(chosen)
    methods, missing = offered(explainer, chosen)
    for name, why in missing.items():
        print(f"Without {name}: {why}")
    examples = find_examples(options["examples"], folder)
    warm_up(explainer, examples[0], chosen, folder)
    return App(
        address, explainer, methods, chosen, folder, examples, limits, options["names"], opens=True
    )


def limits_of(options):
    """:class:`Limits` of the command line; ValueError for a number that limits nothing."""
    for key in ("max_seconds", "max_mb", "keep_minutes"):
        if not 0 < options[key] < math.inf:
            raise ValueError(f"--{key}={options[key]:g}: expected a number above 0.")
    return Limits(
        seconds=options["max_seconds"],
        bytes=round(1e6 * options["max_mb"]),
        keep_s=60 * options["keep_minutes"],
    )


def remove_left(place):
    """Delete the sounds that servers left in the folder ``place`` when they were killed."""
    for folder in Path(place).glob(f"{FOLDER}*-*"):
        number = folder.name.removeprefix(FOLDER).partition("-")[0]
        if not number.isdigit() or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another user's, or no number of a process: not to be touched
            continue


def warm_up(explainer, example, methods, folder):
    """Explain a sound once, so that the first visitor need not wait for what is made but once."""
    recording = explainer.read(example)
    for method in methods:
        explainer(recording, method).save(Path(folder) / "warm-up")


def main(argv):
    options = COMMAND_LINE.parse(COMMAND_LINE.split(argv)[0])
    remove_left(tempfile.gettempdir())
    prefix = f"{FOLDER}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        serve(
            lambda address: make_app(argv, address, folder),
            options["host"],
            options["port"],
            lambda address: print(f"Explanations: {address}\nCtrl+C ends.", flush=True),
        )
