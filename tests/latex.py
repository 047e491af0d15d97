"""A small reader of LaTeX tables, for tests alone: it shares nothing with what writes them."""

import re

SPECIAL = set("&%$#_{}~^\\")


def uncommented(text):
    return re.sub(r"(?<!\\)%.*\n", "\n", text)


def tabulars(text):
    """Every tabular: number of columns, and rows as lists of (raw cell, columns it spans).

    Raises AssertionError where braces or environments do not match.
    """
    text = uncommented(text)
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0, "closing brace too many"
    assert depth == 0, "a brace is not closed"
    open_environments = []
    for what, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", text):
        if what == "begin":
            open_environments.append(name)
        else:
            assert open_environments.pop() == name
    assert not open_environments
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0, "a formula is not closed"
    found = []
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{([lrc]+)\}(.*?)\\end\{tabular\}", text, re.S
    ):
        body = re.sub(r"\\(toprule|midrule|bottomrule|addlinespace)\b", "", body)
        lines = [line for line in re.split(r"\\\\", body) if line.strip()]
        found.append((len(columns), [_cells(line) for line in lines]))
    return found


def _cells(line):
    cells = []
    for raw in re.split(r"(?<!\\)&", line):
        span = re.match(r"\s*\\multicolumn\{(\d+)\}", raw)
        cells.append((raw.strip(), int(span[1]) if span else 1))
    return cells


def plain(raw):
    """A cell as a reader sees it; intervals included, commands gone."""
    raw = re.sub(r"\\multicolumn\{\d+\}\{[lrc]\}", "", raw)
    raw = re.sub(r"\\(textbf|textit|emph|tiny)\b", "", raw)
    raw = raw.replace(r"$\rightarrow$", "→").replace(r"$\uparrow$", "↑")
    raw = raw.replace(r"$\downarrow$", "↓").replace(r"\,", " ")
    raw = " ".join(re.sub(r"(?<!\\)[{}]", "", raw).split())
    return re.sub(r"\\([&%$#_{}])", r"\1", raw).strip()


def unescaped(text):
    """Characters that LaTeX would act on, in a text without commands."""
    bare = re.sub(r"\\[&%$#_{},]", "", text)
    bare = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum|ldots)\{\}", "", bare)
    bare = re.sub(r"\$[^$]*\$", "", bare)
    return SPECIAL & set(bare)
