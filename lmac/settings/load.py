"""Experiments: HyperPyYAML files that build on others, overridden from the command line.

``extends:`` names the file, or the list of files, that a YAML builds on. Three slots,
``dataset_yaml``, ``classifier_yaml`` and ``decoder_yaml``, each name a file or null; the file
for a slot is chosen by the last to name it in this order of precedence, the only one there is::

    base < slots < experiment < recipe < command line

``extends`` gives a line of files: each once, ancestors first, those of a list in its order. The
first file of the line that names a slot is the experiment (hparams/lmac.yaml); what comes
before it is its base, what comes after it the recipe; the slots stand right below it, in the
order above. A slot brings keys of its own, and may set those of the base that belong to it by
nature (lmac.settings.compose.SLOTS); one that sets a key of others, such as batch_size, is refused.
Files are relative to the YAML that names them, on the command line to the working directory.
All keys are flat, so each of them is an override away, and so is another file::

    python train_lmac.py hparams/lmac.yaml --classifier_yaml=hparams/classifiers/conv2d.yaml

A recipe may have all its stages in one file, each under its name in ``stages:``; what stands above
them comes right before the first of them. ``recipe.yaml:lmac_finetune`` names a stage, ``lmac`` in
an ``extends:`` one of the same file. ``interpreters:`` of several files are merged by their names,
and one that is null is taken away.

(HyperPyYAML's own ``!include:`` nests what it includes, out of reach of ``--key=value``.)
"""

import logging
import os
import re
import sys
import traceback
from functools import partial
from pathlib import Path

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references

from lmac.io.files import Unwritable, remove_remains
from lmac.io.names import shown
from lmac.settings.command_line import read_names
from lmac.settings.commands import COMMANDS
from lmac.settings.compose import (
    RENAMED,
    SLOTS,
    ConfigError,
    builds_on_others,
    classifier_slot,
    experiment_of,
    merge,
    origin,
)
from lmac.settings.declared import declared, run_options, switches
from lmac.settings.kinds import brief, tag_of
from lmac.settings.recorded import record
from lmac.settings.resume import check_same_run, dump, inputs_line
from lmac.settings.validate import nearest, problem

__all__ = [
    "ConfigError",
    "check_same_run",
    "experiment_of",
    "load",
    "load_experiment",
    "merge",
    "parse",
    "settings",
]


LOG_CONFIG = Path(__file__).with_name("log.yaml")
ROOT = Path(__file__).resolve().parents[2]
# Users put files of their own beside these; what those raise need not say what to do.
OURS = {ROOT / folder for folder in ("lmac", "data_prep", "interpreters", "metrics")}
OURS |= {ROOT / f"{command.module}.py" for command in COMMANDS.values()}
SHOW_TRACEBACK = "LMAC_TRACEBACK"


def parse(argv):
    """Command line to (YAML file, SpeechBrain's run options as a dict, overrides as a dict).

    The YAML file may be a stage of a recipe, ``recipe.yaml:stage``.

    What is text by its declaration, such as a path, is taken as it stands; other values are YAML.
    Of a key given twice the last counts. Raises ConfigError for words that are no ``--key=value``
    and for values that are not YAML.
    """
    if not argv or argv[0].startswith("-"):
        raise ConfigError("The first argument must be a YAML file, such as hparams/lmac.yaml.")
    path, *words = argv
    given = {}
    while words:
        word = words.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not key:
            raise ConfigError(f"{word!r} is one word too many: settings are written --key=value.")
        if key in RENAMED:
            raise ConfigError(f"--{key} is now --{RENAMED[key]}.")
        if not equals and key in switches():
            value = "True"  # SpeechBrain's switches, such as --debug
        elif not equals:
            if not words or words[0].startswith("--"):
                raise ConfigError(f"{word} has no value: write {word}=….")
            value = words.pop(0)  # as SpeechBrain also takes it
        given[key] = _value(key, value)
    options = {key: given.pop(key) for key in run_options() & given.keys()}
    _refuse(problem(options), path, options, options)
    return path, options, given


def _value(key, typed):
    """What is typed for ``key``: text and names as they stand, anything else is YAML."""
    kinds = declared()[key].kind.typed if key in declared() else ("text",) * (key in SLOTS)
    first = typed[:1]
    if typed in ("", "null", "~"):
        return None
    try:
        if "names" in kinds and (first == "[" or "text" not in kinds):
            return read_names(typed)
        if "text" in kinds and not (first == "{" and "mapping" in kinds):
            return typed
        return ruamel.yaml.YAML(typ="safe").load(typed)
    except ruamel.yaml.constructor.ConstructorError:
        pass  # a tag, such as !name:lmac.core.losses.angular_margin
    except (ruamel.yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"--{key}={brief(typed)}: it is not valid YAML, quotes may help."
        ) from error
    except ValueError as error:
        names = "names as a list, such as [a,b]" if "names" in kinds else "a shorter value"
        raise ConfigError(f"--{key}={brief(typed)}: expected {names}.") from error
    return ruamel.yaml.YAML().load(typed)


