"""How YAML files are put together: ``extends``, stages, the three slots, and what a slot may set.

The order in which they win over each other is stated in :mod:`lmac.settings.load`.
"""

import difflib
import math
import os
from functools import cache
from pathlib import Path

import ruamel.yaml
import yaml
from ruamel.yaml.comments import Comment, CommentedMap

from lmac.settings.commands import EXPERIMENTS
from lmac.settings.kinds import tag_of
from lmac.settings.recorded import known_from

# In a checkout beside lmac/, in an installed package inside it.
_PLACES = [Path(__file__).resolve().parents[up] / "hparams" for up in (1, 2)]
HPARAMS = next((place for place in _PLACES if place.is_dir()), _PLACES[-1])
BASE = HPARAMS / "base.yaml"
# The slots, and the keys that belong to each by nature: only that slot may set them, also where
# an experiment has a value of its own. Besides, a slot brings keys that no experiment has.
SLOTS = {
    "dataset_yaml": {
        *("dataset", "data_folder", "prepare_data", "out_n_neurons", "signal_length_s", "crop"),
        *("train_folds", "valid_folds", "test_folds"),
    },
    "classifier_yaml": {
        *("classifier_name", "embedding_model", "classifier", "freeze_embedding"),
        *("front_end", "sample_rate", "n_fft", "win_length", "hop_length", "n_mels"),
    },
    "decoder_yaml": {
        *("decoder", "decoder_hidden", "decoder_detail", "decoder_head", "decoder_logit_gain"),
        *("decoder_conditioned", "decoder_reads_input"),
    },
}
# Settings that have another name now.
RENAMED = {
    "check": "dry_run",
    "asked_classes": "target_classes",
    "ask_decision": "target_decision",
    "ask_source": "target_source",
    "ask_probable": "target_probable",
    "audible": "presence_threshold",
    "lmac_audible": "lmac_presence_threshold",
    "believed": "prior_weight",
    "explain_class": "target_class",
    "other_classifiers": "transfer_classifiers",
    "l_others": "l_transfer",
    "decoder_gain": "decoder_logit_gain",
    "speeds": "speed_perturbation",
    "hearing": "signal_path",
}
# More than anybody writes, and little enough to be read at once.
MOST_BYTES, MOST_FILES, MOST_VALUES, MOST_DEPTH = 100_000, 100, 20_000, 100


class ConfigError(ValueError):
    """A YAML file or an override that is not as expected; the message names it."""


def merge(path, overrides=None):
    """The flat, merged tree of ``path`` and all it builds on, before references.

    Arguments
    ---------
    path : path
        YAML file, or ``recipe.yaml:stage``.
    overrides : dict, optional
        Settings of the command line; a slot's file is relative to the working directory.

    Returns
    -------
    CommentedMap
        With the slots, as paths or None, and without ``extends``. ``interpreters`` are merged by
        their names; one that is null is gone.

    Raises ConfigError for a file that does not exist, is not a YAML mapping or names itself; for
    a key in ``_yaml`` that is no slot; for a slot that sets a key of others; for an override
    that matches no key; and for a setting that is another one in the checkpoints that are given
    (:mod:`lmac.settings.recorded`), whose settings are taken.
    """
    overrides = dict(overrides or {})
    files, slots = _in_order(path, overrides)
    known = _known({**_together(files, slots), **overrides})
    files, slots = _in_order(path, {**_slots_of(known, slots), **overrides})
    tree = _together(files, slots)
    for key, value in overrides.items():
        if key not in tree:
            for slot, keys in SLOTS.items():
                if key in keys and slot in tree and tree[slot] is None:
                    raise ConfigError(f"--{slot} is null: without it there is no --{key}.")
            raise ConfigError(f"Unknown override --{key}: {_instead(key, value, path, tree)}")
        if key not in SLOTS:
            # Quoted, or HyperPyYAML takes "(x)" for a tuple.
            quoted = ruamel.yaml.scalarstring.DoubleQuotedScalarString
            tree[key] = quoted(value) if isinstance(value, str) and value[:1] == "(" else value
    _take(tree, known, files, slots, overrides)
    stated = {key for file, own in files if file.resolve() != BASE for key in own}
    _follow_rate(tree, stated | overrides.keys() | {key for _, own in known for key in own})
    return tree


def _together(files, slots):
    """The keys of all files, later ones winning, and the slots."""
    tree = CommentedMap()
    for file, own in files:
        for key, value in own.items():
            if key == "interpreters" and isinstance(value, dict):
                value = _by_name(tree.get(key), value, file)
            elif isinstance(value, str) and value.startswith("./"):
                value = str(_beside(file, value))
            tree[key] = value
    tree.pop("extends", None)
    tree.update({slot: None if file is None else str(file) for slot, (file, _) in slots.items()})
    return tree


