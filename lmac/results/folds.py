"""Cross-validation: every fold is the test fold once; mean and standard deviation over folds.

    python -m lmac folds recipes/UrbanSound8K/classifier.yaml --data_folder=…
    python -m lmac folds recipes/ESC10/classifier.yaml --data_folder=… --folds=[1,2] \
        --stages=[classifier,lmac,evaluation]

For test fold k, fold k-1 (cyclic) selects the checkpoint and the others train. A stage is a YAML
of the same recipe folder; each runs in a process of its own, with its results in
<results_folder>/folds/fold_<k>, and those of the stages before. The command goes on where it was
killed and skips what is finished. Overrides reach every stage that has such a key. Besides:

    --folds=[1,2]        only these test folds; the tables show all that are finished
    --stages=[a,b]       by default the given YAML alone
    --valid_shift=-1     the fold that selects the checkpoint, counted from the test fold
    --targets=valid      evaluations explain the valid fold, with contaminants of the test fold,
                         as published; test: the other way round
    --cycle=[1,2,3]      the folds there are, where a data set is not complete

Writes to <results_folder>/folds, for each stage: <stage>.md and <stage>.csv (mean and standard
deviation) and <stage>_folds.csv (a row a fold).
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd

from lmac.commands import arguments_of
from lmac.config import ConfigError, experiment_of, merge, parse, settings
from lmac.provenance import commit
from lmac.results.folder import EvaluationFolder
from lmac.weights import EXPORTED
from metrics.files import damage, require_undamaged
from metrics.folds import over_folds, to_markdown
from metrics.tables import write_csv, write_text

# What runs the YAMLs that extend hparams/<name>.yaml.
MODULES = {
    "classifier": "train_classifier",
    "lmac": "train_lmac",
    "lmac_finetune": "train_lmac",
    "lmac_conditional": "train_lmac",
    "lmac_zero_shot": "train_lmac",
    "l2i": "interpreters.l2i.train",
    "evaluation": "eval_explanations",
    "explain": "explain",
    "tables": "lmac.results.table",
    "held_out": "lmac.results.held_out",
}
OPTIONS = {"folds": None, "stages": None, "valid_shift": -1, "targets": "valid", "cycle": None}
# These are set for each fold.
_OWN = ("train_folds", "valid_folds", "test_folds", "target_folds", "contaminant_folds")
_OF_A_FOLD = (
    *_OWN,
    *("output_folder", "save_folder", "manifest", "scenario_manifest", "finetune_from"),
)


def module_of(path):
    """The module that runs the YAML ``path``; ConfigError when none is known."""
    name = experiment_of(path)
    if name not in MODULES:
        raise ConfigError(
            f"{path}: expected an experiment of {', '.join(MODULES)}, got {name or 'none'}: name "
            "one of hparams/ by extends: …"
        )
    return MODULES[name]


def main(argv):
    path, _, overrides = parse(argv)
    options = {k: overrides.pop(k, default) for k, default in OPTIONS.items()}
    stages = _listed(options["stages"] or Path(path).stem)
    study = Study(path, stages, options, argv[1:], overrides)
    chosen = _listed(options["folds"] or study.cycle)
    unknown = [fold for fold in chosen if fold not in study.cycle]
    if unknown:
        raise ConfigError(f"folds: there is no fold {unknown[0]}, expected some of {study.cycle}.")
    for number, fold in enumerate(chosen):
        ran = False  # what comes after a stage that ran is not finished
        for stage in stages:
            title = f"== test fold {fold} ({number + 1} of {len(chosen)}), {stage}"
            if not ran and study.finished(stage, fold):
                print(f"{title}: finished", flush=True)
                continue
            print(title, flush=True)
            ran = True
            study.run(stage, fold)
    for stage in stages:
        print(study.collect(stage))
    print(f"Tables: {study.root}")


class Study:
    """The stages of a recipe for each fold.

    Arguments
    ---------
    path : path
        A YAML of the recipe, which names data set and results folder.
    stages : list of str
    options : dict
        With the keys of OPTIONS.
    words : list of str
        Command line after the YAML.
    overrides : dict
        Those among ``words`` that are no options.

    Raises ConfigError for a stage without a YAML, an override that no stage knows, and one that
    is set for each fold.
    """

    def __init__(self, path, stages, options, words, overrides):
        self.path = Path(path)
        self.trees = {stage: merge(self._yaml(stage)) for stage in stages}
        for key in overrides:
            if not any(key in tree for tree in (merge(path), *self.trees.values())):
                raise ConfigError(f"Unknown override --{key}: none of {', '.join(stages)} has it.")
            if key in _OF_A_FOLD or key.endswith("_checkpoint"):
                raise ConfigError(f"--{key} is set for each fold and cannot be given here.")
        known = {key: value for key, value in overrides.items() if key in merge(path)}
        whole = settings(path, known)
        self.root = Path(whole["results_folder"]) / "folds"
        self.shared = {
            k: str(whole[k]) for k in ("cache_folder", "data_folder") if whole.get(k) is not None
        }
        published = {fold for key in _OWN[:3] for fold in _listed(whole[key])}
        self.cycle = _listed(options["cycle"] or sorted(published))
        self.shift, self.targets = options["valid_shift"], options["targets"]
        if len(self.cycle) < 3 or self.shift % len(self.cycle) == 0:
            raise ConfigError(
                f"{len(self.cycle)} folds and valid_shift {self.shift}: expected at least three "
                "folds, and a shift to another than the test fold."
            )
        if self.targets not in ("valid", "test"):
            raise ConfigError(f"targets is {self.targets!r}: expected valid or test.")
        self.words, self.run_options = _words(words, overrides)

    def _yaml(self, stage):
        return self.path.with_name(f"{stage}.yaml")

    def roles(self, fold):
        """The settings ``train_folds``, ``valid_folds``, ... when ``fold`` is the test fold."""
        at = self.cycle.index(fold)
        valid = self.cycle[(at + self.shift) % len(self.cycle)]
        folds = {
            "train_folds": [f for f in self.cycle if f not in (fold, valid)],
            "valid_folds": [valid],
            "test_folds": [fold],
        }
        pair = [folds["valid_folds"], folds["test_folds"]]
        if self.targets == "test":
            pair.reverse()
        return {**folds, **dict(zip(_OWN[3:], pair, strict=True))}

    def overrides(self, stage, fold):
        """Words of the command line that ``stage`` gets."""
        own = {
            **self.shared,
            **{k: str(v).replace(" ", "") for k, v in self.roles(fold).items()},
            "results_folder": str(self.root / f"fold_{fold}"),
        }
        words = {**self.words, **{k: f"--{k}={v}" for k, v in own.items()}}
        known = {*self.trees[stage]}
        return [word for key, word in words.items() if key in known]

    def settings(self, stage, fold, **more):
        """The plain settings of ``stage``."""
        _, _, overrides = parse([str(self._yaml(stage)), *self.overrides(stage, fold)])
        return settings(self._yaml(stage), {**overrides, **more})

    def command(self, stage, fold):
        """Module, YAML, overrides and SpeechBrain's run options."""
        yaml = self._yaml(stage)
        return [module_of(yaml), str(yaml), *self.overrides(stage, fold), *self.run_options]

    def _note(self, stage, fold):
        return Path(self.settings(stage, fold)["output_folder"]) / f"finished_{stage}.json"

    def finished(self, stage, fold):
        """Whether ``stage`` has ended, with the very same settings."""
        note = self._note(stage, fold)
        if problem := damage(note):
            print(f"{problem}: {stage} of test fold {fold} is gone through again.", flush=True)
            return False
        if not note.is_file():
            return False
        return json.loads(note.read_text())["command"] == self.command(stage, fold)

    def run(self, stage, fold):
        """Run ``stage`` in a process of its own; its failure ends this one."""
        command = self.command(stage, fold)
        code = launch(command)
        if code:
            print(
                f"error: {stage} of test fold {fold} failed. The same command goes on from here.",
                file=sys.stderr,
            )
            sys.exit(code)
        note = json.dumps({"command": command}, indent=2)
        write_text(note + "\n", self._note(stage, fold), checked=True)

    def results(self, stage, fold):
        """What ``stage`` found: DataFrame, a row a method for evaluations, one for trainings."""
        plain = self.settings(stage, fold)
        if "scenario" in plain:
            folders = [
                Path(self.settings(stage, fold, domain=domain)["output_folder"])
                for domain in plain.get("domains", [plain["domain"]])
            ]
            tables = [EvaluationFolder(folder).written_summary for folder in folders]
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

    def collect(self, stage):
        """Write the tables of ``stage`` over all folds that are finished; the Markdown."""
        done = [fold for fold in self.cycle if self.finished(stage, fold)]
        parts = [self.results(stage, fold).assign(fold=fold) for fold in done]
        rows = pd.concat(parts, ignore_index=True)
        rows = rows[["fold", *rows.columns.drop("fold")]]
        by = [c for c in ("scenario", "domain", "method") if c in rows]
        summary = over_folds(rows, by)
        write_csv(rows, self.root / f"{stage}_folds.csv")
        write_csv(summary, self.root / f"{stage}.csv")
        text = "\n\n".join([*self._caption(stage, done), to_markdown(rows, summary, by)])
        write_text(text + "\n", self.root / f"{stage}.md")
        return text

    def _caption(self, stage, done):
        plain = self.settings(stage, done[0])
        missing = [fold for fold in self.cycle if fold not in done]
        shown = f"{len(done)} of {len(self.cycle)} folds" + (
            f", without fold {', '.join(map(str, missing))}" if missing else ""
        )
        protocol = (
            f"For test fold k, fold k{self.shift:+d} (cyclic) selects the checkpoint and the "
            "others train."
        )
        if "scenario" in plain:
            protocol += f" Explained are clips of the {self.targets} fold."
        return [
            f"# {plain['dataset']}, {stage}, {shown}",
            f"{protocol} Mean ± sample standard deviation over the folds (ddof 1), each fold "
            f"counting the same. Seed {plain['seed']}, commit {commit()}.",
        ]


def launch(command):
    """Run a module in a process of its own; its exit code."""
    module, *words = command
    # So that a stage does not outlive the command that waits for it.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return subprocess.run([sys.executable, *arguments_of(module), *words]).returncode
    finally:
        signal.signal(signal.SIGTERM, before)


def _words(words, overrides):
    """Overrides by key, as they were typed, and what is left for SpeechBrain."""
    typed, left = {}, []
    for word in words:
        key = word.removeprefix("--").split("=")[0]
        if key in (*overrides, *OPTIONS) and "=" not in word:
            raise ConfigError(f"Write --{key}=value.")
        if key in overrides:
            typed[key] = word
        elif key not in OPTIONS:
            left.append(word)
    return typed, left


def _listed(value):
    return list(value) if isinstance(value, list | tuple) else [value]
