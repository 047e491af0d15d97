"""The published cells (Paissan et al., ICML 2024, arXiv 2403.13086), and where they are odd.

``metrics/published.csv`` holds the tables of the authors' talk about the paper, and the rows of
SpeechBrain's ``recipes/ESC50/interpret/README.md``, as printed: ESC-50, with the authors' CNN14.
"""

from pathlib import Path

import pandas as pd

OURS = Path(__file__).with_name("published.csv")
SCENARIOS = {
    "ESC50 in-domain (WHAM! noise)": "id",
    "ESC50 mixtures": "mixtures",
    "ESC50 + white noise": "white_noise",
    "ESC50 + LJSpeech": "speech",
}
METHODS = {"L2I RT=0.2": "L2I", "L-MAC FT lambda_g=4": "L-MAC FT"}

# Table, domain and method (None: all of them) that a footnote concerns, and the footnote.
QUIRKS = (
    (
        None, None, None,
        "Published AD applies softmax a second time to the probabilities, which caps it at about "
        "63 (100 (1 − 1/e)); where AD is meant by its definition, a useless mask comes close to "
        "100.",
    ),
    (
        "1", None, None,
        "All published cells of this table are half of what their definitions give (SPS and COMP "
        "are half those of every other published table, and AI comes in steps of 1/8 over 400 "
        "clips): compare ours with 2 × the published cells.",
    ),
    (
        "1", "mel", "Guided GradCAM",
        "Published Guided GradCAM: AG 6.67 beside AI 0.125 is impossible, for AG never exceeds AI.",
    ),
    (
        "2", "stft", "GradCAM",
        "Published GradCAM: Fid-In 0.00 contradicts its AI of 14.12.",
    ),
    (
        "2", "mel", "Guided GradCAM",
        "Published Guided GradCAM: SPS 0.89 and COMP 10.24 are those of its stft row to the last "
        "digit, and seem to be copied from there.",
    ),
    (
        "3", "stft", "L2I",
        "Published L2I: the cells of this row are shifted against their columns (an SPS of 36.62 "
        "is impossible); they are printed as they stand.",
    ),
)  # fmt: skip


def read_published(path: str | Path | None = None, table: str | int | None = None) -> pd.DataFrame:
    """Published rows, with our names of scenarios and methods; cells stay text, as printed.

    Args:
        path: of such a file; ``metrics/published.csv`` when not given.
        table: "1" to "4", or "SpeechBrain README"; None for all.

    Returns:
        One row per table, scenario, domain and method; empty cells are NaN.

    Raises:
        ValueError: for a file without these columns, a scenario without a name here, or a table
            that the file does not have.
    """
    path = path or OURS
    rows = pd.read_csv(path, dtype=str)
    missing = [name for name in ("table", "scenario", "domain", "method") if name not in rows]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}.")
    unknown = sorted(set(rows["scenario"]) - set(SCENARIOS))
    if unknown:
        raise ValueError(
            f"{path}: unknown scenario {unknown[0]!r}, expected {', '.join(SCENARIOS)}."
        )
    rows["scenario"] = rows["scenario"].map(SCENARIOS)
    rows["method"] = rows["method"].replace(METHODS)
    if table is None:
        return rows
    if str(table) not in set(rows["table"]):
        raise ValueError(
            f"{path} has no table {table!r}: expected {', '.join(rows['table'].unique())}."
        )
    return rows[rows["table"] == str(table)].reset_index(drop=True)


def quirks(published: pd.DataFrame) -> list[str]:
    """Footnotes for the rows of one published block, from ``read_published``."""
    return [
        text
        for table, domain, method, text in QUIRKS
        if (
            published["table"].eq(table or published["table"])
            & published["domain"].eq(domain or published["domain"])
            & published["method"].eq(method or published["method"])
        ).any()
    ]
