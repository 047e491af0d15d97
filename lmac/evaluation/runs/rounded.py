"""Trained weights in half precision, without paths of this machine."""

import json
import shutil
from functools import partial
from pathlib import Path

import torch

from lmac.checkpoints import (
    CHECKPOINT_FILES,
    DECODER_FILE,
    LABELS_FILE,
    digest_of_state,
    training_info,
)
from lmac.evaluation.files import public
from lmac.io.files import publish_files
from lmac.io.weights import INFO_FILE, read_weights

ROUNDED = "half_precision"  # noted beside weights that were shared
FILES = (*CHECKPOINT_FILES.values(), DECODER_FILE)


def share(source, destination, parts):
    """Copy ``best`` of each of ``parts``; returns the folders that were written.

    Arguments
    ---------
    source : path
        Results folder of a recipe.
    destination : path
    parts : list of str
        Names of folders in ``source``; decoders need their classifier among them.

    Raises FileNotFoundError for a part without weights, ValueError for a decoder of a classifier
    that is not among the parts, for weights that 16 bits cannot hold, for a part that is no name,
    and for files in the destination that were not shared before.
    """
    source, destination = Path(source), Path(destination)
    for part in parts:
        if Path(part).is_absolute() or ".." in Path(part).parts:
            raise ValueError(f"parts: {part} is no name of a folder below {source}.")
        _require_place(destination / part / "best", source / part / "best")
    folders = [source / part / "best" for part in parts]
    exact = {folder: _states(folder) for folder in folders}
    shared = {folder: _rounded(states, folder) for folder, states in exact.items()}
    digests = {  # of a classifier before and after rounding
        _classifier_digest(exact[folder]): _classifier_digest(states)
        for folder, states in shared.items()
        if DECODER_FILE not in states
    }
    written = []
    for part, folder in zip(parts, folders, strict=True):
        states, info = shared[folder], public(training_info(folder))
        if DECODER_FILE in states:
            of = info.get("classifier_weights")
            if of not in digests:
                raise ValueError(
                    f"parts: {folder} was trained for the classifier {of}, which is none of "
                    f"{', '.join(parts)}: name that one, too."
                )
            info["classifier_weights"] = digests[of]
        info[ROUNDED] = True
        writers = {name: partial(torch.save, state) for name, state in states.items()}
        writers[INFO_FILE] = partial(_write_json, info)
        if (folder / LABELS_FILE).is_file():
            writers[LABELS_FILE] = partial(_copy, folder / LABELS_FILE)
        written.append(destination / part / "best")
        publish_files(writers, written[-1])
    return written


def _require_place(to, best):
    """ValueError where ``to`` is the training at ``best``, or holds another one."""
    if to.resolve() == best.resolve():
        raise ValueError(f"{to} is what is to be copied: give another destination.")
    if (to / INFO_FILE).is_file() and not training_info(to).get(ROUNDED):
        raise ValueError(
            f"{to} holds a training that was not shared from elsewhere: give another destination."
        )


def _states(folder):
    """Name of the file to state dict, of what there is in ``folder``."""
    states = {n: read_weights(folder / n, n) for n in FILES if (folder / n).is_file()}
    if not states:
        raise FileNotFoundError(
            f"parts: there are no weights in {folder} ({', '.join(FILES)}): name folders of "
            "finished trainings."
        )
    if missing := set(CHECKPOINT_FILES.values()) - set(states) - {DECODER_FILE}:
        if DECODER_FILE not in states:
            raise FileNotFoundError(
                f"parts: {folder} has no {' and no '.join(sorted(missing))}: restore it, or train "
                "the classifier again."
            )
    return states


def _rounded(states, folder):
    rounded = {name: dict(state) for name, state in states.items()}
    for name, state in rounded.items():
        for key, value in state.items():
            if value.is_floating_point():
                state[key] = value.half()
                if not torch.equal(state[key].isfinite(), value.isfinite()):
                    raise ValueError(f"{folder / name}: {key} is too large for 16 bits.")
    return rounded


def _classifier_digest(states):
    """That of the classifier that loads these, whose numbers have 32 bits."""
    return digest_of_state(
        {
            f"{part}.{key}": value.float() if value.is_floating_point() else value
            for part, name in CHECKPOINT_FILES.items()
            for key, value in states[name].items()
        }
    )


def _write_json(content, file):
    file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _copy(path, file):
    with path.open("rb") as original:
        shutil.copyfileobj(original, file)
