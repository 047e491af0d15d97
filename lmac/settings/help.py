"""What a command says before it works: ``--help`` with all settings, and what is wrong with them.

Imports neither torch nor SpeechBrain, so that the answer is there at once. Scripts call ``answer``
before they import anything else.
"""

import ast
import importlib.util
import os
import re
import sys
import textwrap
from pathlib import Path

from lmac.settings.compose import HPARAMS, SLOTS, ConfigError, keys_of_experiment, merge
from lmac.settings.declared import GROUPS, RunOptions
from lmac.settings.kinds import brief, tag_of
from lmac.settings.load import ROOT, check, check_typed, parse, resolved
from lmac.settings.validate import declared, run_options

HELP = ("-h", "--help")
WIDTH = 100
INDENT = 36


def answer(usage, argv=None, runs=True):
    """Print help or refuse a wrong command line, and exit; returns where neither is due.

    Arguments
    ---------
    usage : str
        Docstring of the command; the first YAML file that it names is the one it runs by default.
    argv : list of str, optional
        By default the command line of this process.
    runs : bool
        Whether the command runs the YAML itself, and so needs all that it needs. Otherwise only
        what is typed is looked at here.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        print(f"{_folded(usage.strip())}\n\n--help lists all settings.")
        sys.exit(2)
    try:
        if any(word in HELP for word in argv):
            _print(help_text(usage, [word for word in argv if word not in HELP]))
            sys.exit(0)
        path, _, overrides = parse(argv)
        check_typed(overrides)
        if runs:
            _require_keys(path, _default(usage))
            check(path, overrides)
    except ConfigError as error:
        # Under torchrun one process says it for all.
        sys.exit(1 if int(os.environ.get("RANK", 0)) else f"error: {error}")


def _print(text):
    try:
        print(text, flush=True)
    except BrokenPipeError:  # --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _default(usage):
    """The YAML file that a docstring names first."""
    return ROOT / re.search(r"\S+\.yaml", usage).group()


def _require_keys(path, default):
    """ConfigError for a YAML of another command, which lacks keys that ``default`` has."""
    there = merge(path)
    missing = [key for key in keys_of_experiment(default) if key not in there]
    if missing:
        raise ConfigError(
            f"{path} has no {missing[0]}: this command runs YAML files that extend "
            f"{default.relative_to(ROOT)}."
        )


def help_text(usage, argv):
    """The docstring, and every setting of the YAML with its value, in groups.

    ``argv`` may name a YAML file and overrides; by default it is the docstring's.
    """
    named = bool(argv) and not argv[0].startswith("-")
    path, _, overrides = parse(argv if named else [str(_default(usage)), *argv])
    tree = resolved(path, overrides)
    needed = {k: v for k, v in merge(path, overrides).items() if tag_of(v) == "!PLACEHOLDER"}
    tree.update(needed)
    shown_path = path if named else Path(path).relative_to(ROOT)
    parts = [
        _folded(usage.strip()),
        f"Settings of {shown_path} with their values; --key=value gives another.\n"
        "A YAML file before --help shows its own.",
        _slots(merge(path, overrides)),
        *(_group(group, tree) for group in GROUPS if group is not RunOptions),
        _own(tree),
        _methods(tree),
        _group(RunOptions, dict.fromkeys(run_options() - {"precision"}, ...)),
    ]
    return "\n\n".join(part for part in parts if part)


def _folded(usage):
    """A docstring whose commands are in several lines again, as they are in its source."""
    return re.sub(r"(?<=\S) {4,}(?=-)", r" \\\n        ", usage)


def _slots(tree):
    lines = []
    for slot in SLOTS:
        if slot in tree:
            folder = HPARAMS / f"{slot.removesuffix('_yaml')}s"
            files = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
            own = folder.relative_to(ROOT)
            lines.append(_line(slot, tree[slot], f"a YAML file, such as those of {own}: {files}"))
    return "\n".join(["Parts", *lines]) if lines else ""


def _group(group, tree):
    """A group's settings that ``tree`` has, a line or two each."""
    lines, built = [], []
    for key, one in declared().items():
        if one.group is not group or key not in tree:
            continue
        if one.is_built:
            built.append(key)
        else:
            lines.append(_line(key, tree[key], f"{one.meaning} ({one.expected})"))
    if built:
        text = f"(built by code that the YAML names: {', '.join(built)})"
        lines.append(textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="     "))
    return "\n".join([group.__doc__.splitlines()[0], *lines]) if lines else ""


def _own(tree):
    own = [k for k, v in tree.items() if k not in declared() and not tag_of(v)]
    return "\n".join(["Of this YAML", *(_line(k, tree[k], "") for k in own)]) if own else ""


def _methods(tree):
    available = tree.get("interpreters")
    if not isinstance(available, dict):
        return ""
    width = max(map(len, available)) + 6
    lines = [
        textwrap.fill(
            summary_of(tag_of(node)), WIDTH,
            initial_indent=f"    {name}".ljust(width), subsequent_indent=" " * width,
        )
        for name, node in available.items()
    ]  # fmt: skip
    return "\n".join(["Methods", *lines])


def summary_of(tag):
    """First line of the docstring of ``!name:module.Class``, or of the module: not imported."""
    module, _, name = tag.partition(":")[2].rpartition(".")
    try:
        source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
    except (ImportError, AttributeError, ValueError, OSError):
        return ""
    tree = ast.parse(source)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    text = name in classes and ast.get_docstring(classes[name]) or ast.get_docstring(tree) or ""
    return text.partition("\n")[0]


def _line(key, value, text):
    """``--key=value  text``, folded."""
    needed = tag_of(value) == "!PLACEHOLDER"
    head = f"    --{key}={'…' if needed or value is ... else brief(value)}"
    lines = textwrap.wrap(f"needed: {text}" if needed else text, WIDTH - INDENT)
    if lines and len(head) < INDENT - 1:
        head, lines = f"{head:{INDENT}}{lines[0]}", lines[1:]
    return "\n".join([head, *(" " * INDENT + line for line in lines)])
