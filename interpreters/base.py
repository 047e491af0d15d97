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
    area = "own"  # or the name of another method: see AttributionInterpreter
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


FORMS = ("published", "signed", "absolute")


class AttributionInterpreter(Interpreter):
    """Makes masks of what ``attribute`` gives every cell.

    Arguments
    ---------
    explained : ExplainedClassifier
    form : str
        What of an attribution counts. ``"published"``: its absolute value over the clip's maximum,
        as in the paper; ``"absolute"``: the same, at any area; ``"signed"``: its positive part,
        which leaves out what speaks against the class.
    area : str or float
        ``"own"``: as large as the attributions make the mask. A share in (0, 1): a binary mask of
        so many cells, those that rank highest. The name of another method, such as
        ``"L-MAC"``: cells are ranked, and given the values of that method's mask of the clip in
        this order, so that the means agree and, where no cells are tied, the histograms.
    **options

    ValueError for other values, and for the published form at another area than its own.
    """

    def __init__(self, explained, form="published", area="own", **options):
        if form not in FORMS:
            raise ValueError(f"form is {form!r}: expected one of {', '.join(FORMS)}.")
        if not (isinstance(area, str) or isinstance(area, float) and 0 < area < 1):
            raise ValueError(
                f"area is {area!r}: expected own, a share between 0 and 1, or a method's name."
            )
        if form == "published" and area != "own":
            raise ValueError(
                f"form: published has its own area, not {area!r}: use form: signed or absolute."
            )
        if form != "published":  # descriptions of earlier rows stay
            options |= {"form": form}
        if area != "own":
            options |= {"area": area}
        super().__init__(explained, **options)
        self.form, self.area = form, area
        self.other = None

    def take_area_of(self, other):
        """Use the masks of ``other``, the Interpreter that ``area`` names.

        ValueError for one that cannot explain every input by itself.
        """
        if other.needs_clean:
            raise ValueError(f"area: {self.area} needs the target's own part: name another method.")
        self.other = other
        self.options = self.options | {"area": other.description}
        self.key, self.training = other.key, other.training

    def reset(self, seed):
        super().reset(seed)
        if self.other is not None:
            self.other.reset(seed)

    @abstractmethod
    def attribute(self, X, target, phase=None):
        """Attribution of every cell, signed or not, with the shape of ``X``."""

    def explain(self, X, target, phase=None):
        attribution = self.attribute(X, target, phase).detach()
        counts = attribution.clamp_min(0) if self.form == "signed" else attribution.abs()
        if self.area == "own":
            return normalise(counts)
        if isinstance(self.area, str):
            if self.other is None:
                raise ValueError(f"area: {self.area} is a name: build it with get_interpreters.")
            return in_order_of(counts, self.other.explain(X, target, phase))
        shared = torch.zeros_like(counts)
        n = shared[0].numel()
        shared.flatten(1)[:, : min(n, max(1, round(self.area * n)))] = 1
        return in_order_of(counts, shared)


def in_order_of(attribution, mask):
    """The values of ``mask`` [B, ...] on the cells that rank so by ``attribution`` [B, ...].

    The cell of the largest attribution gets the largest value. Cells that are tied share theirs,
    and get the mean.
    """
    rows = []
    for own, values in zip(attribution.flatten(1), mask.flatten(1), strict=True):
        ranked, order = own.sort(descending=True, stable=True)
        _, tie, counts = ranked.unique_consecutive(return_inverse=True, return_counts=True)
        values = values.sort(descending=True).values.double()
        means = torch.zeros(len(counts), dtype=values.dtype, device=values.device)
        means = means.scatter_add(0, tie, values) / counts
        rows.append(torch.empty_like(own).index_copy_(0, order, means[tie].to(own.dtype)))
    return torch.stack(rows).view(mask.shape).to(mask.dtype)


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
