"""Wrong and odd overrides of every script and YAML: refused in one sentence, or taken and sensible.

Most trials end before any work: the command line is looked at as a script looks at it, before it
imports torch. What is taken is judged by rules of this file, which know nothing of the declared
settings, and some of it is really run, on a few short built-in sounds.
"""

import contextlib
import importlib
import io
import math
import os
import random
import re
import resource
import sys
import traceback
from collections import namedtuple
from functools import cache
from pathlib import Path

from lmac.settings.cli import answer, run
from lmac.settings.commands import EXPERIMENTS, command_of
from lmac.settings.compose import HPARAMS, SLOTS, ConfigError, experiment_of, merge, stages_of
from lmac.settings.declared import run_options
from lmac.settings.kinds import tag_of
from lmac.settings.load import parse, resolved

WHAT = "wrong and odd overrides, every key of every script and YAML"
COUNT = 2000
SHORT = 60
# One trial of so many is really run, where the count is that of a soak.
REALLY = 100

Trial = namedtuple("Trial", "command path key typed")
ODD = {
    "wrong type": ["abc", "[1,2]", "{a: 1}", "True", "1.5"],
    "negative": ["-1", "-0.5", "-1000000"],
    "zero": ["0", "0.0", "[0,0]"],
    "huge": ["1e30", "1000000000000000000000", "[-1e30,1e30]"],
    "NaN": [".nan", "[.nan,1]"],
    "infinite": [".inf", "-.inf", "[0,.inf]"],
    "empty": ["", "[]", "{}", "''"],
    "list": ["[abc]", "[[1]]", "[1,1]", "[30,0]"],
    "unknown name": ["stft2", "[L-MACC]", "cuda:x", "null"],
    "unicode": ["☃", "１２", "a\u202eb", "é" * 300],
    "no YAML": ["[1", "a: b: c", "@x", "*x", "!new:no.Such", "!x", "!ref <nothing>"],
    "odd path": ["a b.wav", "x/../y", "#1", "'q", "a\nb"],
}
# The nonsense that was once taken, and must not be again.
KNOWN = [
    ("lmac", "l_sparse", "-1"), ("lmac", "cc_th", "abc"), ("lmac", "noise_probability", "abc"),
    ("lmac", "mix_snr_db", "[30,0]"), ("lmac", "seed", ".nan"), ("lmac", "n_mels", "5000"),
    ("lmac", "valid_folds", "[1]"), ("lmac", "test_folds", "[3]"),
    ("evaluation", "methods", "[]"), ("evaluation", "listen", "-5"),
    ("evaluation", "relevance_threshold", "5"), ("classifier", "batch_size", "0"),
]  # fmt: skip
# What may be below zero, and what may be zero; anything else has to be above.
MAY_BE_NEGATIVE = {"gain_db", "mix_snr_db", "noise_snr_db", "cam_layer", "max_grad_norm"}
MAY_BE_NEGATIVE |= {"asked_snr_db", "cc_th"}
MAY_BE_ZERO = MAY_BE_NEGATIVE | {
    *(
        "seed",
        "scenario_seed",
        "num_workers",
        "listen",
        "l_in",
        "l_out",
        "l_sparse",
        "l_guidance",
        "l_absent",
    ),
    *("bin_th", "mix_probability", "noise_probability", "mixup", "weight_decay"),
    *("alpha", "beta", "gamma", "relevance_threshold", "smoothgrad_noise", "overlap_s"),
    *("min_length_s", "train_folds", "valid_folds", "test_folds", "target_folds"),
    *(
        "contaminant_folds",
        "absent_sparsity",
        "target_decision",
        "target_source",
        "target_probable",
    ),
    *("asked_p", "nonfinite_patience", "ckpt_interval_minutes", "ckpt_interval_steps"),
    *("profile_warmup", "split_fold"),
}
UNORDERED = {"asked_snr_db", *(f"{kind}_folds" for kind in
             ("train", "valid", "test", "target", "contaminant"))}  # fmt: skip
NEEDED = {"prompts": "x,y"}  # anything is given for other keys without a value
TINY = {
    "dataset_yaml": "hparams/datasets/builtin.yaml", "clips_per_class": 5, "device": "cpu",
    "signal_length_s": 1.0, "classifier_width": 4, "decoder_hidden": 4, "decoder_detail": 4,
    "number_of_epochs": 1, "batch_size": 10, "listen": 1, "n_boot": 20, "n_components": 4,
    "nmf_max_frames": 200, "nmf_max_epochs": 2, "l2i_hidden": 8, "window_s": 1.0,
    "overlap_s": 0.25, "methods": "[L-MAC,Saliency]",
}  # fmt: skip


