"""Make a blinded listening test out of the results of an evaluation.

    python -m lmac study results/evaluation/mixtures_stft --output=test --methods=[L-MAC,Saliency]

Writes to the folder --output

    page/           give this to participants: index.html and the stimuli
    manifest.json   what the test asks
    key.json        which stimulus is which method: keep it to yourself

Then collect files (the page offers them as a download, or python -m lmac serve
TEST_FOLDER takes them) and run python -m lmac analyse TEST_FOLDER RESPONSES_FOLDER.
"""

import hashlib
import json
import logging
import random
import secrets
from pathlib import Path

import soundfile

from lmac.evaluation.folder import EvaluationFolder
from lmac.explain.audio import read_wav
from lmac.explain.loudness import faded, to_one_loudness
from lmac.io.files import write_text
from lmac.pages.page import write_page
from lmac.pages.study.responses import (
    DEVICES,
    LONGEST_COMMENT,
    PARTICIPANT,
    QUESTIONS,
    RESPONSE_FORMAT,
    SCALES,
    TEST_FORMAT,
    WORDS,
)
from lmac.settings.command_line import REQUIRED, Argument, CommandLine, Option

logger = logging.getLogger(__name__)

HIDDEN_REFERENCE = "hidden reference"  # the untouched input, among the sounds that are rated
RANDOM = "Random"  # hidden anchor: the method of that name, a random mask
# The same audio as the input.
NOT_TESTED = ("All-ones", RANDOM)
# Raised by more than this, the rounding of 16 bits may be heard (dB).
ROUNDING_HEARD_DB = 30.0
# ITU-R BS.1534-3 advises no more in one trial.
MOST_STIMULI = 12
LOUDNESS = ("matched", "as_written")
COMMAND_LINE = CommandLine(
    Argument(
        "folders",
        "output folders of eval_explanations.py in the stft domain, evaluated with a --listen "
        "above --clips (one clip is for training)",
        many=True,
    ),
    Option("output", str, REQUIRED, "a new folder, for the test"),
    Option("scale", str, "mushra", "mushra: all sounds of a clip on one screen, 0 to 100; or mos"),
    Option("clips", int, 8, "how many clips are asked about"),
    Option("methods", list, None, "methods to test; by default all but All-ones"),
    Option("seed", int, 1234, "of the choice of clips"),
    Option("loudness", str, "matched", "matched: all sounds of a clip as loud; or as_written"),
    Option("consent", str, None, "text file that participants have to agree to"),
    Option("headphones", bool, False, "True: ask what participants listen with"),
    Option("title", str, "Listening test", "heading of the page"),
)


def make_test(
    folders, output, scale="mushra", clips=8, methods=None, seed=1234, loudness="matched",
    consent=None, headphones=False, title="Listening test",
):  # fmt: skip
    """Write a test; returns the path of its page.

    Arguments
    ---------
    folders : list of path
        Results folders of ``eval_explanations.py``; clips are drawn from all.
    output : path
        A new or empty folder.
    scale : str
        "mushra": all stimuli of a clip on one screen, 0 to 100; "mos": one at a time, 1 to 5.
    clips : int
        How many, besides one for training. Only clips with a right decision are asked about, for
        there is no part of the input that belongs to a wrong class; classes take turns.
    methods : list of str
        By default all that the results have, without All-ones (which is the input).
    seed : int
        Of the choice of clips. The order of each participant follows from test and name.
    loudness : str
        "matched": all sounds of a clip have one loudness (see ``lmac.explain.loudness``); or
        "as_written": they differ as the evaluation wrote them, only the input has that loudness.
    consent : path, optional
        A text file; who does not agree to it cannot begin.
    headphones : bool
        Whether to ask what a participant listens with.
    title : str

    Raises ValueError or FileNotFoundError for input that makes no test.
    """
    output = Path(output)
    _check_options(scale, clips, loudness)
    agreement = None if consent is None else _paragraphs(consent)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} is not empty: give a new --output, tests are not overwritten.")
    results = [EvaluationFolder(folder).contents() for folder in folders]
    methods = _methods(results, methods)
    if scale == "mushra" and len(methods) + 2 > MOST_STIMULI:
        raise ValueError(
            f"--scale=mushra: {len(methods)} methods and 2 anchors are more than the "
            f"{MOST_STIMULI} sounds a screen can hold: give fewer --methods, or --scale=mos."
        )
    chosen = _choose(results, [*methods, RANDOM], clips + 1, seed)
    maker = _Maker(output / "page" / "stimuli", methods, loudness)
    training, *trials = [maker.trial(clip, i == 0) for i, clip in enumerate(chosen)]
    if maker.coarse:
        logger.warning(
            "%d sounds have 16 bits and were raised by more than %g dB, so that their rounding may "
            "be heard (the first is %s): evaluate into a new folder, which has 24 bits.",
            len(maker.coarse), ROUNDING_HEARD_DB, maker.coarse[0],
        )  # fmt: skip
    manifest = {
        "format": TEST_FORMAT,
        "title": title,
        "scale": scale,
        "loudness": loudness,
        "questions": QUESTIONS,
        "consent": agreement,
        "headphones": headphones,
        "training": training,
        "trials": sorted(trials, key=lambda t: t["trial"]),
    }
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    manifest["test"] = digest[:12]
    key = {"test": manifest["test"], "seed": seed, "trials": maker.clips, "stimuli": maker.key}
    for name, content in (("manifest", manifest), ("key", key)):
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        write_text(text + "\n", output / f"{name}.json")
    low, high = SCALES[scale]
    form = {
        "format": RESPONSE_FORMAT,
        "participant": PARTICIPANT.pattern,
        "low": low,
        "high": high,
        "words": WORDS,
        "devices": DEVICES,
    }
    return write_page(
        "listening_test.html",
        output / "page" / "index.html",
        manifest=manifest,
        form=form,
        longest_comment=LONGEST_COMMENT,
    )


