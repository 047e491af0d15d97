"""A listening test's results for readers: Markdown and a figure."""

import matplotlib

matplotlib.use("Agg")  # figures are files; no screen is needed
from matplotlib import pyplot as plt  # noqa: E402

from lmac.io.files import whole  # noqa: E402
from lmac.pages.study.listening_test import HIDDEN_REFERENCE, RANDOM  # noqa: E402
from lmac.pages.study.responses import QUESTIONS, SCALES  # noqa: E402
from metrics.latex import table  # noqa: E402
from metrics.significance import LEVEL  # noqa: E402
from metrics.tables import Cell  # noqa: E402

NAMES = {
    HIDDEN_REFERENCE: "hidden reference (untouched input)",
    RANDOM: "random mask (hidden anchor)",
}
# Fewer listeners cannot reach p < 0.05 in an exact two-sided signed-rank test: 2 / 2^5 = 0.06.
FEWEST = 6


def study_report(manifest, ratings, listeners, scores, tests, threshold, share):
    """Everything that ``lmac.pages.study.analysis`` found, as Markdown; tables as it made them."""
    scale = manifest["scale"]
    low, high = SCALES[scale]
    kept = int(listeners["kept"].sum())
    out = listeners[listeners["reason"] != ""]
    lines = [
        f"# {_cell(manifest['title'])}: {kept} listeners",
        "",
        f"Test {manifest['test']}, scale {scale.upper()} ({low} to {high}), "
        f"{ratings['trial'].nunique()} clips, loudness "
        + ("matched (ITU-R BS.1770)" if manifest["loudness"] == "matched" else "as written")
        + f". {len(listeners)} listeners took part"
        + _devices(listeners)
        + ".",
        "",
        "## Mean opinion scores",
        "",
        "| | " + " | ".join(QUESTIONS) + " |",
        "| --- |" + " ---: |" * len(QUESTIONS),
    ]
    for condition, part in scores.groupby("condition", sort=False):
        cells = part.set_index("question").loc[list(QUESTIONS)]
        lines.append(
            f"| {_cell(NAMES.get(condition, condition))} | "
            + " | ".join(_interval(c["mean"], c["lo"], c["hi"]) for _, c in cells.iterrows())
            + " |"
        )
    lines += ["", "Mean [95 % bootstrap interval over listeners] of the listeners' means."]
    lines += [f"- {name}: {text}" for name, text in QUESTIONS.items()]
    lines += ["", "## Differences", ""]
    if tests.empty:
        lines.append("There is nothing to compare.")
    else:
        lines += [
            "| question | | | difference | p | p (Holm) | |",
            "| --- | --- | --- | ---: | ---: | ---: | --- |",
        ]
        for t in tests.itertuples():
            verdict = "significant" if t.significant else "not significant"
            pair = " | ".join(_cell(NAMES.get(c, c)) for c in (t.a, t.b))
            lines.append(
                f"| {t.question} | {pair} | {_interval(t.difference, t.lo, t.hi)} | {_p(t.p)} | "
                f"{_p(t.p_holm)} | {verdict} |"
            )
        lines += [
            "",
            "Wilcoxon signed-rank test of the listeners' means, two-sided, corrected by Holm over "
            f"the {len(tests) // len(QUESTIONS)} pairs of a question; significant: p < {LEVEL}. "
            "The hidden reference is not compared.",
        ]
        if kept < FEWEST:
            lines.append(f"With {kept} listeners (fewer than {FEWEST}) no p can be below 0.05.")
    lines += ["", "## Screening", ""]
    if out.empty:
        lines.append("Nobody was screened out.")
    for line in out.itertuples():
        fate = "kept on demand" if line.kept else "screened out"
        lines.append(f"- {line.participant}, {fate}: {line.reason}.")
    lines += [
        "",
        f"Screened out is who rates the quality of the hidden reference below {threshold:g} in "
        f"more than {100 * share:g} % of the clips (after ITU-R BS.1534-3), or on average no "
        "better than that of the random mask, or gives one answer to everything.",
    ]
    return "\n".join(lines) + "\n"


