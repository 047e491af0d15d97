"""Experiments: HyperPyYAML files that build on others, overridden from the command line.

``extends:`` names the file, or the list of files, that a YAML builds on. Three slots,
``dataset_yaml``, ``classifier_yaml`` and ``decoder_yaml``, each name a file or null; the file
for a slot is chosen by the last to name it in this order of precedence, the only one there is::

    base < slots < experiment < recipe < command line

``extends`` gives a line of files: each once, ancestors first, those of a list in its order. The
first file of the line that names a slot is the experiment (hparams/lmac.yaml); what comes
before it is its base, what comes after it the recipe; the slots stand right below it, in the
order above. A slot brings keys of its own, and may set those of the base that belong to it by
nature (lmac.composition.SLOTS); one that sets a key of others, such as batch_size, is refused.
Files are relative to the YAML that names them, on the command line to the working directory.
All keys are flat, so each of them is an override away, and so is another file::

    python train_lmac.py hparams/lmac.yaml --classifier_yaml=hparams/classifiers/conv2d.yaml

(HyperPyYAML's own ``!include:`` nests what it includes, out of reach of ``--key=value``.)
"""

import io
import logging
import os
import sys
import traceback
from pathlib import Path

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references

from data_prep.names import shown
from lmac.composition import SLOTS, ConfigError, experiment_of, merge

__all__ = [
    "ConfigError",
    "check_same_run",
    "experiment_of",
    "load",
    "load_experiment",
    "merge",
    "parse",
    "run",
    "settings",
]


LOG_CONFIG = Path(__file__).with_name("log.yaml")


def parse(argv):
    """Command line to (hyperparameter file, SpeechBrain run options, overrides as a dict)."""
    if not argv or argv[0].startswith("-"):
        raise ConfigError("The first argument must be a YAML file, such as hparams/lmac.yaml.")
    # Here, since commands that neither train nor evaluate should not wait for it.
    from speechbrain import parse_arguments

    path, run_opts, overrides = parse_arguments(argv)
    pairs = {}
    for line in (overrides or "").splitlines():
        # Line by line, so that a key given twice is no error: the last one counts.
        pairs.update(ruamel.yaml.YAML(typ="safe").load(line) or {})
    return path, run_opts, pairs


def _standalone(path, overrides):
    """The merged tree without its slots, and these as lines of comment."""
    tree = merge(path, overrides)
    slots = {slot: tree.pop(slot) for slot in SLOTS if slot in tree}
    return tree, "".join(f"# {slot}: {file or 'null'}\n" for slot, file in slots.items())


def settings(path, overrides=None):
    """The plain settings of an experiment as a dict: references resolved, nothing constructed.

    Settings that still need a value are None; objects are left out.
    """
    return {k: v for k, v in _resolved(path, overrides).items() if not _tag(v)}


def construct(path, key, overrides=None):
    """The object under ``key`` of an experiment, with what it refers to and nothing else.

    Raises ConfigError for a file without such a key.
    """
    tree = _resolved(path, overrides)
    if key not in tree:
        raise ConfigError(f"{path} has no key {key}: is it the file of an experiment?")
    return load_hyperpyyaml(_dump({key: tree[key]}))[key]


def _resolved(path, overrides):
    """The tree with references resolved; settings that still need a value are None."""
    tree, _ = _standalone(path, overrides)
    for key, value in tree.items():
        if _tag(value) == "!PLACEHOLDER":
            tree[key] = None
    return ruamel.yaml.YAML().load(resolve_references(_dump(tree)).read())


def _tag(node):
    return getattr(getattr(node, "tag", None), "value", None)


def load(path, overrides=None):
    """Merged, resolved and constructed hyperparameters, and their resolved text.

    The text stands alone: the files of the slots are merged into it, and named in its comments.
    """
    tree, slots = _standalone(path, overrides)
    text = _dump(tree)
    try:
        resolved = resolve_references(text).read()
        return load_hyperpyyaml(text), slots + resolved
    except ValueError as error:
        if "PLACEHOLDER" in str(error):
            key = str(error).split("'")[1]
            raise ConfigError(f"{path} needs a value for {key}: add --{key}=…") from error
        raise


