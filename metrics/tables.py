"""Summaries (see ``metrics.summary.summarise``) as CSV files and Markdown tables."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from metrics import METRICS, Metric, checks, get_metrics, paper_metrics

ARROWS = {"up": " ↑", "down": " ↓", None: ""}
# Sparsity says nothing about a mask that is constant by construction.
NOT_APPLICABLE = {"All-ones": ("SPS", "COMP")}
# Bounds and controls rather than explanation methods: never set in bold.
NOT_RANKED = ("All-ones", "Random", "Oracle")
PUBLISHED = "published (ESC-50, other classifier)"
# The authors' AD takes the softmax twice, so that theirs belongs to this column, not to AD.
PUBLISHED_COLUMN = {"AD (published)": "AD", "AD": None}
# Measured beside the metrics.
SECONDS = "s/clip"
# What a summary has for each metric: its name with these endings.
_PARTS = ("", " lo", " hi", " undefined")


@dataclass(frozen=True)
class Cell:
    """What is printed: a number or a text, its 95 % interval, and whether it is the best."""

    text: str
    interval: str = ""
    bold: bool = False


@dataclass(frozen=True)
class Block:
    """The table of one scenario and domain: heads, own rows, published rows, a footnote."""

    key: tuple
    heads: list[str]
    rows: list[list[Cell]]
    published: list[list[Cell]]
    undefined: str


def head(name: str) -> str:
    """The header of a column: its name, and an arrow where one direction is better."""
    return name + ARROWS[METRICS[name].better] if name in METRICS else name


def layout(
    summary: pd.DataFrame,
    metric_names: Sequence[str] | None = None,
    not_applicable: Mapping[str, Sequence[str]] = NOT_APPLICABLE,
    not_ranked: Sequence[str] = NOT_RANKED,
    reference: pd.DataFrame | None = None,
    reference_label: str = PUBLISHED,
    extra_columns: Sequence[str] | None = None,
) -> tuple[list[Block], str]:
    """The blocks of a table, and its legend; the arguments are those of ``to_markdown``."""
    if metric_names is None:
        metric_names = [name for name in paper_metrics() if name in summary]
    metrics = list(get_metrics(metric_names).values())
    needed = ["method", "n", *(m.name + end for m in metrics for end in _PARTS)]
    missing = [name for name in needed if name not in summary]
    if missing:
        raise ValueError(f"The summary lacks the columns {', '.join(map(repr, missing))}.")
    extra_columns = [*checks(), SECONDS] if extra_columns is None else extra_columns
    extra = [name for name in extra_columns if name in summary and name not in metric_names]
    keys = [name for name in summary.columns[: summary.columns.get_loc("n")] if name != "method"]
    tables = list(summary.groupby(keys, sort=False, dropna=False)) if keys else [((), summary)]
    heads = ["method", "n", *map(head, metric_names), *map(head, extra)]

    blocks = []
    for key, table in tables:
        best = {m.name: _best(table, m, not_applicable, not_ranked) for m in metrics}
        rows = []
        for _, row in table.iterrows():
            cells = [_cell(row, m, best[m.name], not_applicable, not_ranked) for m in metrics]
            more = [Cell("" if pd.isna(row[name]) else f"{row[name]:.3g}") for name in extra]
            rows.append([Cell(str(row["method"])), Cell(str(row["n"])), *cells, *more])
        published = []
        if reference is not None:
            for _, row in _matching(reference, dict(zip(keys, key, strict=True))).iterrows():
                cells = [Cell(_published_cell(row, m, not_applicable)) for m in metrics]
                blanks = [Cell("")] * len(extra)
                published.append([Cell(str(row["method"])), Cell(""), *cells, *blanks])
        undefined = _undefined(table, metrics, not_applicable)
        blocks.append(Block(key, heads, rows, published, undefined))
    if reference is not None and not any(block.published for block in blocks):
        raise ValueError(
            f"No published row agrees with the summary in {' and '.join(keys)}: expected "
            f"{[key for key, _ in tables]}."
        )

    legend = "Mean [95 % bootstrap interval of the mean]; ↑ higher is better, ↓ lower is better."
    unranked = [name for name in not_ranked if name in set(summary["method"])]
    legend += f" Not ranked: {', '.join(unranked)}." if unranked else ""
    if reference is not None:
        legend += (
            f' Rows that say "{reference_label}" are copied from the publication; its AD applies '
            'softmax twice and compares with "AD (published)" only.'
        )
    return blocks, legend


def to_markdown(
    summary: pd.DataFrame,
    metric_names: Sequence[str] | None = None,
    caption: str | Sequence[str] = (),
    not_applicable: Mapping[str, Sequence[str]] = NOT_APPLICABLE,
    not_ranked: Sequence[str] = NOT_RANKED,
    reference: pd.DataFrame | None = None,
    reference_label: str = PUBLISHED,
    extra_columns: Sequence[str] | None = None,
    above: Mapping[tuple, str] | None = None,
    below: Mapping[tuple, Sequence[str]] | None = None,
) -> str:
    """Print a summary in Markdown, one row per method and one table per scenario and domain.

    Cells are ``mean [95 % interval]``, empty if the metric is undefined for all clips. The best
    mean of a column, as printed, is bold, and so are those that tie with it.

    Args:
        summary: from ``summarise``; ``method`` must be one of the columns before ``n``, of
            which the others tell the tables apart.
        metric_names: the columns to print with intervals; by default all metrics of the paper that
            the summary has.
        caption: lines printed first, a paragraph each.
        not_applicable: method -> metrics that do not apply to it, printed as "n/a".
        not_ranked: methods that are never bold.
        reference: published cells, a row per method, with columns named as in the summary. Those
            that agree with a table in scenario and domain follow its own rows as printed, labelled
            and never bold. Published AD appears under "AD (published)" only.
        reference_label: what is said about them.
        extra_columns: further columns, printed without interval if the summary has them; by
            default the checks and the seconds per clip.
        above: scenario and domain of a table -> a line that is printed above it.
        below: scenario and domain of a table -> paragraphs that are printed below it.

    Raises:
        ValueError: for an unknown metric, a missing column, or a reference that fits no table.
    """
    blocks, legend = layout(
        summary, metric_names, not_applicable, not_ranked, reference, reference_label,
        extra_columns,
    )  # fmt: skip
    caption = [caption] if isinstance(caption, str) else caption
    lines = [line for text in caption for line in (text, "")]
    for block in blocks:
        if block.key:
            lines += [f"**{', '.join(map(str, block.key))}**", ""]
        if above and block.key in above:
            lines += [above[block.key], ""]
        rows = [map(_markdown, row) for row in block.rows]
        for name, *cells in block.published:
            rows.append([f"{name.text}, {reference_label}", *map(_markdown, cells)])
        lines += markdown_table(block.heads, rows)
        notes = [block.undefined, *((below or {}).get(block.key, ()))]
        lines += ["", *(line for note in notes if note for line in (note, ""))]
    return "\n".join([*lines, legend]) + "\n"


def _markdown(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.bold else cell.text
    return f"{text} {cell.interval}" if cell.interval else text


def markdown_table(
    heads: Sequence[str], rows: Iterable[Iterable], texts: Collection[int] = (0,)
) -> list[str]:
    """The lines of any Markdown table; the columns ``texts`` to the left, the others to the right.

    A "|" in a cell is escaped.
    """
    rule = ["---" if i in texts else "---:" for i in range(len(heads))]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
        for row in (heads, rule, *rows)
    ]


def _rounded(value: float, metric: Metric) -> float:
    """As printed; adding 0 turns -0.00 into 0.00."""
    return float(f"{value:.{metric.decimals}f}") + 0.0


def _applies(method: str, metric: Metric, not_applicable: Mapping[str, Sequence[str]]) -> bool:
    return metric.name not in not_applicable.get(method, ())


def _best(table: pd.DataFrame, metric: Metric, not_applicable, not_ranked) -> float | None:
    """The best mean as printed, None where there is nothing to compare."""
    means = [
        _rounded(row[metric.name], metric)
        for _, row in table.iterrows()
        if row["method"] not in not_ranked
        and _applies(row["method"], metric, not_applicable)
        and pd.notna(row[metric.name])
    ]
    if metric.better is None or len(means) < 2:
        return None
    return max(means) if metric.better == "up" else min(means)


def _cell(row: pd.Series, metric: Metric, best: float | None, not_applicable, not_ranked) -> Cell:
    if not _applies(row["method"], metric, not_applicable):
        return Cell("n/a")
    if pd.isna(row[metric.name]):
        return Cell("")
    mean, low, high = (_rounded(row[metric.name + end], metric) for end in _PARTS[:3])
    interval = f"[{low:.{metric.decimals}f}, {high:.{metric.decimals}f}]"
    return Cell(
        f"{mean:.{metric.decimals}f}",
        "" if pd.isna(row[f"{metric.name} lo"]) else interval,
        mean == best and row["method"] not in not_ranked,
    )


def _published_cell(row: pd.Series, metric: Metric, not_applicable) -> str:
    if not _applies(row["method"], metric, not_applicable):
        return "n/a"
    value = row.get(PUBLISHED_COLUMN.get(metric.name, metric.name))
    if pd.isna(value):
        return ""
    return value if isinstance(value, str) else f"{value:g}"


def _matching(reference: pd.DataFrame, key: Mapping) -> pd.DataFrame:
    for name, value in key.items():
        if name in reference:
            reference = reference[reference[name] == value]
    return reference


def _undefined(table: pd.DataFrame, metrics: Sequence[Metric], not_applicable) -> str:
    """A footnote that counts what the means leave out."""
    notes = []
    for metric in metrics:
        counts = [
            f"{row['method']} {row[metric.name + ' undefined']} of {row['n']}"
            for _, row in table.iterrows()
            if row[metric.name + " undefined"] and _applies(row["method"], metric, not_applicable)
        ]
        notes += [f"{metric.name}: {', '.join(counts)}"] if counts else []
    return f"Undefined, and left out of the mean: {'; '.join(notes)}." if notes else ""