def _devices(listeners):
    """What they listened with, where it was asked."""
    counts = listeners[listeners["device"] != ""]["device"].value_counts(sort=False)
    return "".join(f", {n} with {device}" for device, n in sorted(counts.items()))


def latex_tables(manifest, scores, tests):
    """The tables "scores" and "significance" in LaTeX, as a dict; with the numbers of the report.

    Arguments
    ---------
    manifest : dict
    scores, tests : DataFrame
        Of ``score_table`` and ``significance_table``.
    """
    low, high = SCALES[manifest["scale"]]
    listeners = scores["listeners"].max()
    means = []
    for condition, part in scores.groupby("condition", sort=False):
        cells = part.set_index("question").loc[list(QUESTIONS)]
        numbers = [_number(c["mean"], c["lo"], c["hi"]) for _, c in cells.iterrows()]
        means.append([Cell(NAMES.get(condition, condition)), *numbers])
    about = [f"{name}: {text}" for name, text in QUESTIONS.items()]
    made = {
        "scores": table(
            ["method", *QUESTIONS],
            means,
            f"{manifest['title']}: mean opinion scores from {low} to {high} of {listeners} "
            "listeners, with 95 % bootstrap intervals over listeners.",
            "study-scores",
            about,
        )
    }
    made["significance"] = table(
        ["question", "", "", "difference", "p (Holm)"],
        [
            [
                Cell(t.question),
                *(Cell(NAMES.get(c, c)) for c in (t.a, t.b)),
                _number(t.difference, t.lo, t.hi),
                Cell(_p(t.p_holm), bold=bool(t.significant)),
            ]
            for t in tests.itertuples()
        ],
        f"{manifest['title']}: differences of mean opinion scores, Wilcoxon signed-rank tests of "
        f"{listeners} listeners' means, two-sided, corrected by Holm; bold: p < {LEVEL}.",
        "study-significance",
        left=3,
    )
    return made


def _number(mean, low, high):
    """A cell with its interval, in which one listener has none."""
    return Cell(f"{mean:.2f}", "" if low != low else f"[{low:.2f}, {high:.2f}]")


def _interval(mean, low, high):
    text = f"{mean:.2f}"
    return text if low != low else f"{text} [{low:.2f}, {high:.2f}]"


def _p(value):
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _cell(text):
    """Text that stays text in a Markdown table."""
    for old, new in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(old, new)
    return text


def score_figure(scores, scale, path):
    """Scores of each condition with their intervals, one panel a question, as a PNG."""
    low, high = SCALES[scale]
    conditions = list(scores["condition"].unique())[::-1]
    figure, axes = plt.subplots(
        1, len(QUESTIONS), figsize=(10, 1.6 + 0.45 * len(conditions)), sharey=True,
        layout="constrained",
    )  # fmt: skip
    for axis, (question, part) in zip(axes, scores.groupby("question", sort=False), strict=True):
        part = part.set_index("condition").loc[conditions]
        for y, (condition, line) in enumerate(part.iterrows()):
            colour = "0.55" if condition in NAMES else "C0"
            if line["lo"] == line["lo"]:  # one listener has no interval
                axis.plot([line["lo"], line["hi"]], [y, y], color=colour, lw=3, alpha=0.5)
            axis.plot(line["mean"], y, "o", color=colour)
        # Names are text: a "$" in them is no formula.
        labels = [NAMES.get(c, c).replace("$", r"\$") for c in conditions]
        axis.set_yticks(range(len(conditions)), labels)
        axis.set(xlim=(low, high), ylim=(-0.6, len(conditions) - 0.4), title=question)
        axis.set_xlabel(f"mean opinion score ({scale.upper()}) with 95 % interval")
        axis.grid(axis="x", alpha=0.3)
    with whole(path, sync=False) as file:
        figure.savefig(file, format="png", dpi=120)
    plt.close(figure)
