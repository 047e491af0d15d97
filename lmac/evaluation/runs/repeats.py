"""Training and evaluating once for each of several things, and what it gives on average.

What :mod:`lmac.evaluation.runs.folds` and ``seeds`` share: the stages of a recipe are run for each
fold or seed, each in a process of its own; what is finished is skipped, what was killed
goes on; and tables are collected of all that is finished. The same command may run several times
at once, as jobs of an array do: each takes what none of the others has taken, and the last to
finish collects all.
"""

import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd

from lmac.evaluation.folder import EvaluationFolder
from lmac.io.files import damage, require_undamaged, write_csv, write_text
from lmac.io.lock import AtWork, claim, release
from lmac.io.provenance import commit
from lmac.io.weights import EXPORTED
from lmac.settings.commands import COMMANDS, EXPERIMENTS, command_of
from lmac.settings.compose import SLOTS, split, stage_beside
from lmac.settings.load import ConfigError, experiment_of, merge, parse, settings
from metrics.repeats import over_repeats, to_markdown

# What both commands take, beside what they are for.
OPTIONS = {"stages": None, "processes": 1, "collect_only": False}
# Set for each repetition, whatever it is.
_OF_EACH = ("output_folder", "save_folder", "manifest", "scenario_manifest", "finetune_from")


def runner_of(path):
    """The command that runs the YAML ``path``; ConfigError when none is known."""
    name = experiment_of(path)
    if name is None:
        raise ConfigError(
            f"{path}: expected an experiment of {', '.join(EXPERIMENTS)}, got none: name one of "
            "hparams/ by extends: …"
        )
    return command_of(name)