def run_opts_of(options):
    """SpeechBrain's RunOptions of the dict that ``parse`` gives.

    ConfigError for a device that there is not, and for fp16 on a CPU.
    """
    # Here, since commands that neither train nor evaluate should not wait for it.
    import torch
    from speechbrain.utils.run_opts import RunOptions

    kind, _, index = (options.get("device") or "cpu").partition(":")
    if kind != "cpu":
        module = getattr(torch, kind, None)
        if module is None or int(index or 0) >= module.device_count():
            raise ConfigError(
                f"--device={options['device']}: there is no such device here: leave it out, or "
                "give --device=cpu."
            )
    run_opts = RunOptions.from_dictionary(options)
    refuse_half_on_cpu(run_opts, *(options.get(k) for k in ("precision", "eval_precision")))
    return run_opts


def refuse_half_on_cpu(run_opts, *precisions):
    """ConfigError for fp16 among ``precisions`` where there is no GPU to compute it."""
    from lmac.io.processes import device_of

    if "fp16" in precisions and str(device_of(run_opts)) == "cpu":
        raise ConfigError("precision fp16 is for GPUs: give --precision=bf16, or leave it out.")


def _standalone(path, overrides):
    """The merged tree without its slots, and these as lines of comment."""
    tree = merge(path, overrides)
    slots = {slot: tree.pop(slot) for slot in SLOTS if slot in tree}
    return tree, "".join(f"# {slot}: {file or 'null'}\n" for slot, file in slots.items())


def settings(path, overrides=None):
    """The plain settings of an experiment as a dict: references resolved, nothing constructed.

    Settings that still need a value are None; objects are left out.
    """
    return {k: v for k, v in resolved(path, overrides).items() if not tag_of(v)}


def construct(path, key, overrides=None):
    """The object under ``key`` of an experiment, with what it refers to and nothing else.

    Raises ConfigError for a file without such a key.
    """
    tree = resolved(path, overrides)
    if key not in tree:
        raise ConfigError(f"{path} has no key {key}: is it the file of an experiment?")
    return load_hyperpyyaml(dump({key: tree[key]}))[key]


def resolved(path, overrides, complete=False, to_run=False):
    """The tree with references resolved; settings that still need a value are None.

    Raises ConfigError for the first setting that is not what it is declared to be; ``complete``:
    also for one that still needs a value; ``to_run``: for what only a run needs.
    """
    overrides = dict(overrides or {})
    _refuse(problem(overrides), path, overrides, overrides)
    tree, _ = _standalone(path, overrides)
    if complete and (old := [key for key in tree if key in RENAMED]):
        raise ConfigError(f"{origin(path, old[0])}: {old[0]} is now {RENAMED[old[0]]}.")
    missing = [key for key, value in tree.items() if tag_of(value) == "!PLACEHOLDER"]
    tree.update(dict.fromkeys(missing))
    tree.update({key: _at_home(key, value) for key, value in tree.items()})
    tree = _without_references(path, tree, overrides)
    known = {key: value for key, value in tree.items() if key not in missing}
    if to_run and "embedding_model" not in tree:
        _require_classifier(path, overrides)
    _refuse(problem(known, overrides, to_run), path, overrides, known)
    if missing and complete:
        raise ConfigError(f"{path} needs a value for {missing[0]}: add --{missing[0]}=…")
    return tree


def _require_classifier(path, overrides):
    if merge(path, overrides).get("classifier_yaml", "") is None:
        where = "--" if "classifier_yaml" in overrides else f"{path}: "
        raise ConfigError(
            f"{where}classifier_yaml is null: give the file of the classifier that is to be "
            "trained or explained, such as hparams/classifiers/cnn14.yaml."
        )


def _at_home(key, value):
    """A path with the home folder in the place of its ``~``; other values as they are."""
    if key in declared() and declared()[key].kind.place:
        if isinstance(value, str) and value.startswith("~"):
            return os.path.expanduser(value)
        if isinstance(value, list) and any(str(one).startswith("~") for one in value):
            return [_at_home(key, one) for one in value]
    return value


def check(path, overrides):
    """ConfigError for the first setting that a run of ``path`` would stumble over."""
    resolved(path, overrides, complete=True, to_run=True)