def _check_options(scale, clips, loudness):
    for name, value, known in (("scale", scale, SCALES), ("loudness", loudness, LOUDNESS)):
        if value not in known:
            raise ValueError(f"--{name}: unknown {value!r}; expected {' or '.join(known)}.")
    if clips < 1:
        raise ValueError(f"--clips must be 1 or more, got {clips}.")


def _paragraphs(path):
    """The paragraphs of a text file, which blank lines part."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"--consent={path} cannot be read ({error}): give a text file in UTF-8."
        ) from error
    made = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    if not made:
        raise ValueError(f"--consent={path} is empty: give a text that can be agreed to.")
    return made


def _methods(results, methods):
    """The methods to test, which all results must have, as they must have Random."""
    known = [m for m in results[0].methods if all(m in r.methods for r in results)]
    if methods is None:
        methods = [m for m in known if m not in NOT_TESTED]
    unknown = [m for m in methods if m not in known or m in (RANDOM, HIDDEN_REFERENCE)]
    if unknown or not methods:
        raise ValueError(
            f"--methods: {', '.join(map(repr, unknown)) or 'none'} cannot be tested; all results "
            f"have {', '.join(m for m in known if m != RANDOM)}."
        )
    if RANDOM not in known:
        raise ValueError(
            f"{results[0].folder.path} has no method {RANDOM!r}, which is a hidden anchor: "
            "evaluate it, too (--methods of eval_explanations.py)."
        )
    return list(dict.fromkeys(methods))


def _choose(results, methods, number, seed):
    """``number`` clips with all audio and a right decision, classes taking turns."""
    usable = [
        clip
        for result in results
        for clip in result.clips
        if clip.correct and all(clip.file(m, "explanation.wav") for m in methods) and clip.input
    ]
    if len(usable) < number:
        raise ValueError(
            f"{', '.join(str(r.folder.path) for r in results)}: {len(usable)} clips have a right "
            f"decision and audio of {', '.join(methods)}, but {number} are needed (one is for "
            "training): give fewer --clips, or evaluate with a larger --listen."
        )
    generator = random.Random(seed)
    generator.shuffle(usable)
    turns = {}
    ranked = []
    for clip in usable:
        turns[clip.decision] = turns.get(clip.decision, -1) + 1
        ranked.append((turns[clip.decision], clip))
    return [clip for _, clip in sorted(ranked, key=lambda pair: pair[0])[:number]]


class _Maker:
    """Writes stimuli under names that say nothing, and remembers what they are.

    Names are hashes with a secret that is thrown away, so that nobody who knows the results can
    find out which is which.
    """

    def __init__(self, folder, methods, loudness):
        self.folder = folder
        self.methods = methods
        self.matched = loudness == "matched"
        self.secret = secrets.token_bytes(16)
        self.key = {}
        self.clips = {}
        self.coarse = []  # files whose rounding may be heard

    def _name(self, *parts):
        text = json.dumps(parts).encode()
        return hashlib.blake2b(text, key=self.secret, digest_size=8).hexdigest()

    def trial(self, clip, training):
        """Write the stimuli of a clip; returns its entry of the manifest."""
        files = {HIDDEN_REFERENCE: clip.input, RANDOM: clip.file(RANDOM, "explanation.wav")}
        files |= {m: clip.file(m, "explanation.wav") for m in self.methods}
        sounds = {condition: read_wav(path) for condition, path in files.items()}
        # First, for the ramps may take something of the level.
        sounds = {c: (faded(wave, rate), rate) for c, (wave, rate) in sounds.items()}
        if not sounds[HIDDEN_REFERENCE][0].any():
            raise ValueError(f"{clip.input} is silent: nobody can hear what explains it.")
        level, gains = to_one_loudness(sounds, None if self.matched else HIDDEN_REFERENCE)
        self.coarse += [
            path
            for condition, path in files.items()
            if gains[condition] > 10 ** (ROUNDING_HEARD_DB / 20)
            and soundfile.info(path).subtype == "PCM_16"
        ]
        where = (str(clip.results), clip.scenario, clip.domain, clip.ID)
        trial = self._name("trial", *where)
        self.clips[trial] = dict(
            zip(("results", "scenario", "domain", "ID"), where, strict=True),
            label=clip.label,
            decision=clip.decision,
            loudness_lufs=round(level, 2),
        )

        def write(role, condition):
            name = self._name(role, *where, condition)
            self._write(*sounds[condition], gains[condition], name)
            self.key[name] = {"trial": trial, "condition": condition, "role": role}
            return name

        role = "training" if training else "rated"
        return {
            "trial": trial,
            "class": clip.decision.replace("_", " "),
            "seconds": round(max(len(wave) / rate for wave, rate in sounds.values()), 3),
            "reference": write("reference", HIDDEN_REFERENCE),
            # Sorted by name: the order must not tell, either.
            "stimuli": sorted(write(role, condition) for condition in files),
        }

    def _write(self, wave, rate, gain, name):
        """Written anew, so that no header or comment of a file tells what it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(self.folder / f"{name}.wav", gain * wave, rate, subtype="PCM_16")


def main(argv):
    page = make_test(**COMMAND_LINE.parse(argv))
    print(f"Page for participants: {page}")
    print(f"Key (not for participants): {page.parents[1] / 'key.json'}")
