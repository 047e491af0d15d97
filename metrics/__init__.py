"""The metrics of Paissan et al. (ICML 2024, arXiv 2403.13086), by their column headers.

A metric maps an :class:`Outcome`, what a batch of masks did to the classifier, to one float64
value per clip; NaN means that the metric is undefined for that clip. To add one, write the
function and give it an entry in :data:`METRICS`. ``metrics.summary`` averages the per-clip values
and ``metrics.tables`` prints them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from metrics.faithfulness import (
    average_drop,
    average_gain,
    average_increase,
    double_softmax,
    faithfulness,
    fidelity_in,
    pick,
)
from metrics.masks import complexity, mask_mean, sparseness


@dataclass(frozen=True)
class Outcome:
    """What a batch of masks M did to a classifier f with inputs X.

    Args:
        probs: f(X), computed by the same arithmetic as probs_in (a mask of ones); [B, C].
        probs_in: f(M * X), the explanation alone; [B, C].
        probs_out: f((1 - M) * X), everything but the explanation; [B, C].
        target: the class explained, the classifier's own decision argmax f(X); integers [B].
        mask: M, of the shape of the map that it masks, without padding; [B, T, F].

    Raises:
        ValueError: if the shapes do not fit, a target is not a class, or a mask is not finite.
    """

    probs: Tensor
    probs_in: Tensor
    probs_out: Tensor
    target: Tensor
    mask: Tensor

    def __post_init__(self):
        shape = self.probs.shape
        if len(shape) != 2 or self.probs_in.shape != shape or self.probs_out.shape != shape:
            shapes = [[*x.shape] for x in (self.probs, self.probs_in, self.probs_out)]
            raise ValueError(f"probs, probs_in and probs_out must all be [B, C], got {shapes}.")
        n_clips, n_classes = shape
        if self.target.shape != (n_clips,) or len(self.mask) != n_clips:
            raise ValueError(
                f"Expected {n_clips} targets and masks, one for each row of probs, got target "
                f"{[*self.target.shape]} and mask {[*self.mask.shape]}."
            )
        if not bool(((self.target >= 0) & (self.target < n_classes)).all()):
            raise ValueError(f"Targets must be classes, 0 to {n_classes - 1}.")
        # Otherwise its scores would be NaN, and pass for those of an all-zero mask.
        if not bool(self.mask.isfinite().all()):
            raise ValueError("A mask has cells that are NaN or infinite.")

    @property
    def p(self) -> Tensor:
        """f(X)_target, [B]."""
        return pick(self.probs, self.target)

    @property
    def p_in(self) -> Tensor:
        """f(M * X)_target, [B]."""
        return pick(self.probs_in, self.target)

    @property
    def p_out(self) -> Tensor:
        """f((1 - M) * X)_target, [B]."""
        return pick(self.probs_out, self.target)


@dataclass(frozen=True)
class Metric:
    """One column of the results.

    Args:
        name: its header.
        function: Outcome -> float64 [B], NaN where undefined.
        better: "up" or "down", None where neither is.
        decimals: how many of them tables print.
    """

    name: str
    function: Callable[[Outcome], Tensor]
    better: Literal["up", "down"] | None
    decimals: int = 2


def _published_drop(o: Outcome) -> Tensor:
    return average_drop(double_softmax(o.probs, o.target), double_softmax(o.probs_in, o.target))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("AI", lambda o: average_increase(o.p, o.p_in), "up"),
        Metric("AD", lambda o: average_drop(o.p, o.p_in), "down"),
        Metric("AG", lambda o: average_gain(o.p, o.p_in), "up"),
        Metric("FF", lambda o: faithfulness(o.p, o.p_out), "up"),
        Metric("Fid-In", lambda o: fidelity_in(o.probs_in, o.target), "up"),
        Metric("SPS", lambda o: sparseness(o.mask), "up"),
        Metric("COMP", lambda o: complexity(o.mask), "down"),
        Metric("MM", lambda o: mask_mean(o.mask), None, decimals=3),
        Metric("AD (published)", _published_drop, "down"),
    )
}


def get_metrics(names: Iterable[str] | None = None) -> dict[str, Metric]:
    """The named metrics in the order given; all of them for None.

    Raises:
        ValueError: for a name that is not in METRICS.
    """
    names = [names] if isinstance(names, str) else list(METRICS if names is None else names)
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise ValueError(
            f"Unknown metric {', '.join(map(repr, unknown))}; the metrics are "
            f"{', '.join(map(repr, METRICS))}."
        )
    return {name: METRICS[name] for name in names}


@torch.no_grad()
def compute(outcome: Outcome, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Score a batch: one float64 [B] per metric name, NaN where the metric is undefined.

    Raises:
        ValueError: for an unknown name, or values that are not probabilities.
    """
    return {name: metric.function(outcome) for name, metric in get_metrics(names).items()}
