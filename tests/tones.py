"""Mixtures of two tones, a classifier that hears which there are, and methods that do or not."""

from types import SimpleNamespace

import pandas as pd
import torch

from interpreters.base import Interpreter

LABELS = ["low", "high", "other", "none"]
N = 16000


class Tones(torch.nn.Module):
    """Decides "low" or "high" by the band with more energy, "other" where the middle sounds."""

    outputs, threshold = "softmax", None

    def __init__(self, explained):
        super().__init__()
        self.domain = explained.domain
        self.register_buffer("any", torch.zeros(1))
        self.classifier = torch.nn.Linear(1, 1)  # something to have a digest of

    def forward(self, X, phase=None):
        bands = torch.expm1(X).square().mean(1)
        low, middle, high = (b.sum(1) for b in (bands[:, :60], bands[:, 60:250], bands[:, 250:]))
        silence = torch.full_like(low, 1e-3)
        return torch.stack([low, high, middle, silence], dim=1).clamp_min(1e-9).log(), []

    def logits(self, X, phase=None):
        return self(X)[0]

    def probabilities(self, X, phase=None):
        return self.logits(X).double().softmax(1)


class Listens(Interpreter):
    """Keeps the band of the class asked for, and nothing for a class that has none."""

    def explain(self, X, target, phase=None):
        mask = torch.zeros_like(X)
        for i, c in enumerate(target.tolist()):
            band = [slice(0, 60), slice(250, None), slice(60, 250), slice(0, 0)][c]
            mask[i, :, band] = 1
        return mask


class Deaf(Interpreter):
    any_class = False

    def explain(self, X, target, phase=None):
        return torch.ones_like(X)


def tones(rows):
    """Items of a data set: the sound of "low" is 400 Hz, of "high" 6000 Hz; a little of both."""
    time = torch.arange(N) / 16000
    sound = {"low": torch.sin(6.2832 * 400 * time), "high": torch.sin(6.2832 * 6000 * time)}
    items = []
    for row in rows.to_dict("records"):
        one = row["gain_target"] * sound[row["label"]]
        items.append(
            {"sig": one + row["gain_contaminant"] * sound[row["contaminant_label"]], "clean": one}
        )
    return items


SCENARIO = pd.DataFrame(
    [
        {"ID": f"{a}-{b}", "target": a, "contaminant": b, "label": a, "contaminant_label": b,
         "absent": absent}
        for a, b, absent in (
            ("low", "high", "none"), ("high", "low", "other"), ("low", "high", "other"),
        )
    ]
)  # fmt: skip


def check_of(kind, explained, path, interpreters, scenario, dataset=None, transfer=None, **more):
    """A check of ``scenario`` into the folder ``path``, without a data set on the disk."""
    if dataset is None and "gain_target" in scenario:
        dataset = tones(scenario)
    setup = SimpleNamespace(
        explained=explained, interpreters=interpreters, labels=LABELS, scenario=scenario,
        dataset=dataset, device="cpu",
        run_opts=SimpleNamespace(eval_precision=more.pop("eval_precision", None)),
    )  # fmt: skip
    hparams = {
        "seed": 0, "batch_size": 2, "interpreters": interpreters, "output_folder": path,
        "n_boot": 20, "asked_p": 0.05, "audit_clips": None, "scenario": "mixtures",
        "domain": "stft", **more,
    }  # fmt: skip
    given = {} if transfer is None else {"transfer": transfer}
    return kind(hparams, setup, **given)
