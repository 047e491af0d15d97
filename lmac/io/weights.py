"""State dicts, read without trust and loaded only where they fit, and what lies beside them."""

import json
from collections.abc import Mapping
from pathlib import Path

from lmac.io.files import require_undamaged

# What helps where a file of <output_folder>/best is damaged.
EXPORTED = (
    "give the training's command again, which writes it anew from its checkpoints, or restore it "
    "(delete its line there to use it as it is)."
)


INFO_FILE = "info.json"
# What people's checkpoints keep a state dict under, beside an optimiser and an epoch.
_NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")


def training_info(checkpoint):
    """What training left in ``info.json`` beside the weights ``checkpoint`` (file or folder).

    Empty where there is none, and for None: the classifier came with its weights. ValueError for
    a file that is not a JSON object, or not the one that was written.
    """
    if not checkpoint:
        return {}
    path = Path(checkpoint)
    path = (path.parent if path.is_file() else path) / INFO_FILE
    if not path.is_file():
        return {}
    require_undamaged(path, EXPORTED)
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise ValueError(f"{path} is not valid JSON ({error}): delete it to go without.") from error
    if not isinstance(info, dict):
        raise ValueError(f"{path} must hold a JSON object, got a {type(info).__name__}.")
    return info


def read_weights(path, what):
    """A state dict, safely (no pickled code is run).

    Of a checkpoint with more in it, such as ``{"state_dict": …, "epoch": 9}``, the state dict; a
    ``.safetensors`` file does as well.

    Raises FileNotFoundError when ``path`` is missing and ValueError when the file is not a
    state dict, or not the one that was written; each names the file.
    """
    # Here, since others only read what helps.
    import torch

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No {what} weights at {path}: train it first, or give its path.")
    require_undamaged(path, EXPORTED)
    if path.suffix == ".safetensors":
        return _safetensors(path, what)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not a readable PyTorch state dict ({what}).") from error
    return _state_dict(state, path, what)


def _safetensors(path, what):
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise ValueError(
            f"{path}: install safetensors to read it (pip install safetensors)."
        ) from error
    try:
        return load_file(path)
    except Exception as error:
        raise ValueError(f"{path} is not a readable safetensors file ({what}).") from error


def _state_dict(content, path, what):
    """The state dict in what a file holds; ValueError, which says what there is, for none."""
    import torch

    if not isinstance(content, Mapping):
        found = type(content).__name__
        raise ValueError(f"{path} holds a {found}, expected a state dict ({what}).")
    nested = [key for key in _NESTED if isinstance(content.get(key), Mapping)]
    if len(nested) == 1:
        return _state_dict(content[nested[0]], path, what)
    if any(isinstance(value, torch.Tensor) for value in content.values()) or not content:
        return content
    keys = ", ".join(map(repr, list(content)[:5]))
    raise ValueError(
        f"{path} holds {keys}, none of them the one state dict that is needed ({what}): save "
        "the network's state_dict() alone."
    )


def without_prefix(state, own):
    """``state`` without a prefix that all its names share, where the names of ``own`` lack it.

    DataParallel writes ``module.``, Lightning the name of an attribute.
    """
    prefixes = {name.split(".")[0] for name in state}
    while len(prefixes) == 1 and not own.keys() & state.keys() and all("." in n for n in state):
        state = {name.partition(".")[2]: value for name, value in state.items()}
        prefixes = {name.split(".")[0] for name in state}
    return state


def _unusable(value, own):
    """What is wrong with an entry of a state dict, in words; empty where it fits."""
    import torch

    if not isinstance(value, torch.Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if value.layout != torch.strided:
        return "is sparse"
    if value.is_quantized:
        return "is quantised"
    if value.is_complex() and not own.is_complex():
        return "is complex"
    same = value.shape == own.shape
    return "" if same else f"has shape {tuple(value.shape)} instead of {tuple(own.shape)}"


def load_weights(module, path, what):
    """Load a state dict into ``module``.

    Raises what ``read_weights`` raises, and ValueError when the file is not a state dict of this
    architecture; it names the first differing entries.
    """
    own = module.state_dict()
    state = without_prefix(read_weights(path, what), own)
    problems = [f"missing {k}" for k in own if k not in state]
    problems += [f"unexpected {k}" for k in state if k not in own]
    wrong = {k: _unusable(state[k], own[k]) for k in own if k in state}
    problems += [f"{k} {what_it_is}" for k, what_it_is in wrong.items() if what_it_is]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"{path} is a checkpoint of another architecture than the {what} in the YAML: "
            f"{'; '.join(problems[:3])}{more}."
        )
    module.load_state_dict(state)
    return module