# What may differ when a run goes on: how long it trains, where things are, how it is computed.
_MAY_CHANGE = {
    *("number_of_epochs", "data_folder", "results_folder", "cache_folder", "num_workers"),
    *("precision", "manifest", "save_folder", "output_folder"),
    *("download", "download_url", "download_checksum"),
}


def check_same_run(folder, resolved):
    """ConfigError when ``folder`` holds a run with other settings than ``resolved``.

    Otherwise a finished run would pass for one with the new settings.
    """
    earlier = Path(folder) / "hyperparams.yaml"
    if not earlier.exists():
        return
    one, two = ({k: _dump(v) for k, v in ruamel.yaml.YAML().load(text).items()}
                for text in (earlier.read_text(encoding="utf-8"), resolved))  # fmt: skip
    # Only plain settings: objects and paths made of them follow.
    changed = [
        k for k in two
        if k in one and one[k] != two[k] and k not in _MAY_CHANGE and "\n" not in two[k].strip()
    ]  # fmt: skip
    if changed:
        key = changed[0]
        raise ConfigError(
            f"{folder} holds a run with {key} {one[key].strip()}, now it is {two[key].strip()}: "
            "give another --output_folder, or delete the folder to start anew."
        )


def _dump(node):
    text = io.StringIO()
    ruamel.yaml.YAML().dump(node, text)
    return text.getvalue().replace("...\n", "")


def load_experiment(argv, goes_on=True):
    """Everything a script needs from its command line.

    Arguments
    ---------
    argv : list of str
        YAML file, SpeechBrain's run options and overrides.
    goes_on : bool
        Whether the script resumes what is in ``output_folder``, which must then have been made
        with the same settings (ConfigError otherwise).

    Returns
    -------
    hparams : dict
    run_opts : speechbrain RunOptions

    Makes ``output_folder`` with SpeechBrain's log and the resolved ``hyperparams.yaml``, which
    can itself be given as the first argument to repeat the run.
    """
    # Here, for they wait for torch.
    from data_prep.once import once
    from lmac.processes import start

    # When imported it warns that it cannot save the pictures which nothing here makes.
    logging.getLogger("speechbrain.utils.train_logger").addFilter(
        lambda record: "torchvision" not in str(record.msg)
    )
    path, run_opts, overrides = parse(argv)
    run_opts = start(run_opts)
    hparams, resolved = load(path, overrides)
    once(_open_folder, hparams, path, argv, resolved, goes_on)
    return hparams, run_opts


def _open_folder(hparams, path, argv, resolved, goes_on):
    import speechbrain as sb

    # A run that was refused before its first checkpoint leaves nothing that could be mistaken.
    if goes_on and any(Path(hparams["save_folder"]).glob("CKPT*")):
        check_same_run(hparams["output_folder"], resolved)
    folder = Path(hparams["output_folder"])
    try:
        sb.create_experiment_directory(str(folder), log_config=LOG_CONFIG, save_env_desc=False)
        # SpeechBrain copies the calling file, which would be this one and of no use.
        (folder / Path(__file__).name).unlink(missing_ok=True)
        (folder / "hyperparams.yaml").write_text(
            f"# Resolved from {path}; the command line was:\n# {shown(' '.join(argv))}\n{resolved}",
            encoding="utf-8",
        )
    except (OSError, ValueError) as error:
        # Python's logging raises a ValueError for a log that cannot be opened.
        reason = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(reason, OSError):
            raise
        raise ConfigError(
            f"Nothing can be written to {folder} ({reason.strerror}: "
            f"{reason.filename}): give another --output_folder."
        ) from error


def run(main, usage, argv=None):
    """Run a script's ``main(argv)``; a mistake in its input ends it with one sentence.

    ``argv`` is by default the command line of this process.

    Errors that this project raises say what to do; those from inside a library are bugs, and
    keep their traceback.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(usage.strip())
        sys.exit(0 if argv else 2)
    try:
        main(argv)
    except (ValueError, FileNotFoundError) as error:
        origin = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
        root = Path(__file__).resolve().parents[1]
        if root not in origin.parents or "site-packages" in origin.parts:
            raise
        sys.exit(f"error: {error}")
    if "RANK" in os.environ:
        from lmac.processes import leave

        leave()
