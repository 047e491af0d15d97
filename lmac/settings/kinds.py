"""Kinds of values: the pydantic type that checks them, and what messages and help say of them."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter

from lmac.io.names import shown


@dataclass(frozen=True)
class Kind:
    """What a setting takes; ``one | another`` takes both.

    Arguments
    ---------
    type : type
        Checked by pydantic, strictly.
    words : str
        What it takes: ``a whole number of at least 1``.
    typed : tuple of str
        Which of "text", "names" and "mapping" can be typed: paths are text, lists of text names.
    choices : tuple of str
    built : bool
        Whether values are what YAML builds, and nothing that one types.
    null : bool
        Whether it takes null.
    place : bool
        Whether values are paths, or lists of them.
    """

    type: object
    words: str
    typed: tuple = ()
    choices: tuple = ()
    built: bool = False
    null: bool = False
    place: bool = False

    def __or__(self, other):
        words = f"{self.words} or {other.words}"
        both = (getattr(self, k) + getattr(other, k) for k in ("typed", "choices"))
        either = (getattr(self, k) or getattr(other, k) for k in ("built", "null", "place"))
        return Kind(self.type | other.type, words, *both, *either)

    def saying(self, words):
        """The same kind in other words."""
        return replace(self, words=words)

    @cached_property
    def adapter(self):
        """Validates values: pydantic's ValidationError for one of another kind."""
        return TypeAdapter(self.type, config=ConfigDict(strict=True))


def tag_of(value):
    """The YAML tag of a node, such as ``!new:torch.nn.Identity``; None for a plain value."""
    return getattr(getattr(value, "tag", None), "value", None)


# The largest that torch, NumPy and the C libraries below them all take.
LARGEST = 2**31 - 1


def whole(low, high=LARGEST):
    """A whole number; a bound that only keeps out what no machine can do is not worth a word."""
    bounds = f"of at least {low}" if high == LARGEST else f"from {low} to {high}"
    return Kind(Annotated[int, Ge(low), Le(high)], f"a whole number {bounds}")


def number(low=None, high=1e6, above=None):
    """A finite number from ``low``, or above ``above``, to ``high``."""
    bounds = [f"{bound:g}" if bound < 1e6 else str(int(bound))
              for bound in (low if above is None else above, high)]  # fmt: skip
    words = "from {} to {}" if above is None else "above {}, at most {}"
    least = Ge(low) if above is None else Gt(above)
    kind = Annotated[float, Field(allow_inf_nan=False), least, Le(high)]
    return Kind(kind, f"a number {words.format(*bounds)}")


def one_of(*choices):
    """One of some words or numbers."""
    typed = ("text",) if isinstance(choices[0], str) else ()
    return Kind(Literal[choices], f"one of {', '.join(map(str, choices))}", typed, choices)


def list_of(kind, words=None, empty=False):
    """A list of values of a kind, each different; at least one but where it may be ``empty``."""
    many = words or "a list of " + kind.words.removeprefix("a ").replace("one of", "some of", 1)
    names = ("names",) if "text" in kind.typed else ()
    length = MinLen(0 if empty else 1)
    several = Annotated[list[kind.type], length, AfterValidator(_distinct)]
    return Kind(several, many, names, kind.choices, place=kind.place)


def text(words, *checks, pattern=None):
    """A text that passes ``checks``, functions that raise ValueError."""
    checks = [Field(min_length=1, pattern=pattern), *map(AfterValidator, checks)]
    return Kind(Annotated[(str, *checks)], words, ("text",))


def mapping_of(kind, words):
    """A mapping of text to a kind."""
    return Kind(dict[str, kind.type], words, ("mapping",))


def _distinct(values):
    if len(set(values)) < len(values):
        raise ValueError("something is named twice")
    return values


def _rising(pair):
    if pair[0] > pair[1]:
        raise ValueError("the low end is above the high end")
    return pair


def _one_line(value):
    # NUL ends a path inside the system; line breaks end up in tables and names of folders.
    if any(c in value for c in "\0\n\r"):
        raise ValueError("it has a line break or NUL")
    return value


def _file_name(value):
    if any(len(os.fsencode(part)) > 255 for part in value.split("/")):
        raise ValueError("a name in it is longer than 255 bytes")
    return value


def _built(value):
    if tag_of(value) is None:
        raise ValueError("nothing that is built")
    return value


def _all_built(value):
    if not isinstance(value, dict) or not value or not all(tag_of(v) for v in value.values()):
        raise ValueError("nothing that is built")
    return value


NULL = Kind(type(None), "null", null=True)
FLAG = Kind(bool, "True or False")
WHOLE = whole(0)
COUNT = whole(1)
# Sizes of layers: beyond, one layer alone is larger than any memory.
WIDTH = whole(1, 16384)
SEED = whole(0, 2**32 - 1)  # what NumPy takes
NOT_NEGATIVE = number(0)
SHARE = number(0, 1)
DECIBEL = number(-200, 200)
DECIBEL_RANGE = Kind(
    Annotated[list[DECIBEL.type], MinLen(2), MaxLen(2), AfterValidator(_rising)],
    "a list [low, high] of two numbers from -200 to 200, low <= high",
)
TEXT = text("text in one line", _one_line)
PLACE = replace(text("a path", _one_line, _file_name), place=True)
FOLD = whole(0)
FOLDS = (FOLD | list_of(FOLD)).saying("a fold or a list of different folds, such as [1,2,3]")
NAMES = list_of(TEXT, "a list of one name or more, each once")
BUILT = Kind(
    Annotated[Any, BeforeValidator(_built)],
    "something that YAML builds (!new:, !name: or !apply:)",
    built=True,
)
ALL_BUILT = Kind(
    Annotated[Any, BeforeValidator(_all_built)],
    "names and what YAML builds for each (!name:)",
    built=True,
)


def as_typed(value):
    """A value as one would type it on the command line."""
    if tag := tag_of(value):
        return f"{tag} …"
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_typed, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {as_typed(v)}" for k, v in value.items()) + "}"
    return str(value)


def brief(value):
    """The same, in one line that fits into a sentence and can be printed."""
    said = shown(" ".join(as_typed(value).split()))
    return said if len(said) <= 80 else said[:77] + "…"
