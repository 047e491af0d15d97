"""LaTeX tables: they hold together as LaTeX, and say what the Markdown says."""

import shutil
import subprocess

import pandas as pd
import pytest
from latex import plain, tabulars, unescaped

from metrics.latex import escape, to_latex
from metrics.tables import to_markdown

NASTY = 'a_b & 50 % of #1 {x} ~ ^ \\ <y> | "quoted" $5 ↑ → − × … λ'


def line(method, domain="stft", **means):
    row = {"scenario": "white_noise", "domain": domain, "method": method, "n": 80}
    for name, mean in means.items():
        row |= {name: mean, f"{name} lo": mean - 1, f"{name} hi": mean + 2, f"{name} undefined": 0}
    return row


@pytest.fixture
def summary():
    table = pd.DataFrame(
        [
            line("L-MAC_x & 5 %", AI=60.5, SPS=0.9),
            line("IG", AI=2.0, SPS=0.5),
            line("All-ones", AI=0.0, SPS=0.5),
            line("IG", domain="mel", AI=3.0, SPS=0.4),
        ]
    )
    table.loc[1, "SPS undefined"] = 7
    return table


@pytest.fixture
def reference():
    return pd.DataFrame(
        {"scenario": ["white_noise"], "domain": ["stft"], "method": ["L2I"], "AI": ["0.50"]}
    )


def test_nothing_that_latex_acts_on_is_left():
    assert unescaped(NASTY) and not unescaped(escape(NASTY))
    assert escape("86.2 % of x_1 & y") == r"86.2\,\% of x\_1 \& y"
    assert escape('say "AD" twice, "AI" once') == "say ``AD'' twice, ``AI'' once"
    assert escape("\\{") == r"\textbackslash{}\{"


def test_every_character_by_hand():
    pairs = zip(
        "& % $ # _ { } ~ ^ < > | ↑ ↓ → − × ± · ² – … λ ‖ \\ `".split(),
        r"""\& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{} $<$ $>$ $|$ $\uparrow$
        $\downarrow$ $\rightarrow$ $-$ $\times$ $\pm$ $\cdot$ $^2$ -- \ldots{} $\lambda$ $\|$
        \textbackslash{} '""".split(),
        strict=True,
    )
    for character, printed in pairs:
        assert escape(f"a{character}b") == f"a{printed}b"
    assert escape("LaTeX") == "LaTeX"


def test_the_whole_table():
    table = pd.DataFrame([line("IG", AI=2.0), line("Saliency", AI=3.0)])
    table["s/clip"] = [0.5, 0.25]
    reference = pd.DataFrame({"scenario": ["white_noise"], "domain": ["stft"], "method": ["L2I"]})
    text = to_latex(
        table, "Our AI", "tab:ai x", notes=["One."], below={("white_noise", "stft"): ["Two."]},
        reference=reference.assign(AI="0.50"), reference_label="theirs", extra_columns=["s/clip"],
    )  # fmt: skip
    expected = r"""% Needs \usepackage{booktabs}, \usepackage{graphicx}, and UTF-8 input.
\begin{table*}
\centering
\caption{Our AI}
\label{tab:ai-x}
\resizebox{\textwidth}{!}{%
\begin{tabular}{lrrr}
\toprule
method & n & AI $\uparrow$ & s/clip \\
\midrule
\multicolumn{4}{l}{white\_noise, stft} \\
\addlinespace
IG & 80 & 2.00 {\tiny [1.00, 4.00]} & 0.5 \\
Saliency & 80 & \textbf{3.00} {\tiny [2.00, 5.00]} & 0.25 \\
\addlinespace
\multicolumn{4}{l}{\emph{theirs}} \\
\textit{L2I} &  & \textit{0.50} &  \\
\bottomrule
\end{tabular}}
\par\medskip\raggedright\footnotesize
One.\par
Mean [95\,\% bootstrap interval of the mean]; $\uparrow$ higher is better, $\downarrow$ lower is@
better. Rows that say ``theirs'' are copied from the publication; its AD applies softmax twice and@
compares with ``AD (published)'' only.\par
white\_noise, stft: Two.\par
\end{table*}
"""
    assert text == expected.replace("@\n", " ")  # long lines


def test_a_summary_by_method_alone_has_no_heading():
    table = pd.DataFrame([line("IG", AI=2.0)]).drop(columns=["scenario", "domain"])
    table["AI undefined"] = 3
    text = to_latex(table, "c", "l")
    assert "\\midrule\nIG & 80" in text
    assert "\nUndefined, and left out of the mean: AI: IG 3 of 80.\\par\n" in text


def test_every_row_has_all_columns(summary, reference):
    text = to_latex(summary, NASTY, "tab:a_b", notes=[NASTY], reference=reference)
    ((columns, rows),) = tabulars(text)
    assert columns == 4
    assert [sum(span for _, span in row) for row in rows] == [columns] * len(rows)
    assert r"\label{tab:a-b}" in text


def test_the_reader_notices_a_missing_cell_and_an_open_brace(summary):
    """The check above can fail."""
    text = to_latex(summary, "c", "l")
    ((columns, rows),) = tabulars(text.replace("IG & ", "IG ", 1))
    assert {sum(span for _, span in row) for row in rows} != {columns}
    with pytest.raises(AssertionError):
        tabulars(text.replace(r"\toprule", r"\toprule}"))


def test_cells_are_those_of_the_markdown(summary, reference):
    ((_, rows),) = tabulars(to_latex(summary, "c", "l", reference=reference))
    latex = [[plain(raw) for raw, _ in row] for row in rows if len(row) > 1]
    markdown = [
        [c.strip().replace("**", "") for c in row.strip("|").split(" | ")]
        for row in to_markdown(summary, reference=reference).splitlines()
        if row.startswith("|") and "---" not in row
    ]
    named = [[row[0].split(", published")[0], *row[1:]] for row in markdown]
    assert latex == named[:5] + named[6:]  # one head for both blocks
    bold = [raw for row in rows for raw, _ in row if r"\textbf" in raw]
    assert [plain(raw) for raw in bold] == ["60.50 [59.50, 62.50]", "0.90 [-0.10, 2.90]"]


def test_published_rows_are_labelled_italic_and_never_bold(summary, reference):
    ((_, rows),) = tabulars(to_latex(summary, "c", "l", reference=reference.assign(AI="99.9")))
    heads = [plain(row[0][0]) for row in rows]
    at = heads.index("published (ESC-50, other classifier)")
    assert heads[at + 1] == "L2I" and heads[at - 1] == "All-ones"
    assert rows[at + 1][2][0] == r"\textit{99.9}"


def test_headings_and_notes(summary):
    text = to_latex(
        summary, "c", "l", notes=["general"], above={("white_noise", "mel"): "Mel: 38.6 %"},
        below={("white_noise", "mel"): ["special"]},
    )  # fmt: skip
    assert r"{Mel: 38.6\,\%}" in text and "{white\\_noise, stft}" in text
    assert "white\\_noise, mel: special\\par" in text and "\ngeneral\\par" in text
    assert "SPS: IG 7 of 80" in text
    assert text.count("general") == 1


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_it_compiles(summary, reference, tmp_path):
    text = to_latex(summary, NASTY, "tab:a_b", notes=[NASTY], reference=reference)
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage{booktabs,graphicx}"
        f"\\begin{{document}}{text}\\end{{document}}",
        encoding="utf-8",
    )
    subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
