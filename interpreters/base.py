"""The one interface of all explanation methods."""

from abc import ABC, abstractmethod
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from lmac.core.phase import Phase


class Interpreter(ABC):
    """Explains a decision with a mask.

    Arguments
    ---------
    explained : lmac.core.explained.ExplainedClassifier
        The frozen classifier in its domain; left as it was after every call.
    **options
        What distinguishes this interpreter's results, kept as ``self.options``.

    An interpreter whose ``needs_clean`` is true is also given ``clean_X=``, the target's part of
    a mixture: a bound, not an explanation. One whose ``takes_answer`` is true is also given
    ``answer=``, the classifier's (logits, representations) for ``X``, where these are known.
    """

    needs_clean = takes_answer = False
    # False for methods that explain the classifier's own decision whatever class is asked for.
    any_class = True
    # Of trained methods: the setting that names their weights, and what training recorded ({} for
    # weights without info.json). None for methods that are not trained.
    key = training = None

    def __init__(self, explained, **options):
        self.explained = explained
        self.options = options

    @abstractmethod
    def explain(self, X, target, phase=None):
        """``X`` [B, T, F] and classes [B] to masks in [0, 1] with the shape of ``X``.

        ``phase`` is that of ``X``; it is given where ``explained.domain.needs_phase``, on the
        waveform path, and goes with every X to ``explained``.
        """

    def reset(self, seed):
        """Start the method's random numbers anew; nothing to do where it has none."""
        return None

    @property
    def description(self):
        """Class and options: results of equal descriptions are interchangeable."""
        options = ", ".join(f"{k}={v}" for k, v in self.options.items())
        return f"{type(self).__name__}({options})"


class SeededInterpreter(Interpreter):
    """An interpreter that draws random numbers, the same ones after ``reset`` with a seed."""

    def __init__(self, explained, **options):
        super().__init__(explained, **options)
        self.reset(0)

    def reset(self, seed):
        self.seed = seed

    @contextmanager
    def random_numbers(self):
        """Random numbers start from the seed, and afterwards go on where they were before.

        Those of NumPy too, which Captum's GradientShap draws from.
        """
        devices = [b.device for b in self.explained.buffers() if b.is_cuda][:1]
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            state = np.random.get_state()
            np.random.seed(self.seed)
            try:
                yield
            finally:
                np.random.set_state(state)


# Of X, in all copies that the classifier reads at once: those of a batch of evaluation.
CELLS = 16 * 431 * 513


def at_a_time(X, copies):
    """How many of so many copies of ``X`` the classifier reads at once: within ``CELLS``, or 1."""
    return max(1, min(copies, CELLS // X.numel()))


class Logits(nn.Module):
    """``explained.logits`` as Captum calls it: X, then the parts of its phase, if it has one.

    Give Captum ``additional_forward_args=parts(phase)``: it repeats and cuts them with X.
    """

    def __init__(self, explained):
        super().__init__()
        self.explained = explained

    def forward(self, X, *parts):
        return self.explained.logits(X, *([Phase(*parts)] if parts else []))


def parts(phase):
    """``additional_forward_args`` for :class:`Logits`: the phase's parts, () without one."""
    return () if phase is None else phase.parts


def normalise(attribution):
    """Attribution [B, ...] to a mask: absolute value over its maximum in each sample.

    A sample without any attribution gets a mask of zeros.
    """
    magnitude = attribution.detach().abs()
    peak = magnitude.flatten(1).amax(1).clamp_min(1e-30)
    return magnitude / peak.view(-1, *[1] * (magnitude.dim() - 1))
