"""State dicts as people keep them: nested, with prefixes, and of entries that are no weights.

A trial survived when a file that holds the network's weights, however wrapped, gives just these,
and any other ends in one sentence that names the file.
"""

import random

import torch
from torch import nn

from lmac.io.weights import load_weights

WHAT = "checkpoints as people have them: nested, prefixed, odd entries, other architectures"
COUNT = 300
SHORT = 30

KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")
PREFIXES = ("module.", "model.", "net.encoder.", "")
ODD = {
    "a number": lambda w: 0.5, "None": lambda w: None, "a list": lambda w: w.tolist(),
    "sparse": lambda w: w.to_sparse(), "complex": lambda w: w.to(torch.complex64),
    "quantised": lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8),
    "another shape": lambda w: w[None], "missing": None,
}  # fmt: skip


def network():
    """Two layers with weights of their own."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def trials(count, seed, folder):
    """Every second one has something that cannot be loaded."""
    generator = random.Random(seed)
    for k in range(count):
        torch.manual_seed(k)
        theirs, path = network(), folder / f"{k}.pt"
        for value in theirs.state_dict().values():
            if value.is_floating_point():
                value.uniform_()
        state = {name: value.clone() for name, value in theirs.state_dict().items()}
        odd = generator.choice(list(ODD)) if k % 2 else None
        if odd is not None:
            name = generator.choice([n for n in state if not n.endswith("tracked")])
            if ODD[odd] is None:
                del state[name]
            else:
                state[name] = ODD[odd](state[name])
        prefix, depth = generator.choice(PREFIXES), generator.randrange(3)
        content = {prefix + name: value for name, value in state.items()}
        for _ in range(depth):
            content = {generator.choice(KEYS): content, "epoch": 3}
        torch.save(content, path)
        label = f"{k}: prefix {prefix!r}, {depth} deep, {odd or 'whole'}"
        yield label, _tried(path, theirs.state_dict(), odd)
        path.unlink()


def _tried(path, expected, odd):
    ours = network()
    try:
        load_weights(ours, path, "classifier")
    except ValueError as error:
        if "\n" in str(error) or path.name not in str(error):
            return f"no sentence that names the file: {error}"
        return None if odd else f"refused: {error}"
    except Exception as error:  # whatever it is, it is no sentence
        return f"{type(error).__name__}: {error}"
    if odd:
        return "was taken"
    same = all(torch.equal(v, expected[n]) for n, v in ours.state_dict().items())
    return None if same else "other weights"