def resolved_text(path, overrides=None):
    """A resolved YAML as text, as ``check_same_run`` compares it."""
    return dump(resolved(path, overrides, complete=True))


def check_typed(overrides):
    """ConfigError for the first override that is not what it is declared to be."""
    _refuse(problem(overrides), None, overrides, overrides)


def _refuse(wrong, path, overrides, values):
    """ConfigError for a problem (or None), which names the word or the file that it comes from."""
    if wrong is None:
        return
    typed = next((key for key in wrong.about if key in overrides), None)
    if typed is not None:
        where = f"--{typed}={brief(overrides[typed])}"
    else:
        key = wrong.about[0]
        where = str(origin(path, key, overrides))
        if len(wrong.about) == 1:
            where += f": {key} is {brief(values[key])}"
    raise ConfigError(f"{where}: {wrong.sentence}" + "." * (not wrong.sentence.endswith("?")))


def _without_references(path, tree, overrides):
    """The tree with its references resolved; ConfigError for those that lead nowhere."""
    named = set()
    for key, reference in _references(tree):
        # As HyperPyYAML reads it: <key[of_a_mapping].attribute>.
        named.add(name := re.split(r"[\[.]", reference)[0])
        if name not in tree:
            where = f"--{key}" if key in overrides else f"{origin(path, key, overrides)}: {key}"
            emptied = [k for k in SLOTS if k in overrides and name in SLOTS[k]]
            where = f"--{emptied[0]}={brief(overrides[emptied[0]])}: {key}" if emptied else where
            raise ConfigError(f"{where}: there is no {name}, which !ref <{reference}> names.")
    _refuse_misspelt(path, tree, overrides, named)
    for key, value in overrides.items():
        # It would be taken for a reference wherever this setting is referred to.
        if key in named and isinstance(value, str) and re.search("<[^>]*>", value):
            raise ConfigError(f"--{key}={shown(value)}: expected text without <…>.")
    try:
        return ruamel.yaml.YAML().load(resolve_references(dump(tree)).read())
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        tagged = [f"--{key}" for key, value in overrides.items() if tag_of(value)]
        reason = " ".join(str(part) for part in error.args if isinstance(part, str))
        raise ConfigError(
            f"{', '.join(tagged) or path}: a !ref cannot be resolved "
            f"({reason.strip(': ') or type(error).__name__})."
        ) from error


def _refuse_misspelt(path, tree, overrides, named):
    """ConfigError for a key of a recipe that nothing reads and that is nearly a setting.

    ``named`` are the keys that something refers to. A YAML that stands alone is left as it is.
    """
    if not builds_on_others(path):
        return
    for key in tree.keys() - declared().keys() - named:
        if not key.startswith("__") and (close := nearest(key, declared(), cutoff=0.85)):
            raise ConfigError(
                f"{origin(path, key, overrides)}: there is no setting {key}, and nothing refers to "
                f"it{close}"
            )


def _references(tree):
    """(key, name in <…>) of every reference in a tree."""
    for key, node in tree.items():
        nodes = [node]
        while nodes:
            node = nodes.pop()
            if tag_of(node) in ("!ref", "!copy") and isinstance(node.value, str):
                yield from ((key, name) for name in re.findall("<([^>]*)>", node.value))
            elif isinstance(node, dict):
                nodes += node.values()
            elif isinstance(node, list):
                nodes += node


def load(path, overrides=None, to_run=False, only=None):
    """Merged, resolved and constructed hyperparameters, and their resolved text.

    The text stands alone: the files of the slots are merged into it, and named in its comments.
    ``only`` names the objects that are built, by default all: a command without a network need
    not wait for torch.

    Raises ConfigError for settings that are not as declared (``to_run``: also where a run would
    need more), and for code named in a YAML that fails.
    """
    tree = resolved(path, overrides, complete=True, to_run=to_run)
    _, slots = _standalone(path, overrides)
    if only is not None:
        tree = {k: node for k, node in tree.items() if k in only or not tag_of(node)}
    text = dump(tree)
    try:
        hparams = load_hyperpyyaml(text)
    except Exception as error:
        if says_what_to_do(error):
            raise
        raise _failed(error, text, path, overrides) from error
    computed = {k: hparams[k] for k in hparams if tag_of(tree[k]) and not _is_built(k)}
    _refuse(problem(computed), path, {}, computed)
    if "embedding_model" in tree:
        merged = merge(path, overrides)
        hparams["classifier_settings"] = record({**tree, **computed}, *classifier_slot(merged))
    return hparams, slots + text


