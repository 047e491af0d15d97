"""Means and standard deviations over the folds of a cross-validation, and their tables."""

from collections.abc import Sequence

import pandas as pd

from metrics import METRICS
from metrics.tables import head, markdown_table


def over_folds(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean and sample standard deviation (ddof 1) over folds.

    Args:
        rows: one per fold, or per fold and combination of ``by``, with a column ``fold``; all
            other columns are numbers, NaN where a metric is undefined.
        by: the columns that tell the rows of the result apart; none for one row.

    Returns:
        ``by``, ``folds`` (how many) and for each number ``x``: ``x`` (mean over the folds where
        it is defined), ``x SD`` (NaN for a single one) and ``x folds`` (their number).
    """
    names = rows.columns.drop(["fold", *by])
    lines = []
    for key, part in rows.groupby(by, sort=False) if by else [((), rows)]:
        line = dict(zip(by, key, strict=True), folds=part["fold"].nunique())
        for name in names:
            values = part[name].dropna()
            line |= {name: values.mean(), f"{name} SD": values.std(ddof=1)}
            line[f"{name} folds"] = len(values)
        lines.append(line)
    return pd.DataFrame(lines)


def to_markdown(rows: pd.DataFrame, summary: pd.DataFrame, by: Sequence[str]) -> str:
    """Print mean ± SD in Markdown.

    Args:
        rows: as for ``over_folds``; printed too, fold by fold, where ``by`` is empty.
        summary: from ``over_folds``.
        by: as for ``over_folds``.
    """
    names = list(rows.columns.drop(["fold", *by]))
    heads = list(map(head, names))
    lines = []
    if not by:
        lines += [[f"{row['fold']:g}", *(_number(row[n], n) for n in names)]
                  for _, row in rows.iterrows()]  # fmt: skip
    for _, row in summary.iterrows():
        label = [row[b] for b in by] if by else ["mean ± SD"]
        lines.append([*label, *(_cell(row, name) for name in names)])
    texts = range(len(by or " "))
    return "\n".join(markdown_table([*(by or ["test fold"]), *heads], lines, texts))


def _cell(row, name):
    if pd.isna(row[name]):
        return ""
    spread = "" if pd.isna(row[f"{name} SD"]) else f" ± {_number(row[f'{name} SD'], name)}"
    n = row[f"{name} folds"]
    few = f" ({n:g} fold{'' if n == 1 else 's'})" if n < row["folds"] else ""
    return _number(row[name], name) + spread + few


def _number(value, name):
    if pd.isna(value):
        return ""
    if name in METRICS:
        return f"{value:.{METRICS[name].decimals}f}"
    return f"{value:.0f}" if name.endswith(" clips") else f"{value:.3f}"
