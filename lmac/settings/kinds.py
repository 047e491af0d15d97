"""Kinds of values, as pydantic types, and what messages and help say of them.

``expected`` turns a type into the words for what it takes, so that a declaration says it once.
"""

import math
import os
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import AfterValidator, BeforeValidator, Field

from lmac.io.names import shown


class Words(str):
    """What a type takes, in words, where these do not follow from its bounds."""


def tag_of(value):
    """The YAML tag of a node, such as ``!new:torch.nn.Identity``; None for a plain value."""
    return getattr(getattr(value, "tag", None), "value", None)


def _built(value):
    if tag_of(value) is None:
        raise ValueError("nothing that is built")
    return value


def _all_built(value):
    if not isinstance(value, dict) or not value or not all(tag_of(v) for v in value.values()):
        raise ValueError("nothing that is built")
    return value


def _rising(pair):
    if pair[0] > pair[1]:
        raise ValueError("the low end is above the high end")
    return pair


def _distinct(values):
    if len(set(values)) < len(values):
        raise ValueError("something is named twice")
    return values


def _one_line(text):
    # NUL ends a path inside the system; line breaks end up in tables and names of folders.
    if any(c in text for c in "\0\n\r"):
        raise ValueError("it has a line break or NUL")
    return text


def _file_name(text):
    if any(len(os.fsencode(part)) > 255 for part in text.split("/")):
        raise ValueError("a name in it is longer than 255 bytes")
    return text


# The largest that torch, NumPy and the C libraries below them all take.
LARGEST = 2**31 - 1

Whole = Annotated[int, Ge(0), Le(LARGEST)]
Count = Annotated[int, Ge(1), Le(LARGEST)]
# Sizes of layers: beyond, one layer alone is larger than any memory.
Width = Annotated[int, Ge(1), Le(16384)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]  # what NumPy takes
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[Finite, Gt(0), Le(1e6)]
NotNegative = Annotated[Finite, Ge(0), Le(1e6)]
Share = Annotated[Finite, Ge(0), Le(1)]
Decibel = Annotated[Finite, Ge(-200), Le(200)]
DecibelRange = Annotated[
    list[Decibel],
    MinLen(2),
    MaxLen(2),
    AfterValidator(_rising),
    Words("a list [low, high] of two numbers from -200 to 200, low <= high"),
]
Text = Annotated[str, MinLen(1), AfterValidator(_one_line), Words("text in one line")]
Place = Annotated[
    str, MinLen(1), AfterValidator(_one_line), AfterValidator(_file_name), Words("a path")
]
Distinct = AfterValidator(_distinct)
Fold = Annotated[int, Ge(0), Le(LARGEST)]
Folds = Annotated[
    Fold | Annotated[list[Fold], MinLen(1), Distinct],
    Words("a fold or a list of different folds, such as [1,2,3]"),
]
Names = Annotated[list[Text], MinLen(1), Distinct, Words("a list of one name or more, each once")]
Built = Annotated[
    Any, BeforeValidator(_built), Words("something that YAML builds (!new:, !name: or !apply:)")
]
AllBuilt = Annotated[
    Any, BeforeValidator(_all_built), Words("names and what YAML builds for each (!name:)")
]


def parts(annotation):
    """(type, constraints) of an annotation, with those of the types that it is made of."""
    constraints = []
    while get_origin(annotation) is Annotated:
        annotation, *own = get_args(annotation)
        constraints = own + constraints
    return annotation, constraints


def options(annotation):
    """The types of a union, or the type itself."""
    plain, constraints = parts(annotation)
    if get_origin(plain) in (Union, types.UnionType):
        return list(get_args(plain)), constraints
    return [annotation], []


def takes_null(annotation):
    """Whether null is allowed."""
    return type(None) in options(annotation)[0]


def typed_kinds(annotation):
    """Which of "text", "names" and "mapping" can be typed: paths are text, lists of text names."""
    found = set()
    for option in options(annotation)[0]:
        plain, _ = parts(option)
        kind = get_origin(plain) or plain
        if kind is str:
            found.add("text")
        elif kind is list and parts(get_args(plain)[0])[0] is str:
            found.add("names")
        elif kind is dict:
            found.add("mapping")
    return found


def is_built(annotation):
    """Whether values are what YAML builds, and nothing that one types."""
    for option in options(annotation)[0]:
        plain, _ = parts(option)
        if plain is Any or get_origin(plain) is list and is_built(get_args(plain)[0]):
            return True
    return False


def choices(annotation):
    """The values of a Literal, [] for other types."""
    found = []
    for option in options(annotation)[0]:
        plain, _ = parts(option)
        if get_origin(plain) is Literal:
            found += get_args(plain)
        elif get_origin(plain) is list:
            found += choices(get_args(plain)[0])
    return found


def expected(annotation):
    """What a type takes, in words: ``a whole number of at least 1``."""
    several, constraints = options(annotation)
    if words := [c for c in constraints if isinstance(c, Words)]:
        return str(words[-1])
    said = [_expected_one(option) for option in several if option is not type(None)]
    return " or ".join(said + ["null"] * (type(None) in several))


def _expected_one(annotation):
    plain, constraints = parts(annotation)
    if words := [c for c in constraints if isinstance(c, Words)]:
        return str(words[-1])
    if get_origin(plain) is Literal:
        return f"one of {', '.join(map(str, get_args(plain)))}"
    if plain is bool:
        return "True or False"
    if get_origin(plain) is list:
        return f"a list of {_plural(get_args(plain)[0])}"
    if plain in (int, float):
        return {int: "a whole number", float: "a number"}[plain] + _bounds(constraints)
    return {str: "text", dict: "a mapping"}[get_origin(plain) or plain]


def _plural(annotation):
    words = expected(annotation).removeprefix("a ")
    return words.replace("one of", "some of", 1).replace("number", "numbers", 1)


def _bounds(constraints):
    low = max((c.ge for c in constraints if isinstance(c, Ge)), default=None)
    above = max((c.gt for c in constraints if isinstance(c, Gt)), default=None)
    high = min((c.le for c in constraints if isinstance(c, Le)), default=math.inf)
    below = min((c.lt for c in constraints if isinstance(c, Lt)), default=math.inf)
    # Bounds that only keep out what no machine can do are not worth a word, unless they are met.
    if low is not None and high < math.inf:
        return f" from {_number(low)} to {_number(high)}"
    if above is not None and high < math.inf:
        return f" above {_number(above)}, at most {_number(high)}"
    if low is not None:
        return f" of at least {_number(low)}"
    if above is not None:
        return f" above {_number(above)}" + (f" and below {_number(below)}" if below < 1e9 else "")
    return ""


def _number(value):
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(int(value))


def as_typed(value):
    """A value as one would type it on the command line."""
    if tag := tag_of(value):
        return f"{tag} …"
    if value is None:
        return "null"
    if isinstance(value, bool | int | float | str | Path):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_typed, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {as_typed(v)}" for k, v in value.items()) + "}"
    return str(value)


def brief(value):
    """The same, in one line that fits into a sentence and can be printed."""
    text = shown(" ".join(as_typed(value).split()))
    return text if len(text) <= 80 else text[:77] + "…"
