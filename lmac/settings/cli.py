"""From the words of a command line to the command: what is wrong is said before anything starts.

Neither torch nor SpeechBrain is imported before the settings are known to be right.
"""

import errno
import importlib
import logging
import os
import sys

from lmac.settings.commands import COMMANDS, RUN, listing, unknown
from lmac.settings.compose import (
    HPARAMS,
    ConfigError,
    keys_of_experiment,
    merge,
    split,
    stages_of,
)
from lmac.settings.help import HELP, command_line, help_text, said_of
from lmac.settings.load import SHOW_TRACEBACK, check, check_typed, parse, says_what_to_do

# Of disks and folders that take nothing, wherever it is noticed.
_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def dispatch(name=None, argv=None):
    """Run a command, by default the one that the words of this process name, and exit.

    Arguments
    ---------
    name : str, optional
        By default the first word.
    argv : list of str, optional
        The other words; by default those of this process.
    """
    argv = sys.argv[1:] if argv is None else argv
    if name is None:
        if not argv or argv[0] in HELP:
            print(listing())
            return
        name, *argv = argv
    if name not in COMMANDS:
        print(f"error: {unknown(name)}", file=sys.stderr)
        sys.exit(2)
    command = COMMANDS[name]
    if not command.parallel:
        one_process(f"{RUN} {name}")
    argv = answer(command, argv)
    run(importlib.import_module(command.module).main, argv)


def answer(command, argv):
    """Print help or refuse a wrong command line, and exit; the words, where neither is due.

    These name the stage of a recipe: ``recipe.yaml`` alone is the command's own.
    """
    if not argv and (command.experiments or command_line(command).needs_words):
        print(f"{said_of(command)}\n\n--help lists all settings." if command.experiments
              else said_of(command))  # fmt: skip
        sys.exit(2)
    try:
        argv = with_stage(argv, command)
        if any(word in HELP for word in argv):
            _print(help_text(command, [word for word in argv if word not in HELP]))
            sys.exit(0)
        if command.experiments:
            _refuse_wrong(command, argv)
    except ConfigError as error:
        # Under torchrun one process says it for all.
        sys.exit(1 if int(os.environ.get("RANK", 0)) else f"error: {error}")
    return argv


def with_stage(argv, command):
    """The words; of a ``recipe.yaml`` that has stages, and of which none is named, its own."""
    stage = command.stage or "".join(command.experiments[:1])
    if argv and split(argv[0])[1] is None and stage in stages_of(argv[0]):
        return [f"{argv[0]}:{stage}", *argv[1:]]
    return argv


def _refuse_wrong(command, argv):
    path, _, overrides = parse(argv)
    if "dry_run" in overrides and not command.dry_run:
        raise ConfigError(
            f"{RUN} {command.name}: --dry_run is for trainings, {RUN} evaluate and explain."
        )
    check_typed(overrides)
    if command.starts:
        return
    default = HPARAMS / f"{command.experiments[0]}.yaml"
    there = merge(path)
    missing = [key for key in keys_of_experiment(default) if key not in there]
    if missing:
        raise ConfigError(
            f"{path} has no {missing[0]}: this command runs YAML files that extend "
            f"{default.relative_to(HPARAMS.parent)}."
        )
    check(path, overrides)


def _print(text):
    try:
        print(text, flush=True)
    except BrokenPipeError:  # --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def one_process(what):
    """End where ``torchrun`` started several processes of ``what``, which works in one."""
    n = int(os.environ.get("WORLD_SIZE", 1))
    if n > 1:
        main = int(os.environ.get("RANK", 0)) == 0
        sys.exit(f"error: {what} is one process, torchrun started {n}: leave out torchrun, which "
                 f"is for trainings and {RUN} evaluate." if main else 1)  # fmt: skip


def run(main, argv):
    """Run a command's ``main(argv)``; a mistake in its input ends it with one sentence.

    Errors that this project raises say what to do; those from inside a library are bugs, and
    keep their traceback.
    """
    logging.raiseExceptions = False  # a log that cannot be written must not drown the sentence
    try:
        main(argv)
    except (ValueError, FileNotFoundError) as error:
        if os.environ.get(SHOW_TRACEBACK) or not says_what_to_do(error):
            raise
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in _STORAGE:
            raise
        sys.exit(
            f"error: {error.filename or 'A file'} cannot be written ({error.strerror}): make room "
            "or give another folder, and the same command goes on."
        )
    if "RANK" in os.environ:
        from lmac.io.processes import leave

        leave()