class Repeats:
    """The stages of a recipe, run once for each of ``all``; the base class of both commands.

    Arguments
    ---------
    path : path
        A stage of the recipe, which names data set and results folder.
    stages : list of str
    options : dict
        With the keys of OPTIONS and those of the subclass.
    words : list of str
        Command line after the YAML.
    overrides : dict
        Those among ``words`` that are no options.

    Raises ConfigError for a stage without a YAML, an override that no stage knows, and one that
    is set for each repetition.
    """

    one = None  # "fold" or "seed": the column of the tables, the name of folders
    options = OPTIONS  # and their values where they are not given
    own = ()  # settings that differ between repetitions

    def __init__(self, path, stages, options, words, overrides):
        self.path, self.stages = Path(path), stages
        self.trees = {stage: _tree(self._yaml(stage), overrides) for stage in stages}
        given = _tree(path, overrides)
        for key in overrides:
            if not any(key in tree for tree in (given, *self.trees.values())):
                raise ConfigError(f"Unknown override --{key}: none of {', '.join(stages)} has it.")
            if key in (*self.own, *_OF_EACH) or self.made_here(key):
                raise ConfigError(f"--{key} is set for each {self.one} and cannot be given here.")
        known = {key: value for key, value in overrides.items() if key in given}
        whole = settings(path, known)
        self.root = Path(whole["results_folder"]) / f"{self.one}s"
        self.shared = {
            k: str(whole[k]) for k in ("cache_folder", "data_folder") if whole.get(k) is not None
        }
        self.processes = options["processes"]
        if not isinstance(self.processes, int) or self.processes < 1:
            raise ConfigError(f"processes is {self.processes!r}: expected a whole number above 0.")
        self.prepare(whole, options)
        self.words, self.run_options = _words(words, overrides, self.options)

    # What a subclass says

    def prepare(self, whole, options):
        """Take from the plain settings ``whole`` and ``options`` what there is to repeat."""
        raise NotImplementedError

    @property
    def all(self):
        """All repetitions that there are, as ints."""
        raise NotImplementedError

    def made_here(self, key):
        """Whether the setting ``key`` names what an earlier stage makes."""
        return key.endswith("_checkpoint")

    def of(self, repeat):
        """The settings that differ, for one repetition: a dict."""
        raise NotImplementedError

    def title(self, repeat):
        """What is said of a repetition while it runs."""
        raise NotImplementedError

    def caption(self, stage, done):
        """Paragraphs above the table of ``stage`` over the repetitions ``done``."""
        raise NotImplementedError

    def footnotes(self, stage, done):
        """Paragraphs below it."""
        return []

    # Running

    def _yaml(self, stage):
        return stage_beside(self.path, stage)

    def folder(self, repeat):
        """Where all results of a repetition are."""
        return self.root / f"{self.one}_{repeat}"

    def overrides(self, stage, repeat):
        """Words of the command line that ``stage`` gets."""
        own = {
            **self.shared,
            **{k: str(v).replace(" ", "") for k, v in self.of(repeat).items()},
            "results_folder": str(self.folder(repeat)),
        }
        words = {**self.words, **{k: f"--{k}={v}" for k, v in own.items()}}
        known = {*self.trees[stage]}
        return [word for key, word in words.items() if key in known]

    @cache  # noqa: B019 - as many as there are stages and repetitions
    def settings(self, stage, repeat, **more):
        """The plain settings of ``stage``."""
        _, _, overrides = parse([str(self._yaml(stage)), *self.overrides(stage, repeat)])
        return settings(self._yaml(stage), {**overrides, **more})

    @cache  # noqa: B019
    def command(self, stage, repeat):
        """Name of the command, YAML, overrides and SpeechBrain's run options."""
        yaml = self._yaml(stage)
        return [runner_of(yaml).name, str(yaml), *self.overrides(stage, repeat), *self.run_options]

    def _note(self, stage, repeat):
        return Path(self.settings(stage, repeat)["output_folder"]) / f"finished_{stage}.json"

    def finished(self, stage, repeat):
        """Whether ``stage`` has ended, with the very same settings."""
        note = self._note(stage, repeat)
        if problem := damage(note):
            print(f"{problem}: {stage} of {self.title(repeat)} is gone through again.", flush=True)
            return False
        if not note.is_file():
            return False
        return json.loads(note.read_text())["command"] == self.command(stage, repeat)

    def run_all(self, chosen):
        """Run what is not finished of the repetitions ``chosen``, in turn."""
        for number, repeat in enumerate(chosen):
            title = f"== {self.title(repeat)} ({number + 1} of {len(chosen)})"
            folder = self.folder(repeat)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                locked = claim(folder)
            except AtWork:
                print(f"{title}: another process is at it", flush=True)
                continue
            if not locked:
                print(f"{self.root} cannot be locked: take care that no two processes are given "
                      f"the same {self.one}.", flush=True)  # fmt: skip
            try:
                self._run_stages(title, repeat)
            finally:
                release(folder)

    def _run_stages(self, title, repeat):
        ran = False  # what comes after a stage that ran is not finished
        for stage in self.stages:
            if not ran and self.finished(stage, repeat):
                print(f"{title}, {stage}: finished", flush=True)
                continue
            print(f"{title}, {stage}", flush=True)
            ran = True
            self.run(stage, repeat)

    def run(self, stage, repeat):
        """Run ``stage`` in a process of its own; its failure ends this one."""
        command = self.command(stage, repeat)
        code = launch(command, self.processes)
        if code:
            print(
                f"error: {stage} of {self.title(repeat)} failed. The same command goes on from "
                "here.",
                file=sys.stderr,
            )
            sys.exit(code)
        note = json.dumps({"command": command}, indent=2)
        write_text(note + "\n", self._note(stage, repeat), checked=True)

    # Collecting

    def results(self, stage, repeat):
        """What ``stage`` found: DataFrame, a row a method for evaluations, one for trainings."""
        plain = self.settings(stage, repeat)
        if "scenario" in plain:
            folders = self.evaluations(stage, repeat)
            tables = [folder.written_summary for folder in folders]
            table = pd.concat(tables).drop(columns="n")
            spread = [c for c in table if c.endswith((" lo", " hi", " undefined"))]
            return table.drop(columns=spread).reset_index(drop=True)
        path = Path(plain["output_folder"]) / "best" / "info.json"
        info = json.loads(require_undamaged(path, EXPORTED).read_text(encoding="utf-8"))
        scores = {
            f"{split} {name}": value
            for split in ("test", "valid")
            for name, value in info.get(split, {}).items()
            if isinstance(value, int | float)
        }
        return pd.DataFrame([scores])

    def evaluations(self, stage, repeat):
        """The folders of an evaluating stage, one a domain; none for a training."""
        plain = self.settings(stage, repeat)
        if "scenario" not in plain:
            return []
        return [
            EvaluationFolder(self.settings(stage, repeat, domain=domain)["output_folder"])
            for domain in plain.get("domains", [plain["domain"]])
        ]

    def table_name(self, stage):
        """Of the tables of ``stage``: its results folder, such as "evaluation_mixtures_stft".

        So those of another domain or scenario are beside them. ConfigError for a folder that all
        repetitions would share.
        """
        repeat = self.all[0]
        plain = self.settings(stage, repeat)
        output = Path(plain["output_folder"])
        if not output.is_relative_to(self.folder(repeat)):
            raise ConfigError(
                f"{self._yaml(stage)}: output_folder is {output} for every {self.one}: begin it "
                "with <results_folder>."
            )
        parts = output.relative_to(self.folder(repeat)).parts
        return "_".join(part for part in parts if part != str(plain["seed"]))

    def done(self, stage):
        """The repetitions of which ``stage`` is finished."""
        return [repeat for repeat in self.all if self.finished(stage, repeat)]

    def collect(self, stage):
        """Write the tables of ``stage`` over all that are finished; the Markdown.

        ConfigError when none is. Where another process finishes one meanwhile, it is done again:
        whoever writes last has seen all.
        """
        done = self.done(stage)
        if not done:
            raise ConfigError(
                f"{stage} is finished for no {self.one}: there is nothing to collect."
            )
        while True:
            text = self._collect(stage, done)
            before, done = done, self.done(stage)
            if done == before:
                return text

    def _collect(self, stage, done):
        parts = [self.results(stage, repeat).assign(**{self.one: repeat}) for repeat in done]
        rows = pd.concat(parts, ignore_index=True)
        rows = rows[[self.one, *rows.columns.drop(self.one)]]
        by = [c for c in ("scenario", "domain", "method") if c in rows]
        summary = over_repeats(rows, by, self.one)
        name = self.table_name(stage)
        write_csv(rows, self.root / f"{name}_{self.one}s.csv")
        write_csv(summary, self.root / f"{name}.csv")
        table = to_markdown(rows, summary, by, self.one)
        parts = [*self.caption(stage, done), table, *self.footnotes(stage, done)]
        text = "\n\n".join(parts)
        write_text(text + "\n", self.root / f"{name}.md")
        return text

    def heading(self, stage, done):
        """The title of a table, which says what is missing."""
        missing = [repeat for repeat in self.all if repeat not in done]
        shown = f"{len(done)} of {len(self.all)} {self.one}s" + (
            f", without {self.one} {', '.join(map(str, missing))}" if missing else ""
        )
        return f"# {self.settings(stage, done[0])['dataset']}, {stage}, {shown}"

    def spread(self):
        """What ± is."""
        return (
            f"Mean ± sample standard deviation over the {self.one}s (ddof 1), each {self.one} "
            f"counting the same. Commit {commit()}."
        )