def _is_built(key):
    return key in declared() and declared()[key].kind.built


def _failed(error, text, path, overrides):
    """ConfigError that names the key whose code raised ``error`` while ``text`` was built."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    frames = [f for f in frames if f.f_globals.get("__name__") == "hyperpyyaml.core"]
    nodes = [f.f_locals["node"] for f in frames if "node" in f.f_locals]
    key, what = None, "it"
    if nodes:
        what = nodes[-1].tag
        above = resolve_references(text).read().splitlines()[: nodes[-1].start_mark.line + 1]
        heads = [m.group(1) for m in (re.match(r"([^\s#:-][^:]*):", line) for line in above) if m]
        key = heads[-1] if heads else None
    where = f"{origin(path, key, overrides)}: {key}" if key else str(path)
    reason = " ".join(" ".join(map(str, error.args)).split()) or "no reason given"
    return ConfigError(
        f"{where}: {what} cannot be built ({type(error).__name__}: {reason[:300]}); "
        f"{SHOW_TRACEBACK}=1 in the environment shows where."
    )


# What SpeechBrain says of things that are meant to be so: pictures that nothing here makes, a Brain
# that only evaluates, a training that begins.
UNSAID = {
    "speechbrain.utils.train_logger": "torchvision",
    "speechbrain.core": "The model has no parameters",
    "speechbrain.utils.checkpoints": "Would load a checkpoint here",
}


def _says_something_else(sentence, record):
    return sentence not in str(record.msg)


def load_experiment(argv, goes_on=True, alone=True):
    """Everything a script needs from its command line.

    Arguments
    ---------
    argv : list of str
        YAML file, SpeechBrain's run options and overrides.
    goes_on : bool
        Whether the script resumes what is in ``output_folder``, which must then have been made
        with the same settings (ConfigError otherwise).
    alone : bool
        Whether two at once would overwrite each other's files: then ValueError for the second.

    Returns
    -------
    hparams : dict
    run_opts : speechbrain RunOptions

    Makes ``output_folder`` with SpeechBrain's log and the resolved ``hyperparams.yaml``, which
    can itself be given as the first argument to repeat the run.
    """
    # Here, for they wait for torch.
    from lmac.io.once import once
    from lmac.io.processes import start

    for name, sentence in UNSAID.items():
        logging.getLogger(name).addFilter(partial(_says_something_else, sentence))
    path, options, overrides = parse(argv)
    run_opts = start(run_opts_of(options))
    hparams, resolved = load(path, overrides, to_run=True)
    refuse_half_on_cpu(run_opts, hparams.get("precision"))
    once(_open_folder, hparams, path, argv, overrides, resolved, goes_on, alone)
    return hparams, run_opts


def _open_folder(hparams, path, argv, overrides, resolved, goes_on, alone):
    import speechbrain as sb

    from lmac.io import provenance
    from lmac.io.files import write_text
    from lmac.io.lock import claim

    # A run that was refused before its first checkpoint leaves nothing that could be mistaken.
    if goes_on and any(Path(hparams["save_folder"]).glob("CKPT*")):
        check_same_run(hparams["output_folder"], resolved)
    folder = Path(hparams["output_folder"])
    try:
        provenance.require_own(folder)
        if alone:
            claim(folder)
        provenance.mark_own(folder)
        # As sb.create_experiment_directory, which besides copies the calling file.
        log = {"handlers": {"file_handler": {"filename": str(folder / "log.txt")}}}
        sb.utils.logger.setup_logging(LOG_CONFIG, log)
        sys.excepthook = sb.core._logging_excepthook
        sb.utils.quirks.log_applied_quirks()
        logging.getLogger("speechbrain.core").info("Beginning experiment!")
        remove_remains(folder)
        head = f"# Resolved from {path}; the command line was:\n# {shown(' '.join(argv))}\n"
        head += inputs_line(resolved)
        write_text(head + resolved, folder / "hyperparams.yaml", checked=True)
        provenance.begin(folder, path, overrides, resolved)
    except (OSError, ValueError) as error:
        # Python's logging raises a ValueError for a log that cannot be opened.
        reason = error if isinstance(error, OSError) else error.__cause__
        if getattr(reason, "strerror", None) is None:
            raise
        raise ConfigError(
            f"Nothing can be written to {folder} ({reason.strerror}: "
            f"{reason.filename}): give another --output_folder."
        ) from error


def says_what_to_do(error):
    """Whether this project raised ``error``, and no library below it."""
    file = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
    if not OURS.isdisjoint((file, *file.parents)):
        return isinstance(error, ValueError | FileNotFoundError)
    return isinstance(error, Unwritable)
