"""One table of the paper from evaluations that are there: our rows, published rows, footnotes."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lmac.evaluation.files import RANDOMISATION
from lmac.evaluation.folder import EvaluationFolder, in_order
from lmac.io.files import write_csv, write_text
from metrics.latex import to_latex
from metrics.published import quirks
from metrics.ranks import RANK_CORRELATION
from metrics.summary import summarise, with_interval
from metrics.tables import to_markdown

DOMAINS = {"stft": "Listenable (STFT→Mel)", "mel": "Not listenable (Mel)"}


@dataclass
class Evaluation:
    """What a table takes from the folder of one scenario and domain.

    ``key`` is (scenario, domain), ``statement`` the paragraphs that a reader must know, ``missing``
    says in words what was not evaluated; ``setting`` is what the rows were computed with.
    """

    key: tuple
    summary: pd.DataFrame
    statement: list
    accuracy: float
    confidence: float
    setting: dict
    missing: list
    notes: list


def read_evaluation(folder, scenario, domain, methods, n_boot):
    """The :class:`Evaluation` in ``folder``, None where there is none.

    Arguments
    ---------
    folder : path
        Output folder of ``eval_explanations.py``.
    scenario, domain : str
        ValueError when the rows are of others.
    methods : list of str
        Those that the table is to have, in their order; further ones follow.
    n_boot : int
    """
    folder = EvaluationFolder(folder)
    if not folder.has_rows:
        return None
    rows = folder.rows(methods)
    if rows.empty:
        return None
    found = set(zip(rows["scenario"], rows["domain"], strict=True))
    if found != {(scenario, domain)}:
        raise ValueError(
            f"{folder.metrics_csv} has rows of {sorted(found)[0]}, expected scenario "
            f"{scenario} and domain {domain}: is it the folder of another evaluation?"
        )
    clips = rows.drop_duplicates("ID")
    n_clips = len(clips if folder.scenario is None else folder.scenario)
    counts = rows["method"].value_counts()
    missing = [f"{m} ({domain})" for m in methods if m not in counts]
    missing += [
        f"{m} ({domain}: {n_clips - n} of {n_clips} clips)"
        for m, n in counts.items()
        if n < n_clips
    ]
    statement = [text for topic, text in folder.statement.items() if topic != "title"]
    unfinished = "This evaluation was cut short and has not stated its data yet."
    return Evaluation(
        (scenario, domain),
        folder.summary(rows, n_boot),
        statement,
        clips["correct"].mean(),
        clips["p"].mean(),
        folder.note.get("setting", {}),
        missing,
        ([] if statement else [unfinished]) + _randomisation(folder, methods, n_boot),
    )


def _randomisation(folder, methods, n_boot):
    """A footnote with the weight-randomisation check, where it was made."""
    rows = folder.check(RANDOMISATION)
    if rows is None:
        return []
    summary = summarise(in_order(rows, methods), ["method"], [RANK_CORRELATION], n_boot=n_boot)
    cells = []
    for row in summary.to_dict("records"):
        undefined = row[f"{RANK_CORRELATION} undefined"]
        value = with_interval(row, RANK_CORRELATION)
        parts = (row["method"], value, f"({undefined} undefined)" if undefined else "")
        cells.append(" ".join(filter(None, parts)))
    return [
        "Weight randomisation, mean Spearman correlation between the masks for the trained and "
        f"for a re-initialised classifier ({summary['n'].max()} clips): {', '.join(cells)}."
    ]


def write_table(folder, title, evaluations, published, reference_label, missing=()):
    """Write ``table.csv``, ``table.md`` and ``table.tex`` to ``folder``; returns the Markdown.

    Arguments
    ---------
    folder : path
        Its name labels the LaTeX table.
    title : str
    evaluations : list of Evaluation
        One per domain, at least one.
    published : DataFrame
        Of ``metrics.published.read_published``.
    reference_label : str
        What is said about the published rows.
    missing : list of str
        What else was not evaluated, in words.

    Raises ValueError when the domains were scored with different classifiers or clips.
    """
    folder = Path(folder)
    for what in ("classifier", "manifest"):
        if len({e.setting[what] for e in evaluations if what in e.setting}) > 1:
            raise ValueError(
                f"{' and '.join(', '.join(e.key) for e in evaluations)} were scored with another "
                f"{what} each, and do not belong in one table: delete the folder of the outdated "
                "one and run this again."
            )
    keys = [e.key for e in evaluations]
    cells = {
        (s, d): published[(published["scenario"] == s) & (published["domain"] == d)]
        for s, d in keys
    }
    reference = pd.concat(cells.values())
    first = evaluations[0].statement
    shared = [text for text in first if all(text in e.statement for e in evaluations)]
    odd = {key: quirks(rows) for key, rows in cells.items() if len(rows)}
    everywhere = [q for q in quirks(reference) if all(q in these for these in odd.values())]
    above, below = {}, {}
    for e in evaluations:
        above[e.key] = _heading(e, cells[e.key])
        below[e.key] = [*(text for text in e.statement if text not in shared), *e.notes]
        below[e.key] += [q for q in odd.get(e.key, ()) if q not in everywhere]
    missing = [*missing, *(m for e in evaluations for m in e.missing)]
    gaps = [f"Not evaluated: {', '.join(missing)}."] if missing else []
    ours = pd.concat([e.summary for e in evaluations], ignore_index=True)
    common = {
        "reference": None if reference.empty else reference,
        "reference_label": reference_label,
        "above": above,
        "below": below,
    }
    write_csv(_all_cells(ours, evaluations, reference, reference_label), folder / "table.csv")
    bold = "Bold: the best of the ranked methods."
    head = [*shared, bold, *everywhere, *gaps]
    markdown = to_markdown(ours, caption=[f"# {title}", *head], **common)
    write_text(markdown, folder / "table.md")
    latex = to_latex(ours, caption=title, label=f"tab:{folder.name}", notes=head, **common)
    write_text(latex, folder / "table.tex")
    return markdown


def _heading(evaluation, published):
    """A line above a block, as in the talk: the accuracy on this scenario, ours and theirs."""
    theirs = published["accuracy"].dropna().unique()
    return (
        f"{DOMAINS[evaluation.key[1]]}: accuracy of the classifier on these clips "
        f"{100 * evaluation.accuracy:.1f} %, mean confidence {evaluation.confidence:.3f}"
        + (f" (accuracy published: {theirs[0]} %)" if len(theirs) else "")
    )


def _all_cells(ours, evaluations, reference, reference_label):
    """Our rows, then the published ones, told apart by the column ``source``."""
    where = pd.MultiIndex.from_frame(ours[["scenario", "domain"]])
    ours = ours.assign(
        accuracy=where.map({e.key: 100 * e.accuracy for e in evaluations}),
        confidence=where.map({e.key: e.confidence for e in evaluations}),
    )
    numbers = [c for c in ("AI", "AD", "AG", "FF", "Fid-In", "SPS", "COMP", "MM", "accuracy")]
    theirs = reference[["scenario", "domain", "method"]].assign(
        **{c: pd.to_numeric(reference[c]) for c in numbers}
    )
    # Published AD takes the softmax twice.
    theirs = theirs.rename(columns={"AD": "AD (published)"})
    table = pd.concat({"ours": ours, reference_label: theirs}, names=["source"])
    return table.reset_index(level=0).reset_index(drop=True).astype({"n": "Int64"})
