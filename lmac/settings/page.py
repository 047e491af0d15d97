"""Every setting: what it means, what it takes, and its values in hparams/.

    python -m lmac settings --write=docs/settings.md

Prints the page, or writes it to a file.
"""

from pathlib import Path

from lmac.settings.command_line import CommandLine, Option
from lmac.settings.compose import EXPERIMENTS, HPARAMS
from lmac.settings.declared import GROUPS, RunOptions
from lmac.settings.kinds import as_typed
from lmac.settings.load import settings
from lmac.settings.validate import allows_null, declared

COMMAND_LINE = CommandLine(Option("write", str, None, "file to write; by default it is printed"))
HEAD = """\
# Settings

<!-- Written by: python -m lmac settings --write=docs/settings.md -->

Every key of every YAML file. `--key=value` sets it; `--help` of a script shows those it has and
their values in a YAML file. What is not as it says here is refused before anything is built.
Defaults are those of `hparams/` with its own slots, by experiment where they differ; where there
is none, another file of a slot or a recipe sets the key. How a new one is declared:
[extend.md](extend.md#settings).
"""


def main(argv):
    options = COMMAND_LINE.parse(argv)
    if options["write"]:
        Path(options["write"]).write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")


def page():
    """Markdown: a table for each group."""
    values = {name: settings(HPARAMS / f"{name}.yaml") for name in _EXPERIMENTS}
    return "\n".join([HEAD, *(_section(group, values) for group in GROUPS)])


# Tables are no experiment of their own: a recipe's extend an evaluation.
_EXPERIMENTS = [name for name in EXPERIMENTS if name != "tables"]


def _section(group, values):
    lines = [f"## {group.__doc__.splitlines()[0]}", ""]
    if group is RunOptions:
        lines += [
            "No keys of a YAML file, but given as they are: `--device=cuda`.",
            "",
        ]
    lines += ["| setting | meaning | takes | default |", "| --- | --- | --- | --- |"]
    built = []
    for key, one in declared().items():
        if one.group is not group:
            continue
        if one.is_built:
            built.append(f"`{key}`")
        else:
            cells = (f"`{key}`", one.meaning, one.expected, _default(key, values))
            lines.append(f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |")
    if built:
        lines += ["", f"Built by code that the YAML names: {', '.join(built)}."]
    return "\n".join([*lines, ""])


def _default(key, values):
    """``60 (lmac), 40 (l2i)``; "" where no experiment has it."""
    found = {}
    for name, own in values.items():
        if key in own:
            value = "needed" if own[key] is None and not allows_null(key) else as_typed(own[key])
            found.setdefault(value, []).append(name)
    if len(found) <= 1:
        return "".join(found)
    return ", ".join(f"{value} ({', '.join(names)})" for value, names in found.items())