def trials(count, seed, folder):
    generator = random.Random(seed)
    chosen = [Trial(command_of(name), f"hparams/{name}.yaml", key, typed)
              for name, key, typed in KNOWN]  # fmt: skip
    chosen += _drawn(max(0, count - len(chosen)), generator)
    really = count // REALLY if count >= 10 * REALLY else 0
    taken = []
    for trial in chosen[: count - really]:
        said, kept = attempt(trial)
        if kept and _cheap(trial):
            taken.append(trial)
        if trial in chosen[: len(KNOWN)] and kept:
            said = "taken, though it is nonsense"
        yield _label(trial), said
    if really:
        workshop = Workshop(folder)
        for trial in generator.sample(taken, min(really, len(taken))):
            yield f"run: {_label(trial)}", workshop.run(trial)


def _drawn(n, generator):
    """Trials over all YAMLs and keys, each kind of oddity as often as any other."""
    pairs = [(path, key) for path in _yamls() for key in _keys(path)]
    generator.shuffle(pairs)
    found = []
    while len(found) < n:
        for path, key in pairs[: n - len(found)]:
            typed = generator.choice(ODD[generator.choice(list(ODD))])
            found.append(Trial(command_of(experiment_of(path)), path, key, typed))
    return found


def _yamls():
    files = sorted([*HPARAMS.glob("*.yaml"), *HPARAMS.parent.glob("recipes/*/*.yaml")])
    paths = [f"{os.path.relpath(file)}{stage}" for file in files
             for stage in [f":{stage}" for stage in stages_of(file)] or [""]]  # fmt: skip
    paths = [path for path in paths if experiment_of(path) in EXPERIMENTS and "common" not in path]
    return [path for path in paths if "results_folder" in _merged(path)]  # tables.yaml is a part


def _keys(path):
    keys = [key for key in _merged(path) if not key.startswith("__")]
    return [*keys, *sorted(run_options() - {*keys}), "no_such_key", keys[0] + "s"]


@cache
def _merged(path):
    return merge(path)


def _label(trial):
    return f"{trial.command.name} {trial.path} --{trial.key}={trial.typed[:40]}"


def _words(trial):
    """The command line: what the YAML needs, and the odd word, now and then twice."""
    needed = [f"--{key}={NEEDED.get(key, 'x')}" for key, value in _merged(trial.path).items()
              if tag_of(value) == "!PLACEHOLDER" and key != trial.key]  # fmt: skip
    twice = [f"--{trial.key}=1"] * (len(trial.typed) % 3 == 0)
    return [trial.path, *needed, *twice, f"--{trial.key}={trial.typed}"]


def attempt(trial):
    """(what is wrong with how the script answers or None, whether it takes the command line)."""
    argv = _words(trial)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            answer(trial.command, argv)
            _, options, overrides = parse(argv)
            tree = resolved(trial.path, overrides)
    except SystemExit as end:
        return not_a_sentence(str(end.code), trial), False
    except ConfigError as error:  # where the script itself looks at it
        return not_a_sentence(f"error: {error}", trial), False
    except Exception:
        return traceback.format_exc(limit=-2), False
    tree.update(options)
    return nonsense(trial, tree), True


def not_a_sentence(text, trial):
    """What is wrong with an error message, or None."""
    if not text.startswith("error: ") or "\n" in text.replace(trial.typed, ""):
        return f"no sentence: {text}"
    if len(text) > 700:
        return f"{len(text)} characters: {text}"
    if trial.key not in text:
        return f"does not name the key: {text}"


def nonsense(trial, tree):
    """What is not sensible about what was taken, or None."""
    before = _merged(trial.path).get(trial.key)
    value = tree.get(trial.key)
    if trial.key in SLOTS:
        return None if merge(trial.path, {trial.key: None}) else "no settings are left"
    if trial.key not in tree:
        return "taken, and nothing has it"
    if trial.key == "out_n_neurons" and value == 0 and "train_folds" not in tree:
        return None  # what explain.py counts where a classifier knows its classes
    if tag_of(before) not in (None, "!PLACEHOLDER", "!ref") and not tag_of(value):
        return None if value is None else f"{value!r} in the place of what YAML builds"
    for number in _numbers(value):
        if not math.isfinite(number):
            return f"{value!r} was taken"
        if number < 0 and trial.key not in MAY_BE_NEGATIVE:
            return f"{value!r} was taken, below zero"
        if number == 0 and trial.key not in MAY_BE_ZERO:
            return f"{value!r} was taken, and is zero"
        if abs(number) > 1e12:
            return f"{value!r} was taken"
    if isinstance(value, list) and _numbers(value) and value != sorted(set(value)):
        if trial.key not in UNORDERED and value[0] != value[-1]:
            return f"{value!r} was taken, out of order"
    plain = (bool, int, float, str, list, dict)
    kinds = [next((k for k in plain if isinstance(v, k)), None) for v in (before, value)]
    if None not in kinds and tag_of(before) is None and kinds[0] != kinds[1]:
        if set(kinds) not in ({int, float}, {int, list}, {str, list}, {list, dict}):
            return f"{value!r} was taken in the place of {before!r}"


