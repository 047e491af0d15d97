"""Masks that look at nothing: what any explanation has to beat."""

import torch

from interpreters.base import Interpreter


class AllOnes(Interpreter):
    """Keeps everything: AI, AD and AG are 0 by definition."""

    def explain(self, X, target):
        return torch.ones_like(X)


class Random(Interpreter):
    """Every cell uniform in [0, 1), independent of the input."""

    def __init__(self, explained):
        super().__init__(explained)
        self.reset(0)

    def reset(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def explain(self, X, target):
        return torch.rand(X.shape, generator=self.generator).to(X)
