"""Do two methods differ? Paired tests of rows, and the correction for their number."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metrics import METRICS
from metrics.tables import NOT_APPLICABLE, NOT_RANKED

LEVEL = 0.05
REFERENCE = "L-MAC"
# So many differences have 8192 combinations of signs, which are all looked at.
EXACT = 13


def signed_rank(difference):
    """Two-sided p of the Wilcoxon signed-rank test of differences [N]; zeros are left out.

    Exact for few of them even with ties, where the normal approximation promises too much.
    """
    # Here, for it takes most of a second to import.
    from scipy.stats import PermutationMethod, wilcoxon

    difference = difference[difference != 0]
    if len(difference) < 2:  # of one there is either sign, equally likely
        return 1.0
    method = PermutationMethod(n_resamples=2**EXACT) if len(difference) <= EXACT else "auto"
    return float(wilcoxon(difference, method=method).pvalue)


def holm(p):
    """p values corrected for their number (Holm 1979), in the order given."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    scaled = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(scaled, 1)
    return corrected.tolist()


def against_reference(
    rows: pd.DataFrame,
    reference: str = REFERENCE,
    metric_names: Sequence[str] | None = None,
    unit: str = "target_id",
) -> pd.DataFrame:
    """Compare every method with one of them, metric by metric, on the same clips.

    Two-sided Wilcoxon signed-rank tests. A clip is averaged over seeds first, and then the clips
    that share a ``unit`` (mixtures of one target), for they are not independent: what is tested
    are differences between these means. p values are corrected by Holm over the methods that are
    compared in one metric.

    Args:
        rows: one per clip and method, of one scenario and domain, with ``method``, ``ID``,
            ``unit`` and metrics; several rows of a clip and method are those of several seeds.
        reference: the method that others are compared with; where it is missing, in each metric
            the method with the best mean.
        metric_names: by default all metrics that have a direction. A metric is left out for a
            method to which it does not apply, and for clips where it is undefined for one of two.
        unit: the column of what is independent.

    Returns:
        One row per comparison: ``metric``, ``method``, ``reference``, ``units`` (how many are
        compared), ``difference`` (mean of method - reference), ``p``, ``p_holm``, ``significant``
        and ``better`` (whether the difference is to the metric's better side).
    """
    if metric_names is None:
        metric_names = [m for m in METRICS if m in rows and METRICS[m].better is not None]
    lines = []
    for name in metric_names:
        applies = [m for m in rows["method"].unique() if name not in NOT_APPLICABLE.get(m, ())]
        values = rows[rows["method"].isin(applies)].astype({name: float})
        clips = values.groupby(["method", unit, "ID"], sort=False)[name].mean()
        units = clips.groupby(["method", unit], sort=False).mean().unstack("method")
        units = units.dropna(axis=1, how="all")
        best = _best(units, name) if reference not in units else reference
        if best is None:
            continue
        compared = []
        for method in units.columns.drop(best):
            # Means of the same numbers in another order may differ in the last digit.
            difference = (units[method] - units[best]).dropna().round(9)
            if len(difference):
                line = {"metric": name, "method": method, "reference": best}
                line |= {"units": len(difference), "difference": difference.mean()}
                compared.append({**line, "p": signed_rank(difference.to_numpy())})
        corrected = holm([line["p"] for line in compared])
        up = METRICS[name].better == "up"
        for line, p in zip(compared, corrected, strict=True):
            better = line["difference"] > 0 if up else line["difference"] < 0
            lines.append({**line, "p_holm": p, "significant": p < LEVEL, "better": better})
    columns = ["metric", "method", "reference", "units", "difference", "p", "p_holm"]
    return pd.DataFrame(lines, columns=[*columns, "significant", "better"])


def _best(units, name):
    """The method with the best mean of a metric, None where there is none; no bound or control."""
    means = units.mean().drop(list(NOT_RANKED), errors="ignore")
    if means.empty:
        return None
    return means.idxmax() if METRICS[name].better == "up" else means.idxmin()


def footnote(tests: pd.DataFrame, seeds: int = 1) -> str:
    """What ``against_reference`` found, as a paragraph.

    Args:
        tests: from ``against_reference``, of one comparison at least.
        seeds: how many a clip was averaged over.
    """
    n = tests["units"]
    number = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    over = f"; each clip averaged over {seeds} seeds first" if seeds > 1 else ""
    text = (
        f"Paired tests on the same clips: Wilcoxon signed-rank, two-sided, of {number} targets "
        f"(clips of one target averaged{over}), corrected by Holm over the methods of a metric, "
        f"level {100 * LEVEL:g} %."
    )
    for metric, part in tests.groupby("metric", sort=False):
        groups = {
            "better": part[part["significant"] & part["better"]],
            "worse": part[part["significant"] & ~part["better"]],
            "no difference shown": part[~part["significant"]],
        }
        said = [f"{word}: {', '.join(g['method'])}" for word, g in groups.items() if len(g)]
        text += f" {metric}, against {part['reference'].iloc[0]}: {'; '.join(said)}."
    return text
