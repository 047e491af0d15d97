"""Does L-MAC lead every table that is kept here, and where not? For docs/results.md.

    python -m benchmarks.leads

Reads summary.csv, metrics.csv.gz and audit.csv of recipes/*/results/*, computes nothing anew,
rewrites the marked tables of docs/results.md and the pictures in docs/results/.
"""

from fnmatch import fnmatch
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from lmac.evaluation.folder import EvaluationFolder
from metrics import METRICS
from metrics.significance import against_reference
from metrics.tables import NOT_RANKED, head, markdown_table

ROOT = Path(__file__).resolve().parents[1]
PAGE, FOLDER = ROOT / "docs" / "results.md", ROOT / "docs" / "results"
METRIC_NAMES = ("AI", "AD", "AG", "FF", "Fid-In")
OURS = ("L-MAC", "L-MAC FT", "L-MAC refined")
AT_BEST = ("at its best", "Loudest cells")
DRAWN = (*OURS, "GradCAM", "L2I", "Random", "Oracle")
# Other decoders beside those of a recipe, and another kind of table.
LEFT_OUT = ("ESC10_conditional/*", "zero_shot/*", "ESC10/decoder_input_*", "ESC10/transfer_*",
            "planted_cues/*")  # fmt: skip


def summaries():
    """Evaluation, as "ESC10/mixtures_stft", to its summary by method, in order of the names."""
    found = {}
    for path in sorted((ROOT / "recipes").glob("*/results/*/summary.csv")):
        name = f"{path.parts[-4]}/{path.parts[-2]}"
        if not any(fnmatch(name, left_out) for left_out in LEFT_OUT):
            found[name] = pd.read_csv(path).set_index("method")
    return found


def best_baseline(summary, metric):
    """Name of the best method in its published form that is neither ours nor a control."""
    left = [m for m in summary.index if m.startswith("L-MAC") or m.endswith(AT_BEST)]
    others = summary.drop(index=[*left, *NOT_RANKED], errors="ignore")[metric].dropna()
    return others.idxmax() if METRICS[metric].better == "up" else others.idxmin()


def leads(summary, method, metric):
    """Whether ``method`` is better than every baseline."""
    ours, theirs = summary.loc[[method, best_baseline(summary, metric)], metric]
    return bool(ours > theirs if METRICS[metric].better == "up" else ours < theirs)


def table(found, tests):
    """Lines of Markdown: a row per evaluation, L-MAC (best baseline).

    Arguments
    ---------
    found : dict
        Evaluation to its summary by method.
    tests : callable
        Of an evaluation's name: what ``metrics.significance.against_reference`` finds there.
    """
    rows = []
    for name, summary in found.items():
        compared = tests(name).set_index(["metric", "method"])["significant"]
        cells = []
        for metric in METRIC_NAMES:
            decimals, best = METRICS[metric].decimals, best_baseline(summary, metric)
            ours = f"{summary.loc['L-MAC', metric]:.{decimals}f}"
            if leads(summary, "L-MAC", metric):
                ours = f"**{ours}**" if compared[metric, best] else f"{ours}°"
            cells.append(f"{ours} ({summary.loc[best, metric]:.{decimals}f})")
        rows.append([_link(name), *cells])
    return markdown_table(["evaluation", *map(head, METRIC_NAMES)], rows)


def paired_tests(name):
    """Of L-MAC against every other method of an evaluation."""
    return against_reference(EvaluationFolder(_file(name, "")).rows(), metric_names=METRIC_NAMES)


def _link(name, page="table"):
    recipe, folder = name.split("/")
    return f"[{name}](../recipes/{recipe}/results/{folder}/{page}.md)"


def _file(name, file):
    """A published file of an evaluation."""
    recipe, folder = name.split("/")
    return ROOT / "recipes" / recipe / "results" / folder / file


def convinces(audit, method, network):
    """Whether masks of ``method`` convince another network as often as the best baseline's do, and
    as often as their own values in random cells."""
    column, own = f"Fid-In ({network})", audit.loc[method]
    rivals = audit[column].drop(index=[*OURS, *NOT_RANKED], errors="ignore")
    return bool(own[column] >= max(rivals.max(), own[f"Fid-In random ({network})"]))


