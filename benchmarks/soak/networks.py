"""Networks as people have them, put into lmac.Explainer.

A trial survived when the network is refused in one sentence, or a sound is explained: p lies in
[0, 1], a mask of ones changes nothing, and neither the network's weights nor the sound change.
"""

import random

import numpy as np
import torch
from torch import nn

import lmac

WHAT = "odd networks: in place, other shapes and types, probabilities, NaN, fixed lengths"
COUNT = 150
SHORT = 15
RATE = 16000


class Odd(nn.Module):
    """Two convolutions and a head, with something odd."""

    def __init__(self, odd, classes):
        super().__init__()
        self.odd = odd
        self.first = nn.Sequential(nn.Conv1d(1, 4, 64, 32), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv1d(4, 4, 8, 4), nn.ReLU(inplace=odd == "in place"))
        self.head = nn.Linear(4, classes)

    def forward(self, wav):
        if self.odd == "changes its input":
            wav -= wav.mean(1, keepdim=True)
        if self.odd == "one length" and wav.shape[1] != RATE:
            raise RuntimeError(f"expected {RATE} samples\nnot {wav.shape[1]}")
        z = self.head(self.second(self.first(wav[:, None])).mean(2))
        return ANSWERS.get(self.odd, lambda z: z)(z)


ANSWERS = {
    "softmax": lambda z: z.softmax(1), "sigmoid": lambda z: z.sigmoid(),
    "log softmax": lambda z: z.log_softmax(1), "NaN": lambda z: z / 0 * 0,
    "infinite": lambda z: z + float("inf"), "one answer": lambda z: z[:, :1],
    "no classes": lambda z: z[:, 0], "three axes": lambda z: z[:, None],
    "a tuple": lambda z: (z, z), "a dictionary": lambda z: {"logits": z},
    "NumPy": lambda z: z.detach().numpy(), "whole numbers": lambda z: z.round().long(),
    "without gradient": lambda z: z.detach(), "constant": lambda z: torch.zeros_like(z),
    "double": lambda z: z.double(), "huge": lambda z: 1e6 * z,
}  # fmt: skip
KINDS = ("nothing", "in place", "changes its input", "one length", *ANSWERS)
METHODS = ("Saliency", "GradCAM", "IG", "All-ones")


def trials(count, seed, folder):
    """Every kind in turn, methods and outputs at random."""
    generator = random.Random(seed)
    for k in range(count):
        torch.manual_seed(k)
        odd, method = KINDS[k % len(KINDS)], generator.choice(METHODS)
        outputs = generator.choice(["softmax", "softmax", "sigmoid"])
        network = Odd(odd, generator.choice([2, 5, 40])).eval()
        yield f"{k}: {odd}, {outputs}, {method}", _tried(network, method, outputs)


def _tried(network, method, outputs):
    before = {n: v.clone() for n, v in network.state_dict().items()}
    wav = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    sound = wav.copy()
    try:
        explainer = lmac.Explainer(
            network, RATE, layers=["first", "second"], window_s=1.0, outputs=outputs
        )
        recording = explainer.read((sound, RATE))
        result = explainer(recording, method)
        ones = explainer(recording, "All-ones")
    except ValueError as error:
        return f"more than a sentence: {error}" if "\n" in str(error) else None
    except Exception as error:  # whatever it is, it is no sentence
        return f"{type(error).__name__}: {str(error)[:200]}"
    if not (0 <= result.p <= 1 and 0 <= result.p_in <= 1):
        return f"p {result.p}, p_in {result.p_in}"
    if ones.p_in != ones.p:
        return f"a mask of ones: p {ones.p}, p_in {ones.p_in}"
    same = all(torch.equal(v, before[n]) for n, v in network.state_dict().items())
    return None if same and np.array_equal(sound, wav) else "the network or the sound changed"
