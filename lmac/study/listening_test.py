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
import random
import secrets
from pathlib import Path

import soundfile

from lmac.command_line import REQUIRED, Argument, CommandLine, Option
from lmac.media.loudness import MOST_DB, matching_gains
from lmac.media.loudness import loudness as measure
from lmac.media.page import write_page
from lmac.results.folder import EvaluationFolder
from lmac.study.responses import (
    LONGEST_COMMENT,
    PARTICIPANT,
    QUESTIONS,
    RESPONSE_FORMAT,
    SCALES,
    TEST_FORMAT,
    WORDS,
)
from metrics.tables import write_text

INPUT = "input"  # hidden anchor: the untouched input
RANDOM = "Random"  # hidden anchor: the method of that name, a random mask
# The same audio as the input.
NOT_TESTED = ("All-ones", RANDOM)
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
    Option("title", str, "Listening test", "heading of the page"),
)


def make_test(
    folders, output, scale="mushra", clips=8, methods=None, seed=1234, loudness="matched",
    title="Listening test",
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
        "matched": the sounds of a clip are lowered to one loudness; or "as_written".
    title : str

    Raises ValueError or FileNotFoundError for input that makes no test.
    """
    output = Path(output)
    _check_options(scale, clips, loudness)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} is not empty: give a new --output, tests are not overwritten.")
    results = [_Results(f) for f in folders]
    methods = _methods(results, methods)
    if scale == "mushra" and len(methods) + 2 > MOST_STIMULI:
        raise ValueError(
            f"--scale=mushra: {len(methods)} methods and 2 anchors are more than the "
            f"{MOST_STIMULI} sounds a screen can hold: give fewer --methods, or --scale=mos."
        )
    chosen = _choose(results, [*methods, RANDOM], clips + 1, seed)
    maker = _Maker(output / "page" / "stimuli", methods, loudness)
    training, *trials = [maker.trial(clip, i == 0) for i, clip in enumerate(chosen)]
    manifest = {
        "format": TEST_FORMAT,
        "title": title,
        "scale": scale,
        "loudness": loudness,
        "questions": QUESTIONS,
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
    }
    return write_page(
        "listening_test.html",
        output / "page" / "index.html",
        manifest=manifest,
        form=form,
        longest_comment=LONGEST_COMMENT,
        most_db=f"{MOST_DB:g}",
    )


class _Results:
    """Folder, clips with samples and methods of an evaluation."""

    def __init__(self, path):
        folder = EvaluationFolder(path)
        rows = folder.rows()
        self.folder = folder.path
        self.clips = folder.clips_with_samples(rows)
        self.methods = list(rows["method"].unique())


def _check_options(scale, clips, loudness):
    for name, value, known in (("scale", scale, SCALES), ("loudness", loudness, LOUDNESS)):
        if value not in known:
            raise ValueError(f"--{name}: unknown {value!r}; expected {' or '.join(known)}.")
    if clips < 1:
        raise ValueError(f"--clips must be 1 or more, got {clips}.")


def _methods(results, methods):
    """The methods to test, which all results must have, as they must have Random."""
    known = [m for m in results[0].methods if all(m in r.methods for r in results)]
    if methods is None:
        methods = [m for m in known if m not in NOT_TESTED]
    unknown = [m for m in methods if m not in known or m in (RANDOM, INPUT)]
    if unknown or not methods:
        raise ValueError(
            f"--methods: {', '.join(map(repr, unknown)) or 'none'} cannot be tested; all results "
            f"have {', '.join(m for m in known if m != RANDOM)}."
        )
    if RANDOM not in known:
        raise ValueError(
            f"{results[0].folder} has no method {RANDOM!r}, which is a hidden anchor: evaluate it, "
            "too (--methods of eval_explanations.py)."
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
            f"{', '.join(str(r.folder) for r in results)}: {len(usable)} clips have a right "
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

    def _name(self, *parts):
        text = json.dumps(parts).encode()
        return hashlib.blake2b(text, key=self.secret, digest_size=8).hexdigest()

    def trial(self, clip, training):
        """Write the stimuli of a clip; returns its entry of the manifest."""
        files = {INPUT: clip.input, RANDOM: clip.file(RANDOM, "explanation.wav")}
        files |= {m: clip.file(m, "explanation.wav") for m in self.methods}
        measured = {condition: measure(path) for condition, path in files.items()}
        rms = {condition: value for condition, (_, value) in measured.items() if value > 0}
        gains = matching_gains(rms, measured[INPUT][1]) if self.matched else {}
        where = (str(clip.results), clip.scenario, clip.domain, clip.ID)
        trial = self._name("trial", *where)
        self.clips[trial] = dict(
            zip(("results", "scenario", "domain", "ID"), where, strict=True),
            label=clip.label,
            decision=clip.decision,
        )

        def write(role, condition):
            name = self._name(role, *where, condition)
            self._write(files[condition], name, gains.get(condition, 1.0))
            self.key[name] = {"trial": trial, "condition": condition, "role": role}
            return name

        role = "training" if training else "rated"
        return {
            "trial": trial,
            "class": clip.decision.replace("_", " "),
            "seconds": round(max(s for s, _ in measured.values()), 3),
            "reference": write("reference", INPUT),
            # Sorted by name: the order must not tell, either.
            "stimuli": sorted(write(role, condition) for condition in files),
        }

    def _write(self, source, name, gain):
        """Written anew, so that no header or comment of a file tells what it is."""
        wave, rate = soundfile.read(source, dtype="float64")
        self.folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(self.folder / f"{name}.wav", gain * wave, rate, subtype="PCM_16")


def main(argv):
    page = make_test(**COMMAND_LINE.parse(argv))
    print(f"Page for participants: {page}")
    print(f"Key (not for participants): {page.parents[1] / 'key.json'}")
