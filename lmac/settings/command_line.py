"""The command line of commands without a YAML file: arguments by position, and ``--key=value``.

A command declares its words once; Python's argparse reads and describes them::

    COMMAND_LINE = CommandLine(
        Argument("folder", "output folder of eval_explanations.py"),
        Option("ids", list, None, "clips; by default all"),
    )
    options = COMMAND_LINE.parse(argv)  # {"folder": …, "ids": …}

Lists are written ``[a,b]``, as overrides of YAML files are.
"""

import argparse
import difflib
import os

import ruamel.yaml

REQUIRED = object()
_EXPECTED = {
    int: "a whole number, such as 8",
    float: "a number, such as 0.5",
    bool: "True or False",
    list: "a list such as [a,b]",
}


def Argument(name, text, many=False):
    """A word that is known by its position; with ``many`` (the last one only), one or more."""
    return name, {"help": text, "nargs": "+" if many else None}


def Option(name, kind, default, text):
    """``--name=value``: of ``kind`` str, int, float, bool or list (of str).

    ``default`` is its value where it is not given; REQUIRED: it must be.
    """

    def read(word):
        try:
            if kind is bool:
                return {"true": True, "false": False}[word.lower()]
            if kind is str:
                return os.path.expanduser(word)
            return read_names(word) if kind is list else kind(word)
        except (KeyError, ValueError, ruamel.yaml.YAMLError) as error:
            raise argparse.ArgumentTypeError(f"expected {_EXPECTED[kind]}, got {word!r}") from error

    if default is REQUIRED:
        return f"--{name}", {"help": text, "type": read, "metavar": "…", "required": True}
    shown = "[…]" if kind is list else "…" if default is None else str(default)
    return f"--{name}", {"help": text, "type": read, "metavar": shown, "default": default}


def read_names(word):
    """``[a,b]`` as a list of str, whatever its items look like; one name alone is a list, too.

    ValueError or YAMLError for other lists.
    """
    if not word.startswith("["):
        if "," in word:
            raise ValueError("a list without brackets")
        return [word]
    value = ruamel.yaml.YAML(typ="base", pure=True).load(word)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of something else")
    return value


class CommandLine(argparse.ArgumentParser):
    """What a command takes: Arguments and Options in the order of its help."""

    def __init__(self, *parts):
        super().__init__(
            add_help=False,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(
                prog, max_help_position=32, width=100
            ),
        )
        for name, how in parts:
            self.add_argument(name, **how)
        self.options = [name.removeprefix("--") for name, _ in parts if name.startswith("--")]
        self.needs_words = any(how.get("required", name[0] != "-") for name, how in parts)

    def parse(self, argv):
        """Words to a dict with a value for every argument and option.

        Raises ValueError for a word that is unknown, missing or of another kind.
        """
        values, left = self.parse_known_intermixed_args(argv)
        if left:
            raise ValueError(self._unknown(left[0]))
        return vars(values)

    def split(self, argv):
        """Words to (those of this command, those of the YAML file that it takes: overrides)."""
        own = [w for w in argv if not w.startswith("-") or _key(w) in self.options]
        return own, [w for w in argv if w not in own]

    def _unknown(self, word):
        if not word.startswith("-"):
            return f"{word!r} is one word too many: options are written --key=value."
        close = difflib.get_close_matches(_key(word), self.options, n=1)
        known = ", ".join(f"--{key}" for key in self.options)
        hint = f"did you mean --{close[0]}?" if close else f"expected some of {known}."
        return f"Unknown option {word.partition('=')[0]}: {hint}"

    def error(self, message):
        """One sentence in place of argparse's exit: ``--clips: expected …``."""
        said = message.removeprefix("argument ")
        raise ValueError(f"{said[:1].upper()}{said[1:]}.")


def _key(word):
    return word.lstrip("-").partition("=")[0]
