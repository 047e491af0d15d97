"""Every command, by name: ``python -m lmac`` lists them, ``python -m lmac <command> …`` runs one.

Modules are named, and imported when they are run, so that the listing is there at once; so, too,
``lmac`` can list what lies above it.
"""

import ast
import difflib
import importlib
import importlib.util
import os
import sys
from pathlib import Path

# Name: module, and what it does.
COMMANDS = {
    "inspect": (
        "lmac.evaluation.runs.inspect_data",
        "read every sample of a data set and name damaged files",
    ),
    "l2i": ("lmac.training.l2i", "train L2I (Listen to Interpret), a method to compare with"),
    "table": ("lmac.evaluation.runs.table", "compute one table of the paper, in all domains"),
    "folds": ("lmac.evaluation.runs.folds", "cross-validation: each fold is the test fold once"),
    "seeds": (
        "lmac.evaluation.runs.seeds",
        "train and evaluate with several seeds; tests of methods",
    ),
    "randomisation": (
        "lmac.evaluation.checks.randomisation",
        "do explanations change when the classifier's weights are random?",
    ),
    "resynthesis": (
        "lmac.evaluation.checks.resynthesis",
        "classify the written explanation.wav files again",
    ),
    "asked": (
        "lmac.evaluation.checks.asked",
        "ask for classes: are absent ones carved, present ones found?",
    ),
    "audit": ("lmac.evaluation.checks.audit", "do explanations convince other classifiers, too?"),
    "planted_cues": (
        "lmac.evaluation.checks.planted_cues",
        "are masks where the reason is? On clips whose deciding part is known",
    ),
    "held_out": (
        "lmac.evaluation.checks.held_out",
        "zero-shot accuracy on classes that were never trained on",
    ),
    "settings": ("lmac.settings.page", "list every setting, as docs/settings.md does"),
    "publish": (
        "lmac.evaluation.runs.publish",
        "copy the results that may be published, without audio",
    ),
    "share": (
        "lmac.evaluation.runs.share",
        "copy trained weights for others to use, in half precision",
    ),
    "app": ("lmac.pages.app", "a page in the browser: explain sounds of your own"),
    "gallery": ("lmac.pages.gallery", "make a page to look at and listen to explanations"),
    "grid": ("lmac.pages.grid", "draw spectrograms of clips and methods, for a paper"),
    "study": ("lmac.pages.study.listening_test", "make a blinded listening test"),
    "serve": ("lmac.pages.study.server", "serve a listening test and collect the answers"),
    "analyse": (
        "lmac.pages.study.analysis",
        "scores and tests from the answers of a listening test",
    ),
}
SCRIPTS = {
    "train_classifier.py": "train an audio classifier",
    "train_lmac.py": "train the decoder of L-MAC, and fine-tune it",
    "eval_explanations.py": "score explanations of many clips by all methods",
    "explain.py": "explain one audio file",
}
RUN = "python -m lmac"
# What ``torchrun`` may start several times, beside three of the scripts.
TOGETHER = ("l2i",)
# These read a YAML file whose settings are for the processes that they start.
STARTS_OTHERS = ("table", "folds", "seeds")


def listing():
    """All commands, a line each."""
    lines = [(f"python {name} …", text) for name, text in SCRIPTS.items()]
    lines += [(f"{RUN} {name} …", text) for name, (_, text) in COMMANDS.items()]
    width = max(len(left) for left, _ in lines)
    return "\n".join(
        [
            "L-MAC: Listenable Maps for Audio Classifiers. The commands:",
            "",
            *(f"    {left:{width}}  {text}" for left, text in lines),
            "",
            "Each says more with --help. Options are written --key=value, lists --key=[a,b].",
        ]
    )


def arguments_of(module):
    """What Python needs after "python" to run ``module``: a command, or a script by its name."""
    names = {path: name for name, (path, _) in COMMANDS.items()}
    return ["-m", "lmac", names[module]] if module in names else ["-m", module]


def usage(name, module):
    """Help of a command: its docstring, and its words where it declares them."""
    text = module.__doc__.strip()
    declared = getattr(module, "COMMAND_LINE", None)
    if declared is not None:
        text += f"\n\n    {RUN} {name} {declared.usage()}\n\n{declared.describe()}"
    return text


def dispatch(argv):
    """List the commands, or run the one that ``argv`` names; an unknown one exits with code 2."""
    if not argv or argv[0] in ("-h", "--help"):
        print(listing())
        return
    name, *words = argv
    if name not in COMMANDS:
        print(f"error: {_unknown(name)}", file=sys.stderr)
        sys.exit(2)
    if name not in TOGETHER:
        one_process(f"{RUN} {name}")
        if any(word.partition("=")[0] == "--dry_run" for word in words):
            sys.exit(f"error: {RUN} {name}: --dry_run is for trainings, eval_explanations.py and "
                     "explain.py.")  # fmt: skip
    # Here, so that the listing need not wait for it.
    from lmac.settings.help import answer
    from lmac.settings.load import run

    text, reads_yaml = glance(COMMANDS[name][0])
    if reads_yaml:
        answer(text, words, runs=name not in STARTS_OTHERS)
    module = importlib.import_module(COMMANDS[name][0])
    run(module.main, usage(name, module), words)


def one_process(what):
    """End where ``torchrun`` started several processes of ``what``, which works in one."""
    n = int(os.environ.get("WORLD_SIZE", 1))
    if n > 1:
        main = int(os.environ.get("RANK", 0)) == 0
        sys.exit(f"error: {what} is one process, torchrun started {n}: leave out torchrun, which "
                 "is for trainings and eval_explanations.py." if main else 1)  # fmt: skip


def glance(module):
    """Docstring of a module, and whether it reads a YAML file; it is not imported."""
    tree = ast.parse(Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8"))
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return ast.get_docstring(tree), "COMMAND_LINE" not in names


def _unknown(name):
    scripts = {key.removesuffix(".py"): key for key in SCRIPTS}
    close = difflib.get_close_matches(name.removesuffix(".py"), [*COMMANDS, *scripts], n=1)
    if not close:
        hint = f"{RUN} lists all."
    elif close[0] in scripts:
        hint = f"did you mean python {scripts[close[0]]}?"
    else:
        hint = f"did you mean {RUN} {close[0]}?"
    return f"There is no command {name!r}: {hint}"
