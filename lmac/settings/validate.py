"""Are settings what they are declared to be? The first that is not, as one sentence."""

import difflib
from dataclasses import dataclass
from functools import cache

from pydantic import ValidationError

from lmac.settings import kinds
from lmac.settings.declared import GROUPS, RunOptions
from lmac.settings.kinds import choices, expected, tag_of, takes_null
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


@dataclass(frozen=True)
class Setting:
    """A declaration: its group, type, meaning and unit."""

    name: str
    group: type
    annotation: object
    meaning: str
    unit: str

    @property
    def is_built(self):
        """Whether it is what YAML builds, and nothing that one types."""
        return kinds.is_built(self.annotation)

    @property
    def expected(self):
        """What it takes, in words, with the unit."""
        words = expected(self.annotation)
        return f"{words}, in {self.unit}" if self.unit else words


@cache
def declared():
    """Every :class:`Setting` by name; ``precision`` is a setting, not a run option."""
    found = {}
    for group in GROUPS:
        for name, annotation in _annotations(group).items():
            field = group.model_fields[name]
            unit = field.json_schema_extra["unit"]
            found[name] = Setting(name, group, annotation, field.description, unit)
    return found


def _annotations(group):
    # Not those of model_fields, which pydantic has taken apart.
    return {k: v for k, v in group.__annotations__.items() if k in group.model_fields}


def run_options():
    """Names of SpeechBrain's run options, ``precision`` among them."""
    return {name for name, one in declared().items() if one.group is RunOptions} | {"precision"}


def switches():
    """Run options that are switched on by their name alone."""
    return {name for name in run_options() if declared()[name].annotation is bool}


def typed_kinds(key):
    """Which of "text", "names" and "mapping" ``key`` takes; none of them where it is not text."""
    return kinds.typed_kinds(declared()[key].annotation) if key in declared() else set()


def allows_null(key):
    """Whether ``key`` may be null; what is not declared may."""
    return key not in declared() or takes_null(declared()[key].annotation)


def is_built(key):
    """Whether ``key`` is declared to be what YAML builds."""
    return key in declared() and declared()[key].is_built


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
    for group, own in _by_group(values).items():
        try:
            group.model_validate(own)
            bad = {}
        except ValidationError as error:
            bad = {found["loc"][0]: found for found in error.errors(include_url=False)}
        wrong |= {key: _sentence(key, own[key], found) for key, found in bad.items()}
        right |= {key: value for key, value in own.items() if key not in bad}
    for key in [*first, *values]:
        if key in wrong:
            return Problem((key,), wrong[key])
    for keys, null, function in RULES:
        there = all(key in right and tag_of(right[key]) is None for key in keys)
        if there and (to_run if null else all(right[key] is not None for key in keys)):
            if said := function(right):
                return Problem(keys, said)
    return None


def _by_group(values):
    groups = {}
    for key, value in values.items():
        one = declared().get(key)
        if one is not None and not _is_code(value, one):
            groups.setdefault(one.group, {})[key] = _plain(value)
    return groups


def _is_code(value, one):
    """Whether YAML builds or computes ``value``, which is known only when it is there."""
    tag = tag_of(value) or ""
    return tag.startswith(_COMPUTES + (_BUILDS if one.is_built else ()))


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


def _sentence(key, value, found):
    one = declared()[key]
    why = found.get("ctx", {}).get("error")
    if not isinstance(why, ValueError) or tag_of(value):
        why = ""
    end = f" ({why})" if why else ""
    return f"expected {one.expected}{end}" + _near(value, one)


def _near(value, one):
    several = value if isinstance(value, list) else [value]
    return "".join(nearest(v, choices(one.annotation)) for v in several if isinstance(v, str))
