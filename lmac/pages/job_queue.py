"""Sounds that visitors of the app sent, and the queue in which they are explained.

One worker explains one short sound after another, another one the long ones, so that nobody waits
for an hour of somebody else's. Every sound
has a folder of its own, with a name that cannot be guessed, and is deleted after a while.
"""

import math
import secrets
import shutil
import sys
import threading
import time
import traceback
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import soundfile

from lmac.io.files import whole
from lmac.io.names import shown
from lmac.pages.explanation_page import (
    draw_recording,
    explanation_data,
    recording_data,
    write_recording,
)
from lmac.pages.painting import rasterised
from lmac.pages.server import Refused

TIDY_S = 30  # how often old sounds are looked for when nothing is asked
# Of one sound; asking for more is no curiosity.
MOST_EXPLANATIONS = 60
# Of a file, decoded: channels and rates make much of few bytes.
MOST_SAMPLES = 120_000_000
# The longest sound that is painted on, for which an answer has to come at once, and that need not
# wait for longer ones.
SHORT_S = 60.0
READY = 4  # sounds of at most that length that are kept analysed
END_S = 5  # what the workers get to end
PAINTED = "your mask"
ALL = "all.zip"


class Turns:
    """A lock whose holder gives way between two batches: ``with turns: … turns.give_way()``.

    A network is computed with by one at a time, for methods such as Guided Backprop change it while
    they explain.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.wanting = 0

    def __enter__(self):
        self.wanting += 1
        self.lock.acquire()
        self.wanting -= 1

    def __exit__(self, *_):
        self.lock.release()

    def give_way(self):
        """Let one who wants it have it first; to be called by its holder."""
        if self.wanting:
            self.lock.release()
            time.sleep(0.002)  # or it would be here again before the other woke up
            self.__enter__()


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
    masks: dict = field(default_factory=dict)  # (method, class or None) to the mask, 8 bits
    paintings: int = 0

    @property
    def long(self):
        return self.seconds > SHORT_S


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
        # By length (sound, its recording): who asks once more need not wait for it.
        self.last = {}
        self.ready = OrderedDict()  # id to recording, of sounds to paint on
        self.turns = Turns()
        self.workers = [
            threading.Thread(target=self._work, args=[long], daemon=True) for long in (False, True)
        ]
        for worker in self.workers:
            worker.start()

    def close(self):
        """End the workers, soon: what they are doing is not finished."""
        with self.change:
            self.closed = True
            self.change.notify_all()
        end = time.monotonic() + END_S
        for worker in self.workers:  # daemons: they end with the process at the latest
            worker.join(max(0.0, end - time.monotonic()))

    # --- what visitors ask ---

    def add(self, data, name):
        """Keep a sound: the bytes of its file, and its name; returns the :class:`Sound`.

        Raises Refused for what is no sound or too long.
        """
        self.tidy(room=1)
        with self.change:
            if len(self.sounds) >= self.limits.sounds:
                raise Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE, "Too many sounds are here: try again later."
                )
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
        if info.frames * info.channels > MOST_SAMPLES:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{name} has {info.channels} channels at {info.samplerate} Hz: too much to decode "
                "here, send it with fewer channels or at a lower rate.",
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
            lane = [other for other in self.waiting if other.long == sound.long]
            ahead = lane.index(sound) if sound in lane else 0
            ahead += sound.state == "waiting" and any(
                other.state == "working" and other.long == sound.long
                for other in self.sounds.values()
            )
            return {
                "state": sound.state,
                "ahead": ahead,
                "share": sound.done / sound.total if sound.total else 0.0,
                "doing": sound.doing,
                "error": sound.error,
                "data": sound.data,
            }

    def remove(self, identity):
        """Delete a sound at once; Refused while it is being explained."""
        with self.change:
            sound = self._sound(identity)
            if sound.state in ("waiting", "working"):
                raise Refused(HTTPStatus.CONFLICT, "This sound is being explained: wait for it.")
            sound.used = -math.inf
        self.tidy()

    def file(self, path):
        """The file at an address below ``folder``, None for what no sound has."""
        kind, _, rest = path.strip("/").partition("/")
        identity, _, name = rest.partition("/")
        sound = self.sounds.get(identity) if kind == "sounds" else None
        if sound and name == ALL:
            return self._packed(sound)
        return sound.folder / name if sound and name in sound.files else None

    def _packed(self, sound):
        """All files of a sound in one, made when it is asked for."""
        with self.change:
            files = sorted(sound.files)
        path = sound.folder / ALL
        with whole(path, sync=False) as file, zipfile.ZipFile(file, "w") as archive:
            for name in files:
                if (sound.folder / name).is_file():  # an earlier painting is gone
                    archive.write(sound.folder / name, name)
        return path

    def _sound(self, identity):
        if identity not in self.sounds:
            raise Refused(
                HTTPStatus.NOT_FOUND, "This sound is not kept any more: send it once more."
            )
        return self.sounds[identity]

    # --- what a visitor paints ---

    def paint(self, identity, content):
        """Score a mask that was painted: p of the class for input, kept part and removed part.

        ``content`` is a painting (:mod:`lmac.pages.painting`) with "class" (a name, or None for
        the decision) and "sounds", whether the kept and the removed part are written as sound.
        Answered at once, beside what the workers do. Returns plain values; raises Refused.
        """
        with self.change:
            sound = self._sound(identity)
            sound.used = time.monotonic()
        if sound.long:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"Sounds of at most {SHORT_S:.0f} s can be painted on.",
            )
        try:
            with self.turns:
                return self._painted(sound, content)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error

    def _painted(self, sound, content):
        recording = self._analysed(sound)
        start = self._start(sound, recording, content)
        domain = self.explainer.explained.domain
        n_frames = recording.n_samples // recording.hop + 1
        mask = rasterised(
            content,
            start,
            recording.hop / recording.sample_rate,
            domain.top_of_axis / (start.shape[1] - domain.listenable),
        )
        asked = content.get("class")
        if asked is not None and asked not in self.explainer.labels:
            raise ValueError(f"There is no class {asked!r}.")
        result = self.explainer.score_mask(recording, mask, PAINTED, asked)
        answer = {
            "explained": result.explained_class,
            "p": result.p,
            "p_in": result.p_in,
            "p_out": result.p_out,
            "kept": float(mask[:n_frames].mean()),
        }
        if content.get("sounds"):
            # A new address each time: the one before may be playing.
            sound.paintings += 1
            folder = sound.folder / f"painted-{sound.paintings}"
            result.write_sounds(folder)
            answer |= {
                key: value
                for key, value in explanation_data(result, folder, self.folder).items()
                if key in ("sounds", "files", "mask")
            }
            shutil.rmtree(sound.folder / f"painted-{sound.paintings - 2}", ignore_errors=True)
            with self.change:
                sound.files = _files(sound.folder)
        return answer

    def _analysed(self, sound):
        """The recording of a sound that is painted on; the last few are kept."""
        if sound.id not in self.ready:
            known = self.last.get(False)
            if known is not None and known[0] is sound:
                self.ready[sound.id] = known[1]
            else:
                upload = sound.folder / "upload"
                self.ready[sound.id] = self.explainer.read(upload, None, sound.name)
            while len(self.ready) > READY:
                self.ready.popitem(last=False)
        self.ready.move_to_end(sound.id)
        return self.ready[sound.id].reporting(None)

    def _start(self, sound, recording, content):
        """The mask [T, F] that is painted over; ValueError for one that is not there."""
        import torch  # here, as in painting.py, for --help need not wait for it

        start = content.get("start") if isinstance(content, dict) else None
        if start in ("nothing", "everything"):
            return torch.full(recording.X.shape, float(start == "everything"))
        if isinstance(start, dict):
            key = start.get("method"), start.get("asked")
            if all(k is None or isinstance(k, str) for k in key) and key in sound.masks:
                mask = sound.masks[key].float() / 255
                left = recording.X.shape[0] - mask.shape[0]  # silence behind the end
                return torch.nn.functional.pad(mask, (0, 0, 0, left))
        raise ValueError("start: expected nothing, everything, or an explanation that is there.")

    # --- the workers ---

    def _work(self, long):
        def following():
            return next((sound for sound in self.waiting if sound.long == long), None)

        while True:
            with self.change:
                if following() is None and not self.closed:
                    self.change.wait(TIDY_S)
                if self.closed:
                    return
                sound = following()
                if sound:
                    self.waiting.remove(sound)
                    sound.state = "working"
            if sound:
                self._answer(sound)
            self.tidy()

    def _answer(self, sound):
        error = None
        try:
            with self.turns:
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
        known = self.last.get(sound.long, (None,))[0] is sound
        sound.total = n_windows * (len(sound.asked) * explainer.passes + (not known))

        def progress(n):
            if self.closed:
                raise Closing
            self.turns.give_way()
            sound.done = min(sound.done + n, sound.total)

        sound.doing = "Listening"
        if not known:
            self.last.pop(sound.long, None)  # two long ones need not be in memory at once
            recording = explainer.read(sound.folder / "upload", progress, sound.name)
            self.last[sound.long] = (sound, recording)
            write_recording(recording, explainer.explained.domain, sound.folder)
        recording = self.last[sound.long][1]
        made = list(sound.data["explanations"]) if sound.data else []
        there = {(e["method"], e["asked"]) for e in made}
        for method, asked in sound.asked:
            if (method, asked) in there:
                continue
            sound.doing = f"Explaining by {method}" + (f" for {asked}" if asked else "")
            result = explainer.explain(recording.reporting(progress), method, asked)
            folder = sound.folder / result.folder
            result.write_sounds(folder)
            if not sound.long:
                sound.masks[method, asked] = (255 * result.mask).round().byte()
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
        with self.change:
            paintable = not sound.long
            sound.data = {**data, "explanations": list(explanations), "paintable": paintable}
            sound.files = _files(sound.folder)

    def tidy(self, room=0):
        """Delete what was not looked at for long, and the oldest when there are too many.

        ``room``: how many more are to have place.
        """
        now = time.monotonic()
        with self.change:
            idle = [s for s in self.sounds.values() if s.state in ("kept", "failed")]
            idle.sort(key=lambda sound: sound.used)
            too_many = len(self.sounds) + room - self.limits.sounds
            old = [
                sound for i, sound in enumerate(idle)
                if i < too_many or now - sound.used > self.limits.keep_s
            ]  # fmt: skip
            for sound in old:
                del self.sounds[sound.id]
                self.ready.pop(sound.id, None)
            self.last = {long: known for long, known in self.last.items() if known[0] not in old}
        for sound in old:
            shutil.rmtree(sound.folder, ignore_errors=True)


def _files(folder):
    """The names of a sound's files that a page may load."""
    return frozenset(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.*")
        if path.suffix in (".wav", ".png", ".json")
    )
