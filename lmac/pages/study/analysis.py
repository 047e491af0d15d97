"""Scores, intervals and tests from the files of a listening test's participants.

    python -m lmac analyse test test/responses

Writes to the folder --output

    report.md          everything below, to be read
    scores.tex, significance.tex
                       the two tables in LaTeX (booktabs)
    scores.csv         mean opinion score of each method and question, with its 95 % interval
    significance.csv   Wilcoxon signed-rank tests between methods, corrected by Holm
    listeners.csv      who was screened out, and why
    ratings.csv        every rating with its clip and method: the test, unblinded
    scores.png         the scores as a figure

A listener is screened out (see ``screen``) who rates the quality of the hidden reference below
--input_threshold in more than the share --input_share of the clips, or not better than that of
the random mask, or who gives one answer to everything.
"""

from pathlib import Path

import pandas as pd

from lmac.io.files import write_csv, write_text
from lmac.pages.study.listening_test import HIDDEN_REFERENCE
from lmac.pages.study.report import latex_tables, score_figure, study_report
from lmac.pages.study.responses import QUESTIONS, SCALES, ResponseError, parse_response, read_test
from lmac.pages.study.scores import (
    INPUT_SHARE,
    INPUT_THRESHOLD,
    score_table,
    screen,
    significance_table,
)
from lmac.settings.command_line import Argument, CommandLine, Option

COMMAND_LINE = CommandLine(
    Argument("test_folder", "folder made by python -m lmac study"),
    Argument("responses_folder", "folder of the participants' files"),
    Option("output", str, None, "where to write; by default test_folder/analysis"),
    Option("input_threshold", float, None, "by default 90 of 100, or 4 of 5"),
    Option("input_share", float, INPUT_SHARE, "from 0 to 1"),
    Option("n_boot", int, 10000, "resamples of the intervals"),
    Option("keep_all", bool, False, "True: report listeners to be screened out, but keep them"),
)


def read_ratings(test_folder, responses_folder):
    """Every rating of every participant, unblinded.

    Returns
    -------
    ratings : DataFrame
        Columns participant, device, trial, scenario, domain, ID, condition (a method, "hidden
        reference" or "Random"), question, rating, position.
    manifest : dict

    Raises FileNotFoundError without answers, and ValueError for a file that is not in order or
    for two of one participant: nothing is skipped in silence.
    """
    manifest, key = read_test(test_folder)
    folder = Path(responses_folder)
    paths = sorted(p for p in folder.glob("*.json") if not p.name.startswith("."))
    if not paths:
        raise FileNotFoundError(
            f"There are no answers (*.json) in {folder}: give the folder of participants' files."
        )
    rows, files = [], {}
    for path in paths:
        try:
            response = parse_response(path.read_bytes(), manifest)
        except ResponseError as error:
            raise ValueError(f"{path}: {error}; take the file out of the folder.") from error
        participant = response["participant"]
        if participant in files:
            raise ValueError(
                f"{path} and {files[participant]} are both of participant {participant!r}: take "
                "one of them out of the folder."
            )
        files[participant] = path.name
        for rating in response["ratings"]:
            known = key["stimuli"][rating["stimulus"]]
            clip = key["trials"][known["trial"]]
            for question in QUESTIONS:
                rows.append(
                    {
                        "participant": participant,
                        "device": response["device"],
                        "trial": known["trial"],
                        **{k: clip[k] for k in ("scenario", "domain", "ID")},
                        "condition": known["condition"],
                        "question": question,
                        "rating": rating[question],
                        "position": rating["position"],
                    }
                )
    return pd.DataFrame(rows), manifest


def analyse(
    test_folder, responses_folder, output=None, input_threshold=None, input_share=INPUT_SHARE,
    n_boot=10000, keep_all=False,
):  # fmt: skip
    """Analyse a study and write the files named above; returns the text of the report.

    Arguments
    ---------
    test_folder, responses_folder, output : path
    input_threshold : float
        By default ``INPUT_THRESHOLD`` of the test's scale.
    input_share : float
        From 0 to 1.
    n_boot : int
        Resamples of the intervals.
    keep_all : bool
        Keep listeners that screening would leave out.

    Raises ValueError or FileNotFoundError for input that is not in order, or if nobody is left.
    """
    ratings, manifest = read_ratings(test_folder, responses_folder)
    scale = manifest["scale"]
    threshold = INPUT_THRESHOLD[scale] if input_threshold is None else input_threshold
    if not 0 <= input_share <= 1 or not SCALES[scale][0] <= threshold <= SCALES[scale][1]:
        raise ValueError(
            f"--input_share must be from 0 to 1, got {input_share:g}, and --input_threshold on the "
            f"scale from {SCALES[scale][0]} to {SCALES[scale][1]}, got {threshold:g}."
        )
    listeners = screen(ratings, threshold, input_share)
    listeners["device"] = listeners["participant"].map(
        ratings.drop_duplicates("participant").set_index("participant")["device"]
    )
    if keep_all:
        listeners["kept"] = True
    kept = set(listeners[listeners["kept"]]["participant"])
    if not kept:
        reasons = "; ".join(f"{r.participant}: {r.reason}" for r in listeners.itertuples())
        raise ValueError(f"All listeners were screened out ({reasons}): see --keep_all=True.")
    ratings["kept"] = ratings["participant"].isin(kept)
    scores = score_table(ratings[ratings["kept"]], n_boot)
    methods = ratings["condition"] != HIDDEN_REFERENCE
    tests = significance_table(ratings[ratings["kept"] & methods], n_boot)
    output = Path(output or Path(test_folder) / "analysis")
    tables = (("ratings", ratings), ("listeners", listeners), ("scores", scores))
    for name, table in (*tables, ("significance", tests)):
        write_csv(table, output / f"{name}.csv")
    score_figure(scores, scale, output / "scores.png")
    for name, tex in latex_tables(manifest, scores, tests).items():
        write_text(tex, output / f"{name}.tex")
    text = study_report(manifest, ratings, listeners, scores, tests, threshold, input_share)
    write_text(text, output / "report.md")
    return text


def main(argv):
    print(analyse(**COMMAND_LINE.parse(argv)))
