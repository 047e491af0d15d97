"""State dicts, read without trust and loaded only where they fit, and what lies beside them."""

import json
from pathlib import Path

from lmac.io.files import require_undamaged

# What helps where a file of <output_folder>/best is damaged.
EXPORTED = (
    "give the training's command again, which writes it anew from its checkpoints, or restore it "
    "(delete its line there to use it as it is)."
)


INFO_FILE = "info.json"


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
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}): delete it to go without.") from error
    if not isinstance(info, dict):
        raise ValueError(f"{path} must hold a JSON object, got a {type(info).__name__}.")
    return info


def read_weights(path, what):
    """A state dict, safely (no pickled code is run).

    Raises FileNotFoundError when ``path`` is missing and ValueError when the file is not a
    state dict, or not the one that was written; each names the file.
    """
    # Here, since others only read what helps.
    import torch

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No {what} weights at {path}: train it first, or give its path.")
    require_undamaged(path, EXPORTED)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not a readable PyTorch state dict ({what}).") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, expected a state dict ({what}).")
    return state


def load_weights(module, path, what):
    """Load a state dict into ``module``.

    Raises what ``read_weights`` raises, and ValueError when the file is not a state dict of this
    architecture; it names the first differing entries.
    """
    state = read_weights(path, what)
    own = module.state_dict()
    problems = [f"missing {k}" for k in own if k not in state]
    problems += [f"unexpected {k}" for k in state if k not in own]
    problems += [
        f"{k} has shape {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"{path} is a checkpoint of another architecture than the {what} in the YAML: "
            f"{'; '.join(problems[:3])}{more}."
        )
    module.load_state_dict(state)
    return module