def _known(tree):
    try:
        return known_from(tree)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _is_ours(file):
    return isinstance(file, Path) and HPARAMS in Path(os.path.realpath(split(file)[0])).parents


def _slots_of(known, slots):
    """Slot to file, of those that checkpoints know and that nobody but hparams/ has named."""
    return {
        key: HPARAMS / value
        for _, own in known
        for key, value in own.items()
        if key in slots and _is_ours(slots[key][1])
        # An info.json may name anything, and YAML files are code.
        and (HPARAMS / value).is_file() and _is_ours(HPARAMS / value)
    }  # fmt: skip


def _take(tree, known, files, slots, overrides):
    """Set what checkpoints know; ConfigError where it was said otherwise.

    The domain apart: methods without a decoder work in any, and a decoder refuses another itself.
    """
    stated = {key: file for file, own in files if not _is_ours(file) for key in own}
    for place, own in known:
        for key, value in own.items():
            if key not in tree or key in SLOTS:
                continue
            here, tag = tree[key], tag_of(tree[key])
            if isinstance(value, str) and key != "domain":  # the class of what is built
                if tag and tag.partition(":")[2] != value:
                    slot = tree.get("classifier_yaml")
                    yaml = own.get("classifier_yaml", "a YAML file of its own")
                    raise ConfigError(
                        f"classifier_yaml is {slot}: {place} was trained with {yaml} ({value}): "
                        "give that one, as --classifier_yaml=…"
                    )
            elif key not in overrides and key not in stated:
                tree[key] = value
            elif tag is None and here != value and key != "domain":
                where = f"--{key}={here}" if key in overrides else f"{stated[key]}: {key} is {here}"
                raise ConfigError(
                    f"{where}: {place} was trained with {key} {value}. Leave it out, or give "
                    "another checkpoint."
                )


def classifier_slot(tree):
    """(keys of the classifier's settings, name of its YAML: of one in hparams/ from there)."""
    file = tree.get("classifier_yaml")
    if file is None:
        return SLOTS["classifier_yaml"], None
    keys = {key for _, own in _line(Path(file)) for key in own} | SLOTS["classifier_yaml"]
    path = Path(os.path.realpath(file))
    name = path.relative_to(HPARAMS).as_posix() if _is_ours(path) else path.name
    return keys - {"extends"}, name


def _follow_rate(tree, stated):
    """Give the method the sample rate of a network that says its own, and an FFT for its rate.

    Where these are not among the keys that are ``stated`` by anything but the base: the method's
    window is in milliseconds, and ``n_fft`` the power of two from twice the window on.
    """
    network = tree.get("embedding_model")
    own = network.get("sample_rate") if isinstance(network, dict) else None
    if "sample_rate" not in stated and isinstance(own, int):
        tree["sample_rate"] = own
    rate, window = tree.get("sample_rate"), tree.get("win_length")
    numbers = all(isinstance(value, int | float) and value > 0 for value in (rate, window))
    if numbers and "n_fft" not in stated and ("sample_rate" in stated or isinstance(own, int)):
        tree["n_fft"] = 2 ** math.ceil(math.log2(2 * round(rate * window / 1000)))


def _by_name(before, own, file):
    """Interpreters with those of ``file``; a new "X (…)" stands behind X, others at the end."""
    merged = CommentedMap(before or {})
    for name, node in own.items():
        if node is None and merged.pop(name, None) is None:
            raise ConfigError(f"{file}: interpreters: there is no {name} that could be left out.")
        if node is not None and name in merged:
            merged[name] = node
        elif node is not None:
            kin = [i for i, other in enumerate(merged) if _variant_of(name) == _variant_of(other)]
            merged.insert(kin[-1] + 1 if kin else len(merged), name, node)
    return merged


def _variant_of(name):
    return str(name).partition(" (")[0]


def origin(path, key, overrides=None):
    """The file that ``key`` has its value from when ``path`` is merged; ``path`` if none has it."""
    files, _ = _in_order(path, dict(overrides or {}))
    return next((file for file, own in reversed(files) if key in own), Path(path))


def _in_order(path, overrides):
    """[(file, its keys)] of all that ``path`` builds on, the later winning; and the slots.

    These as slot to (file or None, what named it).
    """
    line = _line(Path(path))
    naming = [i for i, (_, own) in enumerate(line) if own.keys() & SLOTS]
    first = naming[0] if naming else len(line)
    named = _slot_files(line, overrides)
    slots = {slot: _line(*file) for slot, file in named.items() if file[0] is not None}
    _refuse_foreign_keys(slots, line[:first])
    return [*line[:first], *sum(slots.values(), []), *line[first:]], named


