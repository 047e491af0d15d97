"""Summaries as LaTeX tables (booktabs), from the same cells as the Markdown ones."""

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from metrics.tables import PUBLISHED, Cell, layout

PREAMBLE = r"% Needs \usepackage{booktabs}, \usepackage{graphicx}, and UTF-8 input."
PREAMBLE_NARROW = r"% Needs \usepackage{booktabs}, and UTF-8 input."
_ESCAPES = {
    **{c: "\\" + c for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{"<": "$<$", ">": "$>$", "|": "$|$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"},
    **{"→": r"$\rightarrow$", "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "·": r"$\cdot$"},
    **{"²": "$^2$", "–": "--", "…": r"\ldots{}", "λ": r"$\lambda$", "‖": r"$\|$"},
}


def escape(text: str) -> str:
    """``text`` such that LaTeX prints it literally; straight quotes become typographic ones."""
    text = re.sub(r'"([^"]*)"', "``\\1''", text.replace("`", "'"))
    marked = "".join(_ESCAPES.get(c, c) for c in text)
    return re.sub(r"(?<=\d) (?=\\%)", r"\\,", marked)


def to_latex(
    summary: pd.DataFrame,
    caption: str,
    label: str,
    above: Mapping[tuple, str] | None = None,
    notes: Sequence[str] = (),
    below: Mapping[tuple, Sequence[str]] | None = None,
    reference: pd.DataFrame | None = None,
    reference_label: str = PUBLISHED,
    **options,
) -> str:
    """Print a summary as one ``table*``, a block of rows per scenario and domain.

    Intervals are tiny; published rows stand below a line that labels them, in italics.

    Args:
        summary: from ``metrics.summary.summarise``.
        caption: of the table.
        label: for ``\\ref``.
        above: scenario and domain -> heading of a block, by default their names.
        notes: paragraphs below the table.
        below: scenario and domain -> paragraphs below the table that concern a block.
        reference: published cells, as in ``metrics.tables.to_markdown``.
        reference_label: what is said about them.
        **options: further arguments of ``metrics.tables.layout``.

    Raises:
        ValueError: as ``to_markdown``.
    """
    blocks, legend = layout(
        summary, reference=reference, reference_label=reference_label, **options
    )
    heads = blocks[0].heads
    footnotes = [*notes, legend]
    lines = [
        PREAMBLE,
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{{re.sub(r'[^A-Za-z0-9:-]', '-', label)}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        _row(map(escape, heads)),
    ]
    for block in blocks:
        heading = (above or {}).get(block.key, ", ".join(map(str, block.key)))
        lines.append(r"\midrule")
        if heading:
            lines += [_span(len(heads), escape(heading)), r"\addlinespace"]
        lines += [_row(map(_latex, row)) for row in block.rows]
        if block.published:
            lines += [r"\addlinespace", _span(len(heads), rf"\emph{{{escape(reference_label)}}}")]
            lines += [_row(map(_italic, row)) for row in block.published]
        own = [block.undefined, *(below or {}).get(block.key, ())]
        name = f"{', '.join(map(str, block.key))}: " if block.key else ""
        footnotes += [name + note for note in own if note]
    lines += [r"\bottomrule", r"\end{tabular}}", r"\par\medskip\raggedright\footnotesize"]
    lines += [escape(note) + r"\par" for note in footnotes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    caption: str,
    label: str,
    notes: Sequence[str] = (),
    left: int = 1,
) -> str:
    """Print any rows as one ``table`` of a column's width.

    Args:
        heads: of the columns.
        rows: a cell for each of ``heads``; intervals are tiny.
        caption: of the table.
        label: for ``\\ref``.
        notes: paragraphs below the table.
        left: how many columns, the first ones, are set to the left.
    """
    lines = [
        PREAMBLE_NARROW,
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{'l' * left}{'r' * (len(heads) - left)}}}",
        r"\toprule",
        _row(map(escape, heads)),
        r"\midrule",
        *(_row(map(_latex, row)) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if notes:
        lines.append(r"\par\medskip\raggedright\footnotesize")
    lines += [escape(note) + r"\par" for note in notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _span(columns: int, text: str) -> str:
    return rf"\multicolumn{{{columns}}}{{l}}{{{text}}} \\"


def _latex(cell: Cell) -> str:
    text = escape(cell.text)
    text = rf"\textbf{{{text}}}" if cell.bold else text
    return rf"{text} {{\tiny {escape(cell.interval)}}}" if cell.interval else text


def _italic(cell: Cell) -> str:
    return rf"\textit{{{escape(cell.text)}}}" if cell.text else ""
