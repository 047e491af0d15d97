"""Means and standard deviations over folds or seeds, and their tables."""

from collections.abc import Sequence

import pandas as pd

from metrics import METRICS
from metrics.tables import NOT_APPLICABLE, head, markdown_table

# What the head of a row of one repetition says.
UNITS = {"fold": "test fold"}


def over_repeats(rows: pd.DataFrame, by: Sequence[str], unit: str = "fold") -> pd.DataFrame:
    """Mean and sample standard deviation (ddof 1) over folds, or over another ``unit``.

    Args:
        rows: one per fold, or per fold and combination of ``by``, with a column ``fold``; all
            other columns are numbers, NaN where a metric is undefined.
        by: the columns that tell the rows of the result apart; none for one row.
        unit: the column that tells the repetitions apart, "fold" or "seed".

    Returns:
        ``by``, ``folds`` (how many) and for each number ``x``: ``x`` (mean over the folds where
        it is defined), ``x SD`` (NaN for a single one) and ``x folds`` (their number).
    """
    names = rows.columns.drop([unit, *by])
    lines = []
    for key, part in rows.groupby(by, sort=False) if by else [((), rows)]:
        line = {**dict(zip(by, key, strict=True)), f"{unit}s": part[unit].nunique()}
        for name in names:
            values = part[name].dropna()
            line |= {name: values.mean(), f"{name} SD": values.std(ddof=1)}
            line[f"{name} {unit}s"] = len(values)
        lines.append(line)
    return pd.DataFrame(lines)


def to_markdown(
    rows: pd.DataFrame, summary: pd.DataFrame, by: Sequence[str], unit: str = "fold"
) -> str:
    """Print mean ± SD in Markdown.

    Args:
        rows: as for ``over_repeats``; printed too, fold by fold, where ``by`` is empty.
        summary: from ``over_repeats``.
        by, unit: as for ``over_repeats``.
    """
    names = list(rows.columns.drop([unit, *by]))
    heads = list(map(head, names))
    lines = []
    if not by:
        lines += [[f"{row[unit]:g}", *(_number(row[n], n) for n in names)]
                  for _, row in rows.iterrows()]  # fmt: skip
    for _, row in summary.iterrows():
        label = [row[b] for b in by] if by else ["mean ± SD"]
        lines.append([*label, *(_cell(row, name, unit) for name in names)])
    texts = range(len(by or " "))
    return "\n".join(markdown_table([*(by or [UNITS.get(unit, unit)]), *heads], lines, texts))


def _cell(row, name, unit):
    if name in NOT_APPLICABLE.get(row.get("method"), ()):
        return "n/a"
    if pd.isna(row[name]):
        return ""
    spread = "" if pd.isna(row[f"{name} SD"]) else f" ± {_number(row[f'{name} SD'], name)}"
    n = row[f"{name} {unit}s"]
    few = f" ({n:g} {unit}{'' if n == 1 else 's'})" if n < row[f"{unit}s"] else ""
    return _number(row[name], name) + spread + few


def _number(value, name):
    if pd.isna(value):
        return ""
    if name in METRICS:
        return f"{value:.{METRICS[name].decimals}f}"
    return f"{value:.0f}" if name.endswith(" clips") else f"{value:.3f}"