def builds_on_others(path):
    """Whether ``path`` extends other files; what a run wrote of its settings does not."""
    return "extends" in _read(found(Path(path)))[0]


def experiment_of(path):
    """The name of the experiment in hparams/ that ``path`` extends or is; None if there is none.

    Where there are several, the most derived: ``lmac_finetune``, which extends ``lmac``.
    """
    names = [file.stem for file, _ in _line(Path(path)) if file.resolve().parent == HPARAMS]
    return next((name for name in reversed(names) if name in EXPERIMENTS), None)


def keys_of_experiment(path):
    """Keys that ``path`` has from the experiments in hparams/, and not from a slot."""
    owned = set().union(*SLOTS.values(), SLOTS, ["extends"])
    own = {key: None for _, keys in _line(Path(path)) for key in keys}
    return [key for key in own if key in _keys_of_experiments() and key not in owned]


# ---- Files and their stages --------------------------------------------------------------------
def split(path):
    """``recipe.yaml:stage`` as (file, stage); the stage is None where none is named."""
    file, _, stage = str(path).rpartition(":")
    return (Path(file), stage) if file.endswith((".yaml", ".yml")) else (Path(path), None)


def stages_of(path):
    """Names of the stages in a recipe's file; () for a YAML that is one stage, or is not there."""
    file, _ = split(path)
    return tuple(_mapping(file).get("stages", ())) if os.path.isfile(file) else ()


def stage_beside(path, name):
    """The YAML of another stage of the same recipe: in the same file, or in the same folder."""
    file, _ = split(path)
    return Path(f"{file}:{name}") if stages_of(file) else file.with_name(f"{name}.yaml")


def _line(path, named_by=None):
    """``path`` and all that it extends as [(file, its keys)], each once, ancestors first.

    What all stages of a file share stands right before the first of them.
    """
    line = {}

    def visit(path, namers):
        path = found(path)
        place = os.path.realpath(path)  # of a stage, too
        if place in map(os.path.realpath, namers):
            raise ConfigError(f"{path} names itself through {' → '.join(map(str, namers))}.")
        if place in line:
            return
        if len(line) + len(namers) >= MOST_FILES:
            raise ConfigError(f"{namers[0]} builds on more than {MOST_FILES} files.")
        own, shared = _read(path, namers[-1] if namers else named_by)
        for other in _extended(own, path):
            visit(other, (*namers, path))
        if shared:
            file, _ = split(path)
            line.setdefault(os.path.realpath(file), (file, shared))
        line[place] = path, own

    visit(Path(path), ())
    return list(line.values())


def _extended(own, path):
    named = own.get("extends", [])
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ConfigError(f"{path}: extends is {named!r}: expected a file or a list of files.")
    file, stage = split(path)
    return [
        Path(f"{file}:{name}") if stage and name in stages_of(file) else _beside(path, name)
        for name in named
    ]


def found(path):
    """``path``; of a relative hparams/… that is not there, the file of that name in the package."""
    file, stage = split(path)
    if "hparams" in file.parts and not file.is_absolute() and not file.exists():
        inside = "/".join(file.parts).rpartition("hparams/")[2]
        if (HPARAMS / inside).is_file():
            return Path(f"{HPARAMS / inside}:{stage}") if stage else HPARAMS / inside
    return path


def _beside(path, name):
    """A file named in a YAML is relative to that YAML."""
    return Path(os.path.relpath(split(path)[0].parent / name))


def _read(path, named_by=None):
    """The keys of ``path``; and, where it is a stage, those that its file has for all stages."""
    file, stage = split(path)
    whole = _mapping(file, named_by)
    stages = whole.get("stages")
    if stages is None and stage is None:
        return whole, {}
    if stages is None or stage not in stages:
        if not stages:
            raise ConfigError(f"{file} has no stages: leave out :{stage}.")
        close = difflib.get_close_matches(str(stage), stages, n=1)
        hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(stages)}."
        missing = f"there is no stage {stage}" if stage else "name a stage as recipe.yaml:stage"
        raise ConfigError(f"{file}: {missing}, {hint}")
    return stages[stage], {key: value for key, value in whole.items() if key != "stages"}


def _mapping(file, named_by=None):
    """What a YAML file holds; ConfigError where it is not there, or no mapping."""
    if not os.path.isfile(file):  # also False for a name that the system refuses
        named = f", named by {named_by}" if named_by else ""
        raise ConfigError(f"There is no YAML file {file}{named}.")
    state = os.stat(file)
    if state.st_size > MOST_BYTES:
        raise ConfigError(f"{file} has {state.st_size} bytes: expected at most {MOST_BYTES}.")
    return _parsed(str(file), state.st_mtime_ns, state.st_size)


