"""How YAML files are put together: ``extends``, the three slots, and what a slot may set.

The order in which they win over each other is stated in :mod:`lmac.settings.load`.
"""

import difflib
import os
from functools import cache
from pathlib import Path

import ruamel.yaml

HPARAMS = Path(__file__).resolve().parents[2] / "hparams"
EXPERIMENTS = ("classifier", "lmac", "lmac_finetune", "lmac_conditional", "lmac_zero_shot", "l2i",
               "piq", "evaluation", "explain", "inspect", "tables", "held_out")  # fmt: skip
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
RENAMED = {"hearing": "signal_path"}  # settings that have another name now


class ConfigError(ValueError):
    """A YAML file or an override that is not as expected; the message names it."""


def merge(path, overrides=None):
    """The flat, merged tree of ``path`` and all it builds on, before references.

    Arguments
    ---------
    path : path
        YAML file.
    overrides : dict, optional
        Settings of the command line; a slot's file is relative to the working directory.

    Returns
    -------
    CommentedMap
        With the slots, as paths or None, and without ``extends``.

    Raises ConfigError for a file that does not exist, is not a YAML mapping or names itself; for
    a key in ``_yaml`` that is no slot; for a slot that sets a key of others; and for an override
    that matches no key.
    """
    overrides = dict(overrides or {})
    files, slots = _in_order(path, overrides)
    tree = ruamel.yaml.comments.CommentedMap()
    for _, own in files:
        tree.update(own)
    tree.pop("extends", None)
    tree.update({slot: None if file is None else str(file) for slot, (file, _) in slots.items()})
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
    return tree


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
    _refuse_old_names(sum(slots.values(), line))
    _refuse_foreign_keys(slots, line[:first])
    return [*line[:first], *sum(slots.values(), []), *line[first:]], named


def builds_on_others(path):
    """Whether ``path`` extends other files; what a run wrote of its settings does not."""
    return "extends" in _read(Path(path))


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


def _line(path, named_by=None):
    """``path`` and all that it extends as [(file, its keys)], each once, ancestors first."""
    line = {}

    def visit(file, namers):
        if file.resolve() in [namer.resolve() for namer in namers]:
            raise ConfigError(f"{file} names itself through {' → '.join(map(str, namers))}.")
        if file.resolve() in line:
            return
        own = _read(file, namers[-1] if namers else named_by)
        for other in _extended(own, file):
            visit(other, (*namers, file))
        line[file.resolve()] = file, own

    visit(path, ())
    return list(line.values())


def _extended(own, file):
    named = own.get("extends", [])
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ConfigError(f"{file}: extends is {named!r}: expected a file or a list of files.")
    return [_beside(file, name) for name in named]


def _beside(file, name):
    """A file named in a YAML is relative to that YAML."""
    return Path(os.path.relpath(file.parent / name))


def _read(path, named_by=None):
    if not os.path.isfile(path):  # also False for a name that the system refuses
        named = f", named by {named_by}" if named_by else ""
        raise ConfigError(f"There is no YAML file {path}{named}.")
    try:
        own = ruamel.yaml.YAML().load(path.read_text(encoding="utf-8"))
    except ruamel.yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(own, dict):
        raise ConfigError(f"{path} must hold key: value pairs at its top level.")
    for key, value in own.items():
        if str(key).endswith("_yaml") and key not in SLOTS:
            raise ConfigError(f"{path}: {_no_slot(key, value)}")
    return own


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
    if RENAMED.get(key) in tree:
        return f"it is called --{RENAMED[key]} now."
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


def _refuse_old_names(files):
    for path, own in files:
        for key in (own.keys() & RENAMED.keys()) - _keys_of_experiments().keys():
            raise ConfigError(f"{path}: {key} is called {RENAMED[key]} now.")


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
