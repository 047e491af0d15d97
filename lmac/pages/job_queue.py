"""Sounds that visitors of the app sent, and the queue in which they are explained.

One worker explains one request after another, so that two do not fight for the cores. Every sound
has a folder of its own, with a name that cannot be guessed, and is deleted after a while.
"""

import secrets
import shutil
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import soundfile

from lmac.io.names import shown
from lmac.pages.explanation_page import (
    draw_recording,
    explanation_data,
    recording_data,
    write_recording,
)
from lmac.pages.server import Refused

TIDY_S = 30  # how often old sounds are looked for when nothing is asked
# Of one sound; asking for more is no curiosity.
MOST_EXPLANATIONS = 60


class Closing(Exception):
    """The app ends."""


@dataclass(frozen=True)
class Limits:
    """What is taken: seconds of a sound, bytes of its file, requests that wait, sounds and
    seconds that are kept."""

    seconds: float = 600.0
    bytes: int = 50_000_000
    waiting: int = 20
    sounds: int = 50
    keep_s: float = 3600.0


@dataclass(eq=False)
class Sound:
    """A sound that was sent, and what became of it.

    ``state`` is "kept", "waiting", "working" or "failed"; ``data`` is what the page shows.
    """

    id: str
    name: str
    folder: Path
    seconds: float
    used: float
    state: str = "kept"
    error: str | None = None
    asked: list = field(default_factory=list)  # of (method, class or None)
    done: int = 0  # windows read, of ``total``
    total: int = 0
    doing: str = ""
    data: dict | None = None
    files: frozenset = frozenset()


