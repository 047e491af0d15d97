"""From one row per clip to one row per method: means, bootstrap intervals, undefined counts."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from metrics import METRICS

# Draws held in memory at a time; 4 million are 64 MB.
CHUNK = 4_000_000


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: Sequence | np.ndarray | None = None,
    crossed: Sequence | np.ndarray | None = None,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean; does not depend on the order of the values.

    Where values share two things, say a target clip and a contaminant, both are resampled. With
    the variances of the mean when whole targets (t), whole contaminants (c) and their pairs (p)
    are resampled, that of the mean is ``V = V_t + V_c - V_p`` (Cameron, Gelbach and Miller, 2011),
    and the interval of the targets is stretched about the mean by ``sqrt(V / V_t)``. Resampling
    both at once (Owen, 2007) counts what belongs to neither three times; in simulations its 95 %
    intervals covered 99 %, these 92 to 95 %, and those of the targets alone 79 to 95 %.

    Args:
        values: one per clip [N]; NaN (undefined) is left out.
        n_boot: number of resamples.
        level: coverage, between 0 and 1.
        seed: of the resampling.
        groups: what each value belongs to [N]. Values that share, say, a target clip are not
            independent, so whole groups are resampled (cluster bootstrap) and not values.
        crossed: another thing that each value belongs to [N], across the groups; None or NaN for
            a value that shares it with no other. Without a spread that could be seen, for there
            is one such thing only, the interval cannot account for it.

    Returns:
        (low, high), within the range of the values; both NaN with fewer than two independent
        values, which have no spread.

    Raises:
        ValueError: for a level or n_boot out of range, groups that are missing or do not fit.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or n_boot < 1 or not 0 < level < 1:
        raise ValueError("Expected values [N], n_boot of 1 or more and a level between 0 and 1.")
    defined = ~np.isnan(values)
    labels = None
    if groups is not None:
        labels = pd.Series(groups).to_numpy()
        if len(labels) != len(values) or pd.isna(labels).any():
            raise ValueError(f"Expected a group for each of the {len(values)} values.")
        labels = labels[defined]
    if crossed is not None and len(crossed) != len(values):
        raise ValueError(f"Expected {len(values)} entries of crossed, got {len(crossed)}.")

    values = values[defined]
    means = _resampled(values, labels, n_boot, seed)
    if means is None:
        return np.nan, np.nan
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    other = None if crossed is None else _shared(pd.Series(crossed).to_numpy()[defined])
    if other is not None:
        pairs = (
            other if labels is None else [f"{g}|{c}" for g, c in zip(labels, other, strict=True)]
        )
        by_other = _resampled(values, other, n_boot, seed)
        of_pairs = _resampled(values, np.array(pairs), n_boot, seed)
        if by_other is not None and means.var() == 0:
            # All targets have one mean: what spread there is comes from what they share.
            low, high = np.quantile(by_other, [tail, 1 - tail])
        elif by_other is not None:
            parts = means.var(), by_other.var(), of_pairs.var()
            # Sampling noise may make the sum less than either part, which it cannot be.
            stretch = np.sqrt(max(parts[0] + parts[1] - parts[2], *parts[:2]) / parts[0])
            mean = values.mean()
            low = max(values.min(), mean + stretch * (low - mean))
            high = min(values.max(), mean + stretch * (high - mean))
    return float(low), float(high)


def _resampled(values, labels, n_boot, seed):
    """Means [n_boot] of resampled groups (None: values); None with fewer than two of them."""
    if labels is None:
        # Sorted, so that rows written in another order (several processes) give the same.
        sums = np.sort(values)
        counts = np.ones(len(sums))
    else:
        codes, _ = pd.factorize(labels, sort=True)
        sums, counts = np.bincount(codes, weights=values), np.bincount(codes)
    if len(sums) < 2:
        return None
    rng = np.random.default_rng(seed)
    means = []
    rows = max(1, CHUNK // len(sums))
    for start in range(0, n_boot, rows):
        size = (min(rows, n_boot - start), len(sums))
        drawn = rng.integers(len(sums), size=size)
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)


def _shared(labels):
    """``labels`` as strings, those that are missing made unique; None when no two are equal."""
    missing = pd.isna(labels)
    named = [f"={name}" for name in labels]
    unique = [f"#{i}" for i in range(len(labels))]
    labels = np.where(missing, unique, named)
    return labels if len(set(labels)) < len(labels) else None


def summarise(
    rows: pd.DataFrame,
    by: str | Sequence[str] = ("scenario", "domain", "method"),
    metric_names: Sequence[str] | None = None,
    group_column: str | None = "target_id",
    crossed_column: str | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Average the rows of each method.

    Args:
        rows: one per explained clip, with the columns named by the other arguments.
        by: the columns that tell the rows of the result apart.
        metric_names: columns to average, metrics or any other number (such as seconds per
            clip); by default all metrics that ``rows`` has.
        group_column: the clips that share a value here are not independent, as the mixtures
            made from one target clip (see ``bootstrap_interval``); None if all clips are.
        crossed_column: the same, for what is shared across those groups, as a contaminant; rows
            with an empty cell share it with no other.
        n_boot: number of resamples for the 95 % intervals.
        seed: of the resampling; all methods get the same.

    Returns:
        One row per combination of ``by``, in order of first appearance, with the columns
        ``by``, ``n`` (clips), and for each metric ``m``: ``m`` (mean of the defined values, NaN
        if none is), ``m lo``, ``m hi`` (95 % interval) and ``m undefined`` (number of NaN).

    Raises:
        ValueError: if there are no rows, or columns are missing.
    """
    if rows.empty:
        raise ValueError("There are no rows to summarise.")
    by = [by] if isinstance(by, str) else list(by)
    if metric_names is None:
        metric_names = [name for name in METRICS if name in rows]
        if not metric_names:
            raise ValueError(f"The rows have none of the metrics {', '.join(METRICS)}.")
    grouped = [name for name in (group_column, crossed_column) if name is not None]
    missing = [name for name in (*by, *metric_names, *grouped) if name not in rows]
    if missing:
        raise ValueError(
            f"The rows lack the columns {', '.join(map(repr, missing))}; "
            f"they have {', '.join(map(str, rows.columns))}."
        )

    summary = []
    # dropna=False: rows with an empty key are kept, not silently lost.
    for key, part in rows.groupby(by, sort=False, dropna=False):
        line = dict(zip(by, key, strict=True), n=len(part))
        groups = None if group_column is None else part[group_column]
        crossed = None if crossed_column is None else part[crossed_column]
        for name in metric_names:
            values = pd.to_numeric(part[name]).to_numpy(dtype=float, na_value=np.nan)
            defined = values[~np.isnan(values)]
            line[name] = defined.mean() if len(defined) else np.nan
            line[f"{name} lo"], line[f"{name} hi"] = bootstrap_interval(
                values, n_boot=n_boot, seed=seed, groups=groups, crossed=crossed
            )
            line[f"{name} undefined"] = len(values) - len(defined)
        summary.append(line)
    return pd.DataFrame(summary)


def with_interval(row: Mapping, name: str, decimals: int = 2) -> str:
    """``mean [low, high]`` of column ``name`` in a row of ``summarise``, "" where undefined."""
    mean, low, high = (row[name + end] for end in ("", " lo", " hi"))
    text = "" if np.isnan(mean) else f"{mean:.{decimals}f}"
    return text + ("" if np.isnan(low) else f" [{low:.{decimals}f}, {high:.{decimals}f}]")