def repeat(kind, argv, choose):
    """The ``main`` of a command that repeats.

    Arguments
    ---------
    kind : type
        A subclass of Repeats.
    argv : list of str
    choose : function
        Of the Repeats and the options, to the repetitions that are to be run now.
    """
    path, _, overrides = parse(argv)
    options = {k: overrides.pop(k, default) for k, default in kind.options.items()}
    stages = listed(options["stages"] or split(path)[1] or Path(path).stem)
    for stage in stages:
        if not isinstance(stage, str) or Path(stage).name != stage:
            raise ConfigError(f"stages: {stage!r} is no name of a YAML beside {path}.")
    study = kind(path, stages, options, argv[1:], overrides)
    for stage in stages:
        study.table_name(stage)  # a folder that does not do is known before anything runs
    chosen = choose(study, options)
    if not options["collect_only"]:
        study.run_all(chosen)
    for stage in stages:
        print(study.collect(stage) if study.done(stage) or options["collect_only"]
              else f"{stage}: others are at it, and collect what they finish.")  # fmt: skip
    print(f"Tables: {study.root}")


def launch(command, processes=1):
    """Run a command in processes of its own, by torchrun if they are several; the exit code."""
    together = []
    if processes > 1 and COMMANDS[command[0]].parallel:
        together = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    # So that a stage does not outlive the command that waits for it.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # srun may have started this, for one of several.
    alone = {k: v for k, v in os.environ.items() if k != "SLURM_STEP_NUM_TASKS"}
    try:
        words = [sys.executable, *together, "-m", "lmac", *command]
        return subprocess.run(words, env=alone).returncode
    finally:
        signal.signal(signal.SIGTERM, before)


def _tree(yaml, overrides):
    """What ``merge`` gives of ``yaml`` with the slots among ``overrides``, whose keys are known."""
    plain = merge(yaml)
    return merge(yaml, {k: v for k, v in overrides.items() if k in SLOTS and k in plain})


def _words(words, overrides, options):
    """Overrides by key, as they were typed, and what is left for SpeechBrain."""
    typed, left = {}, []
    for word in words:
        key = word.removeprefix("--").split("=")[0]
        if key in (*overrides, *options) and "=" not in word:
            raise ConfigError(f"Write --{key}=value.")
        if key in overrides:
            typed[key] = word
        elif key not in options:
            left.append(word)
    return typed, left


def listed(value):
    """``value`` as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]
