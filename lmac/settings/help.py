"""What ``--help`` of a command says, and the list of every setting.

    python -m lmac settings

Prints what each setting means, what it takes, and its values in the YAML files of hparams/. --help
of a command has those that its YAML has.
"""

import ast
import importlib.util
import re
import textwrap
from pathlib import Path

from lmac.settings.command_line import CommandLine
from lmac.settings.commands import EXPERIMENTS, RUN
from lmac.settings.compose import HPARAMS, SLOTS, merge
from lmac.settings.declared import GROUPS, RunOptions, declared, run_options
from lmac.settings.kinds import as_typed, brief, tag_of
from lmac.settings.load import parse, resolved, settings

HELP = ("-h", "--help")
WIDTH = 100
INDENT = 36
COMMAND_LINE = CommandLine()
PAGE = """\
Every setting of every YAML file, with its values in hparams/ and its own slots, by experiment where
they differ; where there is none, another file of a slot or a recipe sets it. --key=value gives
another. What is not as it says here is refused before anything is built."""


def main(argv):
    COMMAND_LINE.parse(argv)
    print(page())


# ---- Help of a command -------------------------------------------------------------------------
def said_of(command):
    """The docstring of a command, with its words where it declares them."""
    if command.experiments:
        # Folded commands are in several lines again, as they are in the source.
        return re.sub(r"(?<=\S) {4,}(?=-)", r" \\\n        ", _docstring(command.module))
    words = command_line(command)
    words.prog = f"{RUN} {command.name}"
    return f"{_docstring(command.module)}\n\n{words.format_help().strip()}"


def command_line(command):
    """What a command without a YAML declares of its words."""
    return importlib.import_module(command.module).COMMAND_LINE


def help_text(command, argv):
    """The docstring of a command, and every setting of its YAML with its value, in groups.

    ``argv`` may name a YAML file and overrides; by default it is that of hparams/.
    """
    if not command.experiments:
        return said_of(command)
    named = bool(argv) and not argv[0].startswith("-")
    default = HPARAMS / f"{command.experiments[0]}.yaml"
    path, _, overrides = parse(argv if named else [str(default), *argv])
    tree, merged = resolved(path, overrides), merge(path, overrides)
    tree.update({k: v for k, v in merged.items() if tag_of(v) == "!PLACEHOLDER"})
    parts = [
        said_of(command),
        f"Settings of {path if named else default.relative_to(HPARAMS.parent)} with their values.\n"
        "--key=value gives another; a YAML file before --help shows its own.",
        _slots(merged),
        *(_group(group, tree) for group in GROUPS if group is not RunOptions),
        _own(tree),
        _methods(tree),
        _group(RunOptions, dict.fromkeys(run_options() - {"precision"}, ...)),
    ]
    return "\n\n".join(part for part in parts if part)


def _slots(tree):
    lines = []
    for slot in SLOTS:
        if slot in tree:
            folder = HPARAMS / f"{slot.removesuffix('_yaml')}s"
            files = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
            own = folder.relative_to(HPARAMS.parent)
            lines.append(_line(slot, tree[slot], f"a YAML file, such as those of {own}: {files}"))
    return "\n".join(["Parts", *lines]) if lines else ""


def _group(group, tree):
    """A group's settings that ``tree`` has, a line or two each."""
    own = [one for key, one in declared().items() if one.group is group and key in tree]
    built = [one.name for one in own if one.kind.built]
    lines = [_line(one.name, tree[one.name], f"{one.meaning} ({one.expected})")
             for one in own if not one.kind.built]  # fmt: skip
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
    return (_docstring(module, name) or _docstring(module)).partition("\n")[0]


def _docstring(module, name=None):
    """The docstring of a module or of a class in it, which is not imported; "" without one."""
    try:
        source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
    except (ImportError, AttributeError, ValueError, OSError):
        return ""
    node = ast.parse(source)
    if name is not None:
        node = next((n for n in node.body if getattr(n, "name", None) == name), None)
    return (node and ast.get_docstring(node) or "").strip()


def _line(key, value, text):
    """``--key=value  text``, folded."""
    needed = tag_of(value) == "!PLACEHOLDER"
    head = f"    --{key}={'…' if needed or value is ... else brief(value)}"
    lines = textwrap.wrap(f"needed: {text}" if needed else text, WIDTH - INDENT)
    if lines and len(head) < INDENT - 1:
        head, lines = f"{head:{INDENT}}{lines[0]}", lines[1:]
    return "\n".join([head, *(" " * INDENT + line for line in lines)])


# ---- All settings ------------------------------------------------------------------------------
def page():
    """Every setting that there is, with its values in hparams/."""
    values = {name: settings(HPARAMS / f"{name}.yaml") for name in EXPERIMENTS}
    tree = {key: _default(key, values) for key in declared()}
    return "\n\n".join([PAGE, *(_group(group, tree) for group in GROUPS)])


def _default(key, values):
    """``60 (lmac), 40 (l2i)``; "" where no experiment has it."""
    found = {}
    for name, own in values.items():
        if key in own:
            needed = own[key] is None and not declared()[key].kind.null
            found.setdefault("needed" if needed else as_typed(own[key]), []).append(name)
    if len(found) <= 1:
        return "".join(found)
    return ", ".join(f"{value} ({', '.join(names)})" for value, names in found.items())
