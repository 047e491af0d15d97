"""Every command, once: its name, where it is, what it reads, and one line on what it does.

``lmac`` lists them, ``lmac <command> …`` runs one (:mod:`lmac.settings.cli`). Modules are named,
and imported when they are run, so that the settings may know commands that lie above them.
"""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command.

    Arguments
    ---------
    name : str
    module : str
        Has ``main(argv)``, and in its docstring the help; for a command without a YAML also
        ``COMMAND_LINE`` (:mod:`lmac.settings.command_line`).
    group : str
        Under which it is listed.
    help : str
        One line.
    experiments : tuple of str
        Names of the YAMLs in hparams/ that it runs; the first is shown by its --help. None: it has
        words of its own.
    stage : str
        What it takes of a recipe's file where no stage is named; by default the first experiment.
    parallel : bool
        Whether torchrun may start it several times.
    starts : bool
        Whether the settings are for the processes that it starts, and looked at there.
    dry_run : bool
        Whether it takes ``--dry_run=True`` (:mod:`lmac.settings.dry_run`).
    """

    name: str
    module: str
    group: str
    help: str
    experiments: tuple = ()
    stage: str = ""
    parallel: bool = False
    starts: bool = False
    dry_run: bool = False


_TRAIN, _SCORE, _CHECK = "Train", "Explain and score", "Ask more of an evaluation"
_REPEAT, _LOOK, _SHARE = "Repeat", "Look and listen", "Data, settings and results"
_LMAC = ("lmac", "lmac_finetune", "lmac_conditional", "lmac_zero_shot")
_RUNS, _CHECKS = "lmac.evaluation.runs", "lmac.evaluation.checks"

COMMANDS = {
    command.name: command
    for command in (
        Command("train-classifier", "train_classifier", _TRAIN, "train an audio classifier",
                ("classifier",), parallel=True, dry_run=True),
        Command("train-lmac", "train_lmac", _TRAIN, "train the decoder of L-MAC, and fine-tune it",
                _LMAC, parallel=True, dry_run=True),
        Command("l2i", "lmac.training.l2i", _TRAIN,
                "train L2I (Listen to Interpret), a method to compare with", ("l2i",),
                parallel=True, dry_run=True),
        Command("piq", "lmac.training.piq", _TRAIN,
                "train PIQ (posthoc interpretation via quantization), another", ("piq",),
                parallel=True, dry_run=True),
        Command("explain", "explain", _SCORE, "explain one audio file", ("explain",), dry_run=True),
        Command("evaluate", "eval_explanations", _SCORE,
                "score explanations of many clips by all methods", ("evaluation",),
                parallel=True, dry_run=True),
        Command("table", f"{_RUNS}.table", _SCORE,
                "compute one table of the paper, in all domains", ("tables",), starts=True),
        Command("randomisation", f"{_CHECKS}.randomisation", _CHECK,
                "do explanations change with a classifier of random weights?",
                ("evaluation",)),
        Command("resynthesis", f"{_CHECKS}.resynthesis", _CHECK,
                "classify the written explanation.wav files again", ("evaluation",)),
        Command("asked", f"{_CHECKS}.asked", _CHECK,
                "target classes: are absent ones explained, present ones found?",
                ("evaluation",)),
        Command("audit", f"{_CHECKS}.audit", _CHECK,
                "do explanations convince other classifiers, too?", ("evaluation",)),
        Command("planted_cues", f"{_CHECKS}.planted_cues", _CHECK,
                "are masks where the planted reason is?",
                ("evaluation",)),
        Command("held_out", f"{_CHECKS}.held_out", _CHECK,
                "zero-shot accuracy on classes that were never trained on", ("held_out",)),
        Command("folds", f"{_RUNS}.folds", _REPEAT,
                "cross-validation: each fold is the test fold once", ("classifier",), starts=True),
        Command("seeds", f"{_RUNS}.seeds", _REPEAT,
                "train and evaluate with several seeds; tests of methods", ("classifier",),
                starts=True),
        Command("app", "lmac.pages.app", _LOOK,
                "a page in the browser: explain sounds of your own", stage="explain"),
        Command("gallery", "lmac.pages.gallery", _LOOK,
                "make a page to look at and listen to explanations"),
        Command("grid", "lmac.pages.grid", _LOOK,
                "draw spectrograms of clips and methods, for a paper"),
        Command("study", "lmac.pages.study.listening_test", _LOOK,
                "make a blinded listening test"),
        Command("serve", "lmac.pages.study.server", _LOOK,
                "serve a listening test and collect the answers"),
        Command("analyse", "lmac.pages.study.analysis", _LOOK,
                "scores and tests from the answers of a listening test"),
        Command("inspect", f"{_RUNS}.inspect_data", _SHARE,
                "read every sample of a data set and name damaged files", ("inspect",)),
        Command("settings", "lmac.settings.help", _SHARE,
                "list every setting: what it means, what it takes, its default"),
        Command("publish", f"{_RUNS}.publish", _SHARE,
                "copy the results that may be published, without audio"),
        Command("share", f"{_RUNS}.share", _SHARE,
                "copy trained weights for others to use, in half precision"),
    )
}  # fmt: skip
EXPERIMENTS = tuple(dict.fromkeys(e for c in COMMANDS.values() for e in c.experiments))
# Commands that have another name now.
RENAMED = {"check": "inspect"}
RUN = "python -m lmac"


def command_of(experiment):
    """The :class:`Command` that runs the YAMLs of an experiment in hparams/; None for none."""
    return next((c for c in COMMANDS.values() if experiment in c.experiments), None)


def listing():
    """All commands in their groups, a line each."""
    lines = ["L-MAC: Listenable Maps for Audio Classifiers. The commands:"]
    width = max(map(len, COMMANDS))
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        lines += ["", group]
        lines += [
            f"    {RUN} {c.name:{width}}  {c.help}" for c in COMMANDS.values() if c.group == group
        ]
    return "\n".join(
        [*lines, "", "Each says more with --help. Options are written --key=value, lists [a,b]."]
    )


def unknown(name):
    """What to say of a command that there is not."""
    if name in RENAMED:
        return f"{RUN} {name} is now {RUN} {RENAMED[name]}."
    names = {c.module: c.name for c in COMMANDS.values()} | {n: n for n in COMMANDS}
    close = difflib.get_close_matches(name.removesuffix(".py"), names, n=1)
    hint = f"did you mean {RUN} {names[close[0]]}?" if close else f"{RUN} lists all."
    return f"There is no command {name!r}: {hint}"