def _beside_random(audit, method, name, network, decimals):
    """``name`` under ``network`` (the same of random cells); empty where nothing was asked."""
    kept, random = (
        audit[f"{column} ({network})"].get(method) for column in (name, f"{name} random")
    )
    if kept is None or pd.isna(kept):
        return ""
    kept = f"{kept:.{decimals}f}"
    bold = name == "Fid-In" and method in OURS and convinces(audit, method, network)
    return f"{f'**{kept}**' if bold else kept} ({random:.{decimals}f})"


def _of_audits(found, name, clips, decimals):
    """Lines of Markdown: a row per audited evaluation and other network that has ``name``."""
    shown, rows = ("L-MAC", "L-MAC FT", "GradCAM", "Oracle"), []
    mixtures = [e for e in found if e.endswith("/mixtures_stft")]
    for evaluation in (e for e in mixtures if _file(e, "audit.csv").is_file()):
        audit = pd.read_csv(_file(evaluation, "audit.csv")).set_index("method")
        for network in [c[3:-1] for c in audit if c.startswith("n (")]:
            if f"{name} ({network})" in audit:
                cells = [_beside_random(audit, m, name, network, decimals) for m in shown]
                n = audit[f"{clips} ({network})"].iloc[0]
                rows.append([_link(evaluation, "audit"), network, n, *cells])
    return markdown_table(["evaluation", "shown to", "clips", *shown], rows)


def transfer(found):
    """Fid-In under other networks, on the clips that they decide alike (random cells)."""
    return _of_audits(found, "Fid-In", "n", 2)


def wrong_decisions(found):
    """Percent of wrong decisions that only the explanation makes them share (random cells)."""
    return _of_audits(found, "wrong decision", "n wrong decision", 0)


TABLES = {
    "leads": lambda found: table(found, paired_tests),
    "transfer": transfer,
    "wrong decisions": wrong_decisions,
}


def with_tables(text, found):
    """``text`` of the page with the tables below the marks ``<!-- leads -->``, … made anew."""
    for name, make in TABLES.items():
        before, after = text.split(f"<!-- {name} -->\n")
        rest = after.splitlines(keepends=True)
        while rest and rest[0].startswith("|"):
            rest.pop(0)
        text = f"{before}<!-- {name} -->\n" + "\n".join(make(found)) + "\n" + "".join(rest)
    return text


def bars(found, metric, path):
    """A panel per evaluation, a bar with its 95 % interval for each method, as a PNG."""
    columns = 4
    n_rows = -(-len(found) // columns)
    figure, axes = plt.subplots(
        n_rows, columns, figsize=(2.6 * columns, 1.6 * n_rows), sharex=True, sharey=True,
        layout="constrained",
    )  # fmt: skip
    for axis in axes.flat[len(found) :]:
        axis.axis("off")
    for axis, (name, summary) in zip(axes.flat, found.items(), strict=False):
        part = summary.reindex(list(DRAWN))
        mean, low, high = (part[f"{metric}{end}"] for end in ("", " lo", " hi"))
        spans = [(mean - low).clip(lower=0).fillna(0), (high - mean).clip(lower=0).fillna(0)]
        colours = [*["C0"] * len(OURS), *["C1"] * 2, *["0.7"] * 2]
        axis.barh(range(len(DRAWN)), mean.fillna(0), xerr=spans, color=colours,
                  error_kw={"linewidth": 1})  # fmt: skip
        axis.set_title(name, fontsize=7)
        axis.tick_params(labelsize=7)
    axes.flat[0].set_yticks(range(len(DRAWN)), DRAWN)
    axes.flat[0].invert_yaxis()
    figure.suptitle(head(metric), fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def main():
    found = summaries()
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    for metric in ("AI", "AG"):
        bars(found, metric, FOLDER / f"{metric}.png")


if __name__ == "__main__":
    main()
