"""What an evaluation left for people: its rows with their audio and pictures.

Reads the output folder of ``eval_explanations.py``: ``metrics.csv`` and
``samples/<ID>/<method>/{input,explanation,removed}.wav`` and ``explanation.png``. Audio is
missing in the mel domain, which cannot be made into sound.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from metrics import METRICS

NEEDED = (
    "scenario",
    "domain",
    "method",
    "ID",
    "label",
    "decision",
    "correct",
    "p",
    "p_in",
    "p_out",
)
# Loudness is matched by lowering only, and by no more than this below the input, so that a
# removed part that is next to silence does not silence everything else.
MOST_DB = 20.0


@dataclass
class Clip:
    """One explained clip, and what each method made of it.

    ``rows`` maps a method to its line of ``metrics.csv`` (a dict, undefined numbers are NaN),
    ``folders`` a method to the folder of its audio and picture, where there is one.
    """

    ID: str
    scenario: str
    domain: str
    label: str
    decision: str
    correct: bool
    p: float
    results: Path
    rows: dict = field(default_factory=dict)
    folders: dict = field(default_factory=dict)

    def file(self, method, name):
        """Path of a file such as "removed.wav" of ``method``, None where it is missing."""
        folder = self.folders.get(method)
        return folder / name if folder and (folder / name).is_file() else None

    @property
    def input(self):
        """Path of the audio of the input, None where no method wrote it."""
        return next(filter(None, (self.file(m, "input.wav") for m in self.folders)), None)


@dataclass(frozen=True)
class Results:
    """``clips`` are those with samples, out of ``total`` that were scored by ``methods``."""

    folder: Path
    clips: list
    methods: list
    total: int


def read_results(folder):
    """The :class:`Results` of an evaluation's output folder.

    Raises FileNotFoundError without ``metrics.csv``, and ValueError for a table that is not as
    ``eval_explanations.py`` writes it or when no clip has samples.
    """
    folder = Path(folder)
    path = folder / "metrics.csv"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}: give the --output_folder of an eval_explanations.py run."
        )
    table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"ID": str})
    missing = [c for c in NEEDED if c not in table]
    if missing:
        raise ValueError(
            f"{path} lacks the columns {', '.join(missing)}: is it of eval_explanations.py?"
        )
    needed = ("p", "p_in", "p_out", "correct")
    for column in (*needed, *(m for m in METRICS if m in table)):
        bad = pd.to_numeric(table[column], errors="coerce").isna()
        # Only a metric may be undefined, which is an empty cell.
        bad = table[bad & (table[column].notna() | (column in needed))]
        if len(bad):
            raise ValueError(
                f"{path}, line {bad.index[0] + 2}: {column} must be a number, got "
                f"{bad[column].iloc[0]!r}; repair or delete the line and evaluate again."
            )
    twice = table[table.duplicated(["scenario", "domain", "method", "ID"])]
    if len(twice):
        raise ValueError(
            f"{path}, line {twice.index[0] + 2}: a second row of {twice['ID'].iloc[0]!r} and "
            f"{twice['method'].iloc[0]!r}; keep one of them."
        )
    clips = [
        _clip(part, folder) for _, part in table.groupby(list(NEEDED[:2]) + ["ID"], sort=False)
    ]
    with_samples = [c for c in clips if c.folders]
    if not with_samples:
        raise ValueError(
            f"{folder / 'samples'} has no audio or pictures of any clip in {path.name}: evaluate "
            "with --listen=10 into a new --output_folder."
        )
    return Results(folder, with_samples, list(table["method"].unique()), len(clips))


def _clip(part, folder):
    rows = {row["method"]: row for row in part.to_dict("records")}
    first = next(iter(rows.values()))
    samples = {m: folder / "samples" / first["ID"] / m for m in rows}
    return Clip(
        ID=first["ID"],
        scenario=str(first["scenario"]),
        domain=str(first["domain"]),
        label=str(first["label"]),
        decision=str(first["decision"]),
        correct=bool(int(first["correct"])),
        p=float(first["p"]),
        results=folder,
        rows=rows,
        folders={m: path for m, path in samples.items() if path.is_dir()},
    )


def loudness(path):
    """Seconds and root mean square (full scale is 1) of an audio file.

    Raises ValueError for a file that is not audio.
    """
    try:
        wave, rate = soundfile.read(path, dtype="float64")
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as audio ({error}): evaluate into a new folder."
        ) from error
    return len(wave) / rate, float(np.sqrt(np.mean(wave**2))) if len(wave) else 0.0


def matching_gains(rms, reference):
    """Factors in (0, 1] that bring the sounds of a clip to one loudness, by lowering only.

    Arguments
    ---------
    rms : dict
        Name to root mean square.
    reference : float
        Root mean square of the input: the common level is that of the quietest sound, yet not
        more than ``MOST_DB`` below the input; sounds quieter still are left as they are.
    """
    floor = reference * 10 ** (-MOST_DB / 20)
    level = max(min(rms.values(), default=0.0), floor)
    return {name: min(1.0, level / value) if value > 0 else 1.0 for name, value in rms.items()}