@cache
def _parsed(file, *_state):
    try:
        text = Path(file).read_text(encoding="utf-8")
        if _is_deep(text):
            raise ConfigError(f"{file} is nested too deeply: more than {MOST_DEPTH} levels.")
        whole = ruamel.yaml.YAML().load(text)
        size = _bare(whole, {})
    except ConfigError:
        raise
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text (byte {error.start}): save it so.") from error
    except (ruamel.yaml.YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file} is not valid YAML: {reason}") from error
    if size > MOST_VALUES:
        raise ConfigError(f"{file} has more than {MOST_VALUES} values, its aliases written out.")
    if not isinstance(whole, dict):
        raise ConfigError(f"{file} must hold key: value pairs at its top level.")
    stages = whole.get("stages", {})
    if not isinstance(stages, dict) or not all(isinstance(s, dict) for s in stages.values()):
        raise ConfigError(f"{file}: stages must hold key: value pairs for each stage.")
    for mapping in (whole, *stages.values()):
        for key, value in mapping.items():
            _refuse_key(file, key, value)
    return whole


def _is_deep(text):
    """Whether a YAML text is nested so deeply that reading it takes long; its faults are said
    elsewhere."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEPTH:
                return True
    except yaml.YAMLError as error:
        return "nesting" in str(error)
    return False


def _bare(node, known):
    """How many values a node has, with those that its aliases stand for; its comments are taken
    off, which would be those of what comes next."""
    if hasattr(node, Comment.attrib):
        delattr(node, Comment.attrib)
    if not isinstance(node, dict | list):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES  # where it holds itself
        parts = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(_bare(part, known) for part in parts)
    return known[id(node)]


def _refuse_key(file, key, value):
    if not isinstance(key, str):
        raise ConfigError(f"{file}: the key {key!r} is no text: write a name, or quote it.")
    if key.endswith("_yaml") and key not in SLOTS:
        raise ConfigError(f"{file}: {_no_slot(key, value)}")
    if str(getattr(getattr(value, "tag", None), "value", None)).startswith("!include"):
        raise ConfigError(f"{file}: {key}: !include is not read: name the file by extends: …")


def _no_slot(key, value):
    return (
        f"there is no slot {key}; the slots are {', '.join(SLOTS)}, and a file to build on is "
        f"named by extends: {value}"
    )


def _instead(key, value, path, tree):
    """What to write in place of an override that matches no key."""
    if key == "prompts":
        return (
            "this classifier has fixed classes: for a zero-shot one add "
            "--classifier_yaml=hparams/classifiers/contrastive.yaml or clap.yaml there."
        )
    if close := difflib.get_close_matches(key, tree, n=3):
        return f"{path} and the files it names: did you mean {' or '.join(close)}?"
    if key.endswith("_yaml") and key not in SLOTS:
        return f"{_no_slot(key, value)} in a YAML."
    return f"{path} and the files it names: it has no such key."


def _slot_files(line, overrides):
    """Slot to (file or None, what named it), for the slots that are named in ``line``."""
    files = {}
    for slot in SLOTS:
        for path, own in line:
            if slot in own:
                files[slot] = own[slot], path
        if slot in files and slot in overrides:
            files[slot] = overrides[slot], f"--{slot}"
    for slot, (name, named_by) in files.items():
        if name is not None and not isinstance(name, str | Path):
            raise ConfigError(f"{named_by}: {slot} is {name!r}: expected a file or null.")
        if name is not None:
            name = _beside(named_by, name) if isinstance(named_by, Path) else Path(name)
        files[slot] = name, named_by
    return files


@cache
def _keys_of_experiments():
    """Key to the file of hparams/ that sets it: experiments and what they extend, no slots."""
    keys = {}
    for name in reversed(EXPERIMENTS):
        for path, own in _line(HPARAMS / f"{name}.yaml"):
            keys |= dict.fromkeys(own, path.resolve().relative_to(HPARAMS.parent))
    return keys


def _refuse_foreign_keys(slots, base):
    """ConfigError for a slot that sets a key which belongs to others.

    Otherwise the batch size of a training, say, would be that of its classifier's YAML.
    """
    owners = _keys_of_experiments() | {key: path for path, own in base for key in own}
    owners |= {key: slot for slot, keys in SLOTS.items() for key in keys}
    for slot, line in slots.items():
        for path, own in line:
            for key in own:
                # What nobody owns belongs to the first slot that brings it.
                if key != "extends" and (owner := owners.setdefault(key, slot)) != slot:
                    raise ConfigError(
                        f"{path} sets {key}, which belongs to {owner} and not to {slot}: take it "
                        f"out, and set it in a recipe or as --{key}=…"
                    )
