"""The metrics of Paissan et al. (ICML 2024, arXiv 2403.13086), by their column headers.

A metric maps an :class:`Outcome`, what a batch of masks did to the classifier, to one float64
value per clip; NaN means that the metric is undefined for that clip. To add one, write the
function and give it an entry in :data:`METRICS`: rows, tables, gallery and docs take everything
from there. ``metrics.summary`` averages the per-clip values and ``metrics.tables`` prints them.

torch is imported where something is computed, for tables and pages read no more than the names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from metrics.distance import log_distance, si_sdr
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

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Outcome:
    """What a batch of masks M did to a classifier f with inputs X.

    Args:
        probs: f(X), computed by the same arithmetic as probs_in (a mask of ones); [B, C].
        probs_in: f(M * X), the explanation alone; [B, C].
        probs_out: f((1 - M) * X), everything but the explanation; [B, C].
        target: the class explained, the classifier's own decision argmax f(X); integers [B].
        mask: M, of the shape of the map that it masks, without padding; [B, T, F].
        masked: M * X, [B, T, F].
        clean_X: the X of the target's own part of a mixture, [B, T, F].
        audio: the explanation as sound, [B, L].
        clean_audio: the target's own part of a mixture as sound, [B, L].
        probs_resynthesised: f of the explanation's sound, analysed like any other; [B, C].
        threshold: of a classifier with sigmoid outputs, the p from which a label is there; None
            where the largest p is the decision.

    The five before the last are None where they are not known: a domain without phase has no
    sound, and a recording no clean part. Metrics that need them are left out then.

    Raises:
        ValueError: if the shapes do not fit, a target is not a class, or a mask is not finite.
    """

    probs: Tensor
    probs_in: Tensor
    probs_out: Tensor
    target: Tensor
    mask: Tensor
    masked: Tensor | None = None
    clean_X: Tensor | None = None
    audio: Tensor | None = None
    clean_audio: Tensor | None = None
    probs_resynthesised: Tensor | None = None
    threshold: float | None = None

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
    """One column of the results, and all that is said about it anywhere.

    Args:
        name: its header.
        function: Outcome -> float64 [B], NaN where undefined.
        better: "up" or "down", None where neither is.
        about: a sentence that explains it, with p, p_in and p_out the probability of the explained
            class for X, M X and (1 - M) X.
        decimals: how many of them tables print.
        needs: the optional fields of an Outcome that it reads.
        check: whether it is a check from outside, and no metric of the paper: tables print it
            after those, without interval, and set nothing in bold.
    """

    name: str
    function: Callable[[Outcome], Tensor]
    better: Literal["up", "down"] | None
    about: str
    decimals: int = 2
    needs: tuple[str, ...] = ()
    check: bool = False


def _published_drop(o: Outcome) -> Tensor:
    return average_drop(double_softmax(o.probs, o.target), double_softmax(o.probs_in, o.target))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "AI",
            lambda o: average_increase(o.p, o.p_in),
            "up",
            "Average increase: share of clips with p_in > p, in percent.",
        ),
        Metric(
            "AD",
            lambda o: average_drop(o.p, o.p_in),
            "down",
            "Average drop: max(0, p - p_in) / p, in percent.",
        ),
        Metric(
            "AG",
            lambda o: average_gain(o.p, o.p_in),
            "up",
            "Average gain: max(0, p_in - p) / (1 - p), in percent.",
        ),
        Metric(
            "FF",
            lambda o: faithfulness(o.p, o.p_out),
            "up",
            "Faithfulness: p - p_out, the probability lost without the explanation.",
        ),
        Metric(
            "Fid-In",
            lambda o: fidelity_in(o.probs_in, o.target, o.threshold),
            "up",
            "Input fidelity: share of clips whose explanation alone keeps the decision.",
        ),
        Metric(
            "SPS",
            lambda o: sparseness(o.mask),
            "up",
            "Sparseness: Gini index of the mask, 0 for a constant one.",
        ),
        Metric(
            "COMP",
            lambda o: complexity(o.mask),
            "down",
            "Complexity: entropy of the mask over its sum, in nats.",
        ),
        Metric("MM", lambda o: mask_mean(o.mask), None, "Mean of the mask.", decimals=3),
        Metric(
            "AD (published)",
            _published_drop,
            "down",
            "AD after a second softmax, as in the published numbers; at most 63.",
        ),
        Metric(
            "Fid-In (audio)",
            lambda o: fidelity_in(o.probs_resynthesised, o.target, o.threshold),
            "up",
            "Share of clips whose explanation, turned into sound and analysed again, keeps the "
            "decision.",
            needs=("probs_resynthesised",),
            check=True,
        ),
        Metric(
            "distance to source",
            lambda o: log_distance(o.masked, o.clean_X),
            "down",
            "Root mean square difference of M X and the X of the target's own part.",
            needs=("masked", "clean_X"),
            check=True,
        ),
        Metric(
            "SI-SDR (dB)",
            lambda o: si_sdr(o.audio, o.clean_audio),
            "up",
            "Scale-invariant signal-to-distortion ratio of the explanation's sound to the target's "
            "own part.",
            needs=("audio", "clean_audio"),
            check=True,
        ),
    )
}


def paper_metrics() -> list[str]:
    """Names of the metrics of the paper."""
    return [name for name, metric in METRICS.items() if not metric.check]


def checks() -> list[str]:
    """Names of the checks from outside."""
    return [name for name, metric in METRICS.items() if metric.check]


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


def compute(outcome: Outcome, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Score a batch: one float64 [B] per metric name, NaN where the metric is undefined.

    Args:
        outcome: of a batch.
        names: by default all metrics for which the outcome has what they need.

    Raises:
        ValueError: for an unknown name, a metric whose needs the outcome lacks, or values that
            are not probabilities.
    """
    chosen = get_metrics(names)
    lacking = {
        name: missing
        for name, metric in chosen.items()
        if (missing := [field for field in metric.needs if getattr(outcome, field) is None])
    }
    if names is not None and lacking:
        name, missing = next(iter(lacking.items()))
        raise ValueError(f"{name} needs {' and '.join(missing)}, which this outcome lacks.")
    import torch

    with torch.no_grad():
        return {n: metric.function(outcome) for n, metric in chosen.items() if n not in lacking}
