"""How settings depend on one another: one function a rule, which names what it is about.

A rule is called with a dict of all settings when those that it names are there and valid on their
own, and answers None or what is wrong, as the end of a sentence. Where one of them is null, only
those rules are called that are for ``null``: what a run needs, and a mere look at settings not.
"""

import difflib
import os

from data_prep.scenario_kinds import EXTERNAL
from lmac.io.prompts import read_prompts

RULES = []


def rule(*keys, null=False):
    """Register a function as the rule on ``keys``."""

    def register(function):
        RULES.append((keys, null, function))
        return function

    return register


def _folds(value):
    return {value} if isinstance(value, int) else set(value)


def _list(numbers):
    return f"[{','.join(map(str, sorted(numbers)))}]"


@rule("valid_folds", "train_folds")
def selected_on_other_clips(s):
    if both := _folds(s["valid_folds"]) & _folds(s["train_folds"]):
        return (
            f"valid_folds has fold {_list(both)} of train_folds: a checkpoint that is selected on "
            "clips it was trained on says nothing, give other folds"
        )


@rule("test_folds", "train_folds")
def tested_on_other_clips(s):
    if both := _folds(s["test_folds"]) & _folds(s["train_folds"]):
        return (
            f"test_folds has fold {_list(both)} of train_folds: give folds without training clips"
        )


@rule("out_n_neurons", "train_folds")
def classes_of_the_data(s):
    if s["out_n_neurons"] == 0:
        return "out_n_neurons is 0: expected the number of the data set's classes, at least 1"


@rule("prompts")
def prompts_to_choose_from(s):
    try:
        read_prompts(s["prompts"])
    except ValueError as error:
        return str(error).removeprefix("prompts: ").removesuffix(".")


@rule("n_fft", "n_mels")
def bands_for_bins(s):
    most = s["n_fft"] // 2 + 1
    if s["n_mels"] > most:
        return f"n_mels is {s['n_mels']}: expected at most {most}, the bins of n_fft {s['n_fft']}"


@rule("win_length", "n_fft", "sample_rate")
def window_in_fft(s):
    longest = 1000 * s["n_fft"] / s["sample_rate"]
    samples = round(s["win_length"] * s["sample_rate"] / 1000)
    if not 2 <= samples <= s["n_fft"]:
        return (
            f"win_length is {s['win_length']:g} ms: expected 2 samples to {longest:g} ms, n_fft "
            f"{s['n_fft']} at {s['sample_rate']} Hz"
        )


@rule("hop_length", "win_length", "sample_rate")
def windows_overlap(s):
    if not 1 <= round(s["hop_length"] * s["sample_rate"] / 1000):
        return (
            f"hop_length is {s['hop_length']:g} ms: expected a sample at least, "
            f"{1000 / s['sample_rate']:g} ms at {s['sample_rate']} Hz"
        )
    if s["hop_length"] > s["win_length"] / 2:
        return (
            f"hop_length is {s['hop_length']:g} ms: expected at most half of win_length, "
            f"{s['win_length'] / 2:g} ms, or the sound cannot be made of the spectrogram again"
        )


@rule("signal_length_s", "win_length")
def a_window_at_least(s):
    if 1000 * s["signal_length_s"] < s["win_length"]:
        return (
            f"signal_length_s is {s['signal_length_s']:g} s: expected at least a window of the "
            f"STFT, win_length {s['win_length']:g} ms"
        )


@rule("target_decision", "target_source", "target_probable")
def shares_of_targets(s):
    shares = [s[key] for key in ("target_decision", "target_source", "target_probable")]
    if sum(shares) > 1 + 1e-9:
        return (
            "target_decision, target_source and target_probable are "
            f"{', '.join(map(str, shares))}: expected a sum of at most 1"
        )


@rule("audio", null=True)
def a_file_to_explain(s):
    """Here, for a run would wait for torch before it finds that there is none."""
    if s["audio"] is not None and not os.path.isfile(s["audio"]):
        return f"audio: {s['audio']} does not exist"


@rule("overlap_s", "window_s")
def windows_of_a_file(s):
    if s["overlap_s"] > s["window_s"] / 2:
        return (
            f"overlap_s is {s['overlap_s']:g} s: expected 0 to half of window_s, "
            f"{s['window_s'] / 2:g} s"
        )


@rule("jit")
def modules_to_compile(s):
    if s["jit"] and s.get("jit_module_keys") is None:
        return (
            "jit is on: TorchScript does not take all modules, say which, such as "
            "--jit_module_keys=[decoder]"
        )


@rule("domain", "signal_path")
def sound_needs_phase(s):
    if s["domain"] == "mel" and s["signal_path"] == "waveform":
        return (
            "domain is mel and signal_path waveform: no sound can be made of mel bands, use "
            "domain=stft or signal_path=direct"
        )


def _unknown(s, key):
    for name in s[key]:
        if name not in s["interpreters"]:
            close = difflib.get_close_matches(name, s["interpreters"], n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}? Expected some of" if close else "expected some of"
            return f"{key}: there is no method {name}, {hint} {', '.join(s['interpreters'])}"


for key in ("methods", "methods_stft", "methods_mel"):
    rule(key, "interpreters")(lambda s, key=key: _unknown(s, key))


@rule("scenario", "contaminant_folder", null=True)
def recordings_to_mix_in(s):
    if s["scenario"] in EXTERNAL and s["contaminant_folder"] is None:
        return (
            f"scenario {s['scenario']} needs recordings: give their folder as "
            "--contaminant_folder=…"
        )
