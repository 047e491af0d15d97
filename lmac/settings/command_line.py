"""The command line of commands without a YAML file: arguments by position, and ``--key=value``.

A command declares its words once, and parses and describes them from there::

    COMMAND_LINE = CommandLine(
        Argument("folder", "output folder of eval_explanations.py"),
        Option("ids", list, None, "clips; by default all"),
    )
    options = COMMAND_LINE.parse(argv)  # {"folder": …, "ids": …}

Options are written as overrides of YAML files are, so that there is one grammar: lists as
``[a,b]``, switches as ``True`` or ``False``; a key given twice counts the last time.
"""

import difflib
from dataclasses import dataclass

import ruamel.yaml

REQUIRED = object()
_EXPECTED = {
    int: "a whole number, such as 8",
    float: "a number, such as 0.5",
    bool: "True or False",
    list: "a list such as [a,b]",
}


@dataclass(frozen=True)
class Argument:
    """A word that is known by its position; with ``many`` (the last one only), one or more."""

    name: str
    text: str
    many: bool = False


@dataclass(frozen=True)
class Option:
    """``--name=value``.

    Arguments
    ---------
    name : str
    kind : type
        str, int, float, bool or list (of str).
    default : object
        Its value where it is not given; REQUIRED: it must be.
    text : str
        What it does, in one line.
    """

    name: str
    kind: type
    default: object
    text: str

    def read(self, word):
        """The value of ``word``, what follows "="; ValueError when it is not of ``kind``."""
        try:
            if self.kind is bool:
                return {"true": True, "false": False}[word.lower()]
            return read_names(word) if self.kind is list else self.kind(word)
        except (KeyError, ValueError, ruamel.yaml.YAMLError) as error:
            raise ValueError(f"--{self.name}={word}: expected {_EXPECTED[self.kind]}.") from error


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


class CommandLine:
    """What a command takes: its :class:`Argument` and :class:`Option` in the order of its help."""

    def __init__(self, *parts):
        self.arguments = [part for part in parts if isinstance(part, Argument)]
        self.options = {part.name: part for part in parts if isinstance(part, Option)}

    def parse(self, argv):
        """Words to a dict with a value for every argument and option.

        Raises ValueError for a word that is unknown, missing or of another kind.
        """
        words = [word for word in argv if not word.startswith("-")]
        values = {name: option.default for name, option in self.options.items()}
        for word in argv:
            if word.startswith("-"):
                option, value = self._option(word)
                values[option.name] = option.read(value)
        for name, value in values.items():
            if value is REQUIRED:
                raise ValueError(f"--{name}=… is missing: {self.options[name].text}.")
        return {**self._by_position(words), **values}

    def split(self, argv):
        """Words to (those of this command, those of the YAML file that it takes: overrides)."""
        own = [w for w in argv if not w.startswith("-") or self._name(w) in self.options]
        return own, [w for w in argv if w not in own]

    @staticmethod
    def _name(word):
        return word.lstrip("-").partition("=")[0]

    def _option(self, word):
        name, equals, value = word.lstrip("-").partition("=")
        if name not in self.options:
            close = difflib.get_close_matches(name, self.options, n=1)
            known = ", ".join(f"--{key}" for key in self.options)
            hint = f"did you mean --{close[0]}?" if close else f"expected some of {known}."
            raise ValueError(f"Unknown option --{name}: {hint}")
        if not equals or not word.startswith("--"):
            example = "True" if self.options[name].kind is bool else "value"
            raise ValueError(f"{word}: options are written --{name}={example}.")
        return self.options[name], value

    def _by_position(self, words):
        values, left = {}, list(words)
        for argument in self.arguments:
            if not left:
                raise ValueError(f"{argument.name} is missing: give {argument.text}.")
            if argument.many:
                values[argument.name], left = left, []
            else:
                values[argument.name] = left.pop(0)
        if left:
            raise ValueError(
                f"{left[0]!r} is one word too many: options are written --key=value, and what is "
                "expected besides is " + ", ".join(a.name for a in self.arguments) + "."
            )
        return values

    def usage(self):
        """The words to type, as one line."""
        needed = [name for name, o in self.options.items() if o.default is REQUIRED]
        words = [a.name + (" [more …]" if a.many else "") for a in self.arguments]
        words += [f"--{name}=…" for name in needed]
        return " ".join(words + ["[--key=value …]"] * (len(needed) < len(self.options)))

    def describe(self):
        """A line for every argument and option, with its default."""
        lines = [(a.name, a.text) for a in self.arguments]
        lines += [(f"--{o.name}={_shown(o)}", o.text) for o in self.options.values()]
        width = max(len(left) for left, _ in lines)
        return "\n".join(f"    {left:{width}}  {text}" for left, text in lines)


def _shown(option):
    if option.kind is list:
        return "[…]"
    return "…" if option.default is None or option.default is REQUIRED else option.default
