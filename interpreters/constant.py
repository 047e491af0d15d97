"""Masks that look at nothing: what any explanation has to beat."""

import torch

from interpreters.base import AttributionInterpreter, Interpreter, SeededInterpreter


class AllOnes(Interpreter):
    """Keeps everything: AI, AD and AG are 0 by definition."""

    def explain(self, X, target, phase=None):
        return torch.ones_like(X)


class Random(SeededInterpreter):
    """Every cell uniform in [0, 1), independent of the input."""

    def explain(self, X, target, phase=None):
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(X.shape, generator=generator).to(X)


class LoudestCells(AttributionInterpreter):
    """The rank of X itself: what is loud is kept, whatever the classifier says."""

    def attribute(self, X, target, phase=None):
        return X


class Oracle(Interpreter):
    """The mask that leaves the target's own part of a mixture: X of the clean target over X.

    Masked with it, X has the clean target's magnitude, wherever that does not exceed the
    mixture's. It needs the target's part, which the scenario knows and the classifier does not.
    """

    needs_clean = True

    def explain(self, X, target, phase=None, *, clean_X):
        return (clean_X / X.clamp_min(1e-12)).clamp(0, 1)
