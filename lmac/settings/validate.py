"""Are settings what they are declared to be? The first that is not, as one sentence."""

import difflib
from dataclasses import dataclass

from pydantic import ValidationError

from lmac.settings.declared import declared
from lmac.settings.kinds import tag_of
from lmac.settings.rules import RULES

_COMPUTES = ("!PLACEHOLDER", "!ref", "!copy", "!apply:", "!applyref:")
_BUILDS = ("!new:", "!name:", "!module:")


@dataclass(frozen=True)
class Problem:
    """What is wrong: ``about`` are the keys concerned, ``sentence`` says it.

    About one key alone the sentence only says what was expected, after key and value.
    """

    about: tuple
    sentence: str


def nearest(word, words, cutoff=0.6):
    """``; did you mean …?`` for the nearest of ``words``, "" when none is near."""
    close = difflib.get_close_matches(str(word), map(str, words), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""


def problem(values, first=(), to_run=False):
    """The first :class:`Problem` of settings, or None.

    Arguments
    ---------
    values : dict
        Key to plain value, or to a YAML node with a tag for what is built. Keys that are not
        declared are free.
    first : iterable of str
        Keys that are looked at before the others, such as those of the command line.
    to_run : bool
        Whether to ask also for what a run needs.
    """
    wrong, right = {}, {}
    for key, value in values.items():
        one = declared().get(key)
        if one is None or _is_code(value, one):
            continue
        value = _plain(value)
        try:
            one.kind.adapter.validate_python(value)
            right[key] = value
        except ValidationError as error:
            wrong[key] = _sentence(one, value, error.errors(include_url=False))
    for key in [*first, *values]:
        if key in wrong:
            return Problem((key,), wrong[key])
    for keys, null, function in RULES:
        if all(key in right and tag_of(right[key]) is None for key in keys):
            if to_run if null else all(right[key] is not None for key in keys):
                if said := function(right):
                    return Problem(keys, said)
    return None


def _is_code(value, one):
    """Whether YAML builds or computes ``value``, which is known only when it is there."""
    tag = tag_of(value) or ""
    return tag.startswith(_COMPUTES + (_BUILDS if one.kind.built else ()))


def _plain(value):
    """Python's own types in the place of ruamel's, but for nodes with a tag."""
    if tag_of(value) is not None:
        return value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _sentence(one, value, errors):
    why = next((e["ctx"]["error"] for e in errors if "error" in e.get("ctx", {})), None)
    several = value if isinstance(value, list) else [value]
    near = [nearest(v, one.kind.choices) for v in several if isinstance(v, str)]
    end = f" ({why})" if isinstance(why, ValueError) and not tag_of(value) else ""
    return f"expected {one.expected}{end}" + "".join(near)