def _numbers(value):
    if isinstance(value, list):
        return [n for v in value for n in _numbers(v)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _cheap(trial):
    """Whether a trial can be run on the tiny data: of the experiments themselves."""
    ours = Path(trial.path).parent == Path("hparams") and trial.command.name != "table"
    elsewhere = {"dataset_yaml", "classifier_yaml", "decoder_yaml", "data_folder", "download"}
    elsewhere |= {"results_folder", "download_url", "device", "precision", "eval_precision"}
    parallel = ("distributed", "data_parallel", "compile", "jit", "profile", "num_workers")
    return ours and trial.key not in elsewhere and not trial.key.startswith(parallel)


class Workshop:
    """Tiny results to run the scripts on, and the runs themselves, each in a process of its own.

    Arguments
    ---------
    folder : path
        Where a classifier, a decoder and a recording are made at once.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        made = [self.call(command_of(name), self._words(f"hparams/{name}.yaml", name))
                for name in ("classifier", "lmac")]  # fmt: skip
        weights = ("classifier/best/classifier.ckpt", "lmac/best/decoder.ckpt")
        if any(made) or not all((self.folder / file).is_file() for file in weights):
            raise RuntimeError(f"the tiny results could not be made: {made} {self._said()}")
        self.recording = next(self.folder.rglob("builtin_sounds/audio/*.wav"))
        self.number = 0

    def _said(self):
        return (self.folder / "said.txt").read_text(encoding="utf-8", errors="replace")[-300:]

    def run(self, trial):
        """Run a trial; what is wrong with it, or None."""
        self.number += 1
        words = self._words(trial.path, f"trial{self.number}", trial)
        return self.call(trial.command, words, f"trial{self.number}")

    def _words(self, path, name, trial=None):
        given = TINY | {
            "results_folder": self.folder, "output_folder": self.folder / name,
            "classifier_checkpoint": self.folder / "classifier/best",
            "lmac_checkpoint": self.folder / "lmac/best",
            "noise_folder": "null",
        }  # fmt: skip
        if experiment_of(path) == "lmac_finetune":
            given["finetune_from"] = self.folder / "lmac/best"
        if hasattr(self, "recording"):
            given["audio"] = self.recording
        if name == "classifier" or experiment_of(path) == "classifier":
            given["classifier_checkpoint"] = "null"
        known = {*merge(path, {"dataset_yaml": TINY["dataset_yaml"]}
                       if "dataset_yaml" in merge(path) else {}), *run_options()}  # fmt: skip
        words = [f"--{key}={value}" for key, value in given.items() if key in known]
        return [path, *words, *([f"--{trial.key}={trial.typed}"] if trial else [])]

    def call(self, command, argv, name=None):
        """Run ``command`` on a command line in a process of its own; what is wrong, or None."""
        log = self.folder / "said.txt"
        child = os.fork()
        if child == 0:
            self._become(command, argv, log)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = log.read_text(encoding="utf-8", errors="replace")
        if "Traceback" in said or code < 0:
            return f"code {code}: {said[-600:]}"
        # The soak's own progress bar, which the fork has, may stand before it.
        if code and not re.search(r"(^|\])error: [^\n]*\Z", said.strip(), re.M):
            return f"code {code} without a sentence: {said[-300:]}"
        logs = [] if name is None else (self.folder / name).glob("train_log.txt")
        for file in logs:
            if re.search(r"loss: (nan|inf)", file.read_text(encoding="utf-8")):
                return "it trained on NaN"

    @staticmethod
    def _become(command, argv, log):
        """The rest of a child process: the script, as if it was started with ``argv``."""
        code = 1
        try:
            with open(log, "wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            # What asks for more than this is refused by the system, and not by a crash of all.
            resource.setrlimit(resource.RLIMIT_AS, (32 * 2**30,) * 2)
            run(importlib.import_module(command.module).main, argv)
            code = 0
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
