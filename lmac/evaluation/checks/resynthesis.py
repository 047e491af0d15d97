"""Does the classifier decide on the written explanations as the table says?

    python -m lmac resynthesis recipes/ESC10_aisfx/recipe.yaml --data_folder=…

Loads every samples/<clip>/<method>/explanation.wav that eval_explanations.py wrote with the same
settings (--listen says of how many clips), hands it to the classifier as any other sound, at the
level that the input had, and compares the answer with the row of metrics.csv. Writes
resynthesis.csv, a row per clip and method, and resynthesis.md beside it.
"""

import pandas as pd
import torch
from tqdm import tqdm

from data_prep.audio import read_audio
from lmac.checkpoints import weights_digest
from lmac.core.scoring import classify
from lmac.evaluation.checks.base import Check
from lmac.evaluation.files import RESYNTHESIS
from lmac.evaluation.folder import in_order
from metrics.summary import summarise, with_interval
from metrics.tables import markdown_table

KEYS = ("scenario", "domain", "method", "ID", "target_id")
SCORED, WRITTEN = "Fid-In", "Fid-In (WAV)"
SAME, DEVIATION = "as the table says", "deviation of p_in"
NUMBERS = (SCORED, WRITTEN, SAME, "p_in", "p_in (WAV)", DEVIATION)


def classify_written(explained, labels, folder):
    """Classify the written explanations of an evaluation again.

    Arguments
    ---------
    explained : ExplainedClassifier
    labels : list of str
        Class names, in the order of its outputs.
    folder : EvaluationFolder

    Returns
    -------
    DataFrame
        A row per clip and method with an ``explanation.wav``: KEYS, ``decision`` for the input,
        ``decision (WAV)``, and NUMBERS. "as the table says" is 1 where keeping (or losing) the
        decision by the file agrees with the row's Fid-In; "deviation of p_in" is absolute.

    Raises ValueError where the results are of another classifier, or have no audio.
    """
    clips = folder.clips()
    setting = folder.note["setting"]
    ours = {
        "classifier": weights_digest(explained.classifier),
        "domain": explained.domain.description,
    }
    for key, value in ours.items():
        if setting[key] != value:
            raise ValueError(
                f"{folder.metrics_csv} was computed with {key} {setting[key]!r}, not with "
                f"{value!r}: give the settings of that evaluation."
            )
    written = [
        (clip, method, path)
        for clip in clips
        for method in clip.folders
        if (path := clip.file(method, "explanation.wav"))
    ]
    if not written:
        raise ValueError(
            f"{folder.path / 'samples'} has no explanation.wav: evaluate in a domain that can be "
            "listened to, with --listen=10."
        )
    rate, device = explained.domain.front_end.sample_rate, next(explained.buffers()).device
    rows = []
    for clip, method, path in tqdm(written, desc="WAV files"):
        wav = torch.from_numpy(read_audio(path, rate) / _gain(clip.input_of(method), rate))
        wav = wav[None].to(device)
        probs = classify(explained, wav)[0]
        row, decision = clip.rows[method], labels[int(probs.argmax())]
        scored, kept = int(row[SCORED]), int(decision == clip.decision)
        p_in = float(probs[labels.index(clip.decision)])
        rows.append(
            {
                **{key: row[key] for key in KEYS},
                "decision": clip.decision,
                "decision (WAV)": decision,
                SCORED: scored,
                WRITTEN: kept,
                SAME: int(kept == scored),
                "p_in": float(row["p_in"]),
                "p_in (WAV)": p_in,
                DEVIATION: abs(p_in - float(row["p_in"])),
            }
        )
    return pd.DataFrame(rows)


def _gain(path, rate):
    """Gain of a clip's WAVs: the peak of its input, which was 1 when it was explained."""
    peak = 0.0 if path is None else float(abs(read_audio(path, rate)).max())
    return peak or 1.0


def report(rows, n_boot, statement=()):
    """Markdown of :func:`classify_written`: a row per method, below what else must be known."""
    summary = summarise(rows, ["method"], list(NUMBERS), n_boot=n_boot)
    lines = [
        "# The written explanations, loaded and classified again",
        "",
        *(line for text in statement for line in (text, "")),
        f"{rows['ID'].nunique()} clips have audio. Fid-In: share of them whose explanation keeps "
        f'the decision by metrics.csv; "{WRITTEN}": share whose explanation.wav (24 bits, one '
        f'gain for the sounds of a clip, which is undone) keeps it; "{SAME}": share where the two '
        "agree. "
        "p_in: of metrics.csv and of the file, and their mean absolute deviation. "
        "Mean [95 % bootstrap interval of the mean].",
        "",
    ]
    lines += markdown_table(
        ["method", "clips", *NUMBERS],
        [
            [r["method"], r["n"], *(with_interval(r, n, 3) for n in NUMBERS)]
            for r in summary.to_dict("records")
        ],
    )
    return "\n".join(lines) + "\n"


class Resynthesis(Check):
    """The written explanations of an evaluation."""

    name = RESYNTHESIS

    def rows(self):
        rows = classify_written(self.explained, self.setup.labels, self.folder)
        return in_order(rows, list(self.hparams["interpreters"]))

    def report(self, summary, rows):
        stated = [text for topic, text in self.folder.statement.items() if topic != "title"]
        return report(rows, self.hparams["n_boot"], stated)


main = Resynthesis.main
