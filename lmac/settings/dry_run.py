"""``--dry_run=True``: whatever a run would do, on a few clips and in a folder that is thrown away.

The script itself is run: settings, checkpoints, folds and folders are looked at as they always
are, then there are two training steps, a batch of validation and of the tests, or a batch of every
method, with all that is written at the end. What is said is how large the real run is.
"""

import contextlib
import functools
import io
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

import speechbrain as sb

from lmac.io import dry_run
from lmac.io.dry_run import in_words, require_room
from lmac.io.once import once
from lmac.io.processes import count, rank, start
from lmac.settings.load import check_same_run, parse, resolved_text, run_opts_of, settings


def dry_runnable(main):
    """Give the ``main(argv)`` of a script that reads a YAML file the setting ``--dry_run=True``."""

    @functools.wraps(main)
    def wrapped(argv):
        given = any(word.partition("=")[0] == "--dry_run" for word in argv)
        if not given or parse(argv)[2].get("dry_run") is not True:
            return main(argv)
        report = try_out(main, argv)
        if rank() == 0:
            print(report)

    return wrapped


def try_out(main, argv):
    """Try ``main(argv)``, a script that trains, evaluates or explains; returns the report.

    Raises what the run would raise, and ValueError for folders that cannot be written, too little
    room on the disk and results of other settings that are there already.
    """
    path, options, overrides = parse(argv)
    overrides.pop("dry_run")
    start(run_opts_of(options))
    plain = settings(path, overrides)
    output = Path(plain["output_folder"])
    folder = once(_temporary, output)
    if any((output / "save").glob("CKPT*")):
        check_same_run(output, resolved_text(path, overrides))
    dry_run.SEEN = seen = {"step_s": [], "batch_s": []}
    try:
        with _watched(seen), _quietly():
            main([*argv, *_instead(plain, folder / "run", overrides)])
        for compare in seen.get("compare", ()):
            once(compare, output)
    finally:
        dry_run.SEEN = None
        if rank() == 0:
            shutil.rmtree(folder)
    needed = _bytes(seen, plain)
    require_room(output, needed["output_folder"], "checkpoints and results")
    if plain.get("cache_folder"):
        require_room(plain["cache_folder"], needed["cache_folder"], "decoded clips")
    return _report(seen, plain, needed)


def _instead(plain, folder, overrides):
    """Words that lead everything that is written to ``folder``, and make it short."""
    own = {
        "dry_run": True,
        "output_folder": folder,
        "cache_folder": "null",  # else all clips would be decoded
        "save_folder": folder / "save",
        "manifest": folder / "manifest.csv",
        "number_of_epochs": 1,
        "nmf_max_epochs": 1,
        "listen": 1,
        "n_boot": 10,
        "download": False,
    }
    scenario = plain.get("scenario_manifest")
    if scenario is not None and not Path(scenario).is_file():
        own["scenario_manifest"] = folder / "scenario.csv"
    elif scenario is not None:
        own["scenario_manifest"] = Path(scenario).absolute()
    data = plain.get("data_folder")
    if data and "clips_per_class" in plain and not Path(data).exists():
        own["data_folder"] = folder / "sounds"  # they are made where they are missing
    words = [f"--{key}={value}" for key, value in own.items() if key in {*plain, "dry_run"}]
    return [*words, "--noprogressbar"]


@contextlib.contextmanager
def _watched(seen):
    """Note how long SpeechBrain's steps and batches take, and what is trained."""
    before = sb.Brain.fit_batch, sb.Brain.evaluate_batch

    def fit_batch(self, batch):
        start = time.perf_counter()
        loss = before[0](self, batch)
        seen["step_s"].append(time.perf_counter() - start)
        parameters = (p for p in self.modules.parameters() if p.requires_grad)
        seen["parameters"] = sum(p.numel() for p in parameters)
        seen["device"] = self.device
        return loss

    def evaluate_batch(self, batch, stage):
        start = time.perf_counter()
        loss = before[1](self, batch, stage)
        seen["batch_s"].append(time.perf_counter() - start)
        return loss

    sb.Brain.fit_batch, sb.Brain.evaluate_batch = fit_batch, evaluate_batch
    try:
        yield
    finally:
        sb.Brain.fit_batch, sb.Brain.evaluate_batch = before


@contextlib.contextmanager
def _quietly():
    """Nothing of the trial is said (its numbers are those of a few clips), but its failure."""
    logging.disable(logging.INFO)
    hook = sys.excepthook
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
        sys.excepthook = hook  # SpeechBrain's writes to a log that is thrown away


def _temporary(output):
    """A new folder beside ``output``, which shows that something can be written there."""
    place = output.absolute().parent
    while not place.exists():
        place = place.parent
    try:
        return Path(tempfile.mkdtemp(prefix=".dry-run-", dir=place))
    except OSError as error:
        raise ValueError(
            f"output_folder: nothing can be written to {place} ({error.strerror}): give another "
            "--output_folder."
        ) from error


def _bytes(seen, plain):
    """What a run leaves: a dict of bytes."""
    weights = 4 * seen.get("parameters", 0)
    clips = seen.get("clips", {}).get("clips", 0)
    sound = 2 * plain.get("signal_length_s", 0) * plain["sample_rate"]
    samples = min(plain.get("listen", 0), clips) * len(plain.get("methods") or ())
    return {
        # The best and the last checkpoint with Adam's two moments, one more while it is written.
        "output_folder": 10 * weights + samples * (3 * sound + 2e5) + 2e3 * clips + 1e6,
        "cache_folder": 4 * seen.get("audio_s", 0) * plain["sample_rate"],
    }


def _report(seen, plain, needed):
    """What would be run, in lines."""
    lines = ["Dry run: all is well. What would be run:"]
    clips = seen.get("clips", {})
    if clips:
        lines.append("  clips: " + ", ".join(f"{n} {what}" for what, n in clips.items()))
    several = f", on {count()} processes" if count() > 1 else ""
    if "steps" in seen:
        steps, epochs = seen["steps"], plain["number_of_epochs"]
        batches = -(-clips.get("valid", 0) // (plain["batch_size"] * count()))
        lines.append(
            f"  {epochs} epochs of {steps} steps of {plain['batch_size']} clips{several}; "
            f"{seen.get('parameters', 0)} parameters; device {seen.get('device')}"
        )
        each = steps * min(seen["step_s"]) + batches * min(seen["batch_s"], default=0.0)
        lines.append(f"  about {_time(epochs * each)} ({min(seen['step_s']):.2g} s a step)")
    elif "batch" in seen:
        batches = -(-clips["clips"] // (plain["batch_size"] * count()))
        lines.append(
            f"  {len(plain['methods'])} methods in {batches} batches of {plain['batch_size']} clips"
            f"{several}; device {seen['device']}"
        )
        lines.append(f"  about {_time(batches * seen['batch'])} ({seen['batch']:.2g} s a batch)")
    space = f"  about {in_words(needed['output_folder'])} in {plain['output_folder']}"
    if plain.get("cache_folder") and seen.get("audio_s"):
        space += f", up to {in_words(needed['cache_folder'])} in {plain['cache_folder']}"
    return "\n".join([*lines, space])


def _time(seconds):
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(1, round(seconds))} seconds"