class JobQueue:
    """Takes sounds and requests, and has them explained one after another.

    Arguments
    ---------
    explainer : lmac.explain.explainer.Explainer
    methods : dict
        Name to whether it can be asked for a class: those that are offered.
    folder : path
        Where sounds get their folders; addresses of files are relative to it.
    limits : Limits
    """

    def __init__(self, explainer, methods, folder, limits):
        self.explainer = explainer
        self.methods = methods
        self.folder = Path(folder)
        self.limits = limits
        self.sounds = {}
        self.waiting = []
        self.change = threading.Condition()
        self.closed = False
        self.last = None  # (sound, its recording): who asks once more need not wait for it
        self.worker = threading.Thread(target=self._work, daemon=True)
        self.worker.start()

    def close(self):
        """End the worker, soon: what it is doing is not finished."""
        with self.change:
            self.closed = True
            self.change.notify_all()
        self.worker.join()

    # --- what visitors ask ---

    def add(self, data, name):
        """Keep a sound: the bytes of its file, and its name; returns the :class:`Sound`.

        Raises Refused for what is no sound or too long.
        """
        name = shown(Path(name).name)[:100] or "sound"
        identity = secrets.token_urlsafe(12)
        folder = self.folder / "sounds" / identity
        folder.mkdir(parents=True)
        try:
            (folder / "upload").write_bytes(data)
            seconds = self._seconds(folder / "upload", name)
        except BaseException:
            shutil.rmtree(folder)
            raise
        sound = Sound(identity, name, folder, seconds, time.monotonic())
        with self.change:
            self.sounds[identity] = sound
        return sound

    def _seconds(self, path, name):
        try:
            info = soundfile.info(path)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                f"{name} cannot be read as audio: send a WAV, FLAC, OGG or MP3 file.",
            ) from error
        if info.duration >= self.limits.seconds + 1:  # not for a few samples
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{name} is {info.duration:.0f} s long: at most {self.limits.seconds:.0f} s are "
                "explained here.",
            )
        return info.duration

    def ask(self, identity, content):
        """Have a sound explained: ``content`` is {"methods": [...], "classes": [..., None]}.

        Raises Refused for anything that is not offered, and when there is too much to do.
        """
        asked = self._checked(content)
        with self.change:
            sound = self._sound(identity)
            if sound.state in ("waiting", "working"):
                raise Refused(HTTPStatus.CONFLICT, "This sound is being explained: wait for it.")
            if len(self.waiting) >= self.limits.waiting:
                raise Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE, "Too many are waiting: try again in a minute."
                )
            made = len(sound.data["explanations"]) if sound.data else 0
            if made + len(asked) > MOST_EXPLANATIONS:
                raise Refused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"At most {MOST_EXPLANATIONS} explanations are made of one sound.",
                )
            sound.asked, sound.state, sound.error = asked, "waiting", None
            sound.done = sound.total = 0
            self.waiting.append(sound)
            self.change.notify_all()
        return sound

    def _checked(self, content):
        def names(key):
            value = content.get(key) if isinstance(content, dict) else None
            if not isinstance(value, list) or not value:
                raise Refused(HTTPStatus.BAD_REQUEST, f"{key} must be a list of at least one name.")
            return list(dict.fromkeys(v if isinstance(v, str) else None for v in value))

        methods, classes = names("methods"), names("classes")
        for method in methods:
            if method not in self.methods:
                raise Refused(
                    HTTPStatus.BAD_REQUEST,
                    f"methods: expected some of {', '.join(self.methods)}, got {method!r}.",
                )
            if classes != [None] and not self.methods[method]:
                raise Refused(
                    HTTPStatus.BAD_REQUEST,
                    f"{method} explains the classifier's own decision only: choose no class, or "
                    "another method.",
                )
        for name in classes:
            if name is not None and name not in self.explainer.labels:
                raise Refused(HTTPStatus.BAD_REQUEST, f"There is no class {name!r}.")
        return [(method, name) for method in methods for name in classes]

    def status(self, identity):
        """What a page needs to know of a sound, as plain values."""
        with self.change:
            sound = self._sound(identity)
            sound.used = time.monotonic()
            ahead = self.waiting.index(sound) if sound in self.waiting else 0
            ahead += sound.state == "waiting" and any(
                other.state == "working" for other in self.sounds.values()
            )
            return {
                "state": sound.state,
                "ahead": ahead,
                "share": sound.done / sound.total if sound.total else 0.0,
                "doing": sound.doing,
                "error": sound.error,
                "data": sound.data,
            }

    def file(self, path):
        """The file at an address below ``folder``, None for what no sound has."""
        kind, _, rest = path.strip("/").partition("/")
        identity, _, name = rest.partition("/")
        sound = self.sounds.get(identity) if kind == "sounds" else None
        return sound.folder / name if sound and name in sound.files else None

    def _sound(self, identity):
        if identity not in self.sounds:
            raise Refused(
                HTTPStatus.NOT_FOUND, "This sound is not kept any more: send it once more."
            )
        return self.sounds[identity]

    # --- the worker ---

    def _work(self):
        while True:
            with self.change:
                if not self.waiting and not self.closed:
                    self.change.wait(TIDY_S)
                if self.closed:
                    return
                sound = self.waiting.pop(0) if self.waiting else None
                if sound:
                    sound.state = "working"
            if sound:
                self._answer(sound)
            self.tidy()

    def _answer(self, sound):
        error = None
        try:
            self._explain(sound)
        except ValueError as raised:
            # The visitor knows the sound by its name, not by where it lies here.
            error = str(raised).replace(str(sound.folder / "upload"), sound.name)
        except Closing:
            return
        except MemoryError:
            error = "This sound is too long for the memory of this computer."
        except Exception:
            # Whatever it is, the others' sounds are explained all the same.
            traceback.print_exc(file=sys.stderr)
            error = "Something went wrong here; the log of the server says what."
        with self.change:
            sound.error, sound.used = error, time.monotonic()
            sound.state = "failed" if error else "kept"

    def _explain(self, sound):
        explainer = self.explainer
        n_windows = explainer.n_windows(sound.seconds)
        known = self.last is not None and self.last[0] is sound
        sound.total = n_windows * (len(sound.asked) * explainer.passes + (not known))

        def progress(n):
            if self.closed:
                raise Closing
            sound.done = min(sound.done + n, sound.total)

        sound.doing = "Listening"
        if not known:
            self.last = None  # two long recordings need not be in memory at once
            recording = explainer.read(sound.folder / "upload", progress, sound.name)
            self.last = (sound, recording)
            write_recording(recording, explainer.explained.domain, sound.folder)
        recording = self.last[1]
        made = list(sound.data["explanations"]) if sound.data else []
        there = {(e["method"], e["asked"]) for e in made}
        for method, asked in sound.asked:
            if (method, asked) in there:
                continue
            sound.doing = f"Explaining by {method}" + (f" for {asked}" if asked else "")
            result = explainer.explain(recording.reporting(progress), method, asked)
            folder = sound.folder / result.folder
            result.write_sounds(folder)
            made.append(explanation_data(result, folder, self.folder))
            self._publish(sound, recording, made)
            # It takes longer than the explanation, which is looked at and heard by now.
            sound.doing = f"Drawing {method}"
            result.draw(folder)
            made[-1] = explanation_data(result, folder, self.folder)
        if not known:
            draw_recording(recording, sound.folder)
        self._publish(sound, recording, made)

    def _publish(self, sound, recording, explanations):
        """From now on the page shows these explanations, and gets the files that are there."""
        domain = self.explainer.explained.domain
        data = recording_data(recording, domain, sound.folder, self.folder)
        files = frozenset(
            path.relative_to(sound.folder).as_posix()
            for path in sound.folder.rglob("*.*")
            if path.suffix in (".wav", ".png", ".json")
        )
        with self.change:
            sound.data = {**data, "explanations": list(explanations)}
            sound.files = files

    def tidy(self):
        """Delete what was not looked at for long, and the oldest when there are too many."""
        now = time.monotonic()
        with self.change:
            idle = [s for s in self.sounds.values() if s.state in ("kept", "failed")]
            idle.sort(key=lambda sound: sound.used)
            too_many = len(self.sounds) - self.limits.sounds
            old = [
                sound for i, sound in enumerate(idle)
                if i < too_many or now - sound.used > self.limits.keep_s
            ]  # fmt: skip
            for sound in old:
                del self.sounds[sound.id]
            if self.last and self.last[0] in old:
                self.last = None
        for sound in old:
            shutil.rmtree(sound.folder, ignore_errors=True)
