"""summary.csv and table.md of an evaluation, with what a reader must know to judge them."""

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

import pandas as pd
import torch

from data_prep.scenarios import EXTERNAL
from lmac.results.evaluation import CHECKS, HEARD, SI_SDR, TO_SOURCE
from metrics import METRICS
from metrics.summary import summarise
from metrics.tables import to_markdown, write_csv, write_text


def write_report(rows, hparams, classifier_info, device):
    """Write ``summary.csv`` and ``table.md`` to the output folder; returns the Markdown.

    Arguments
    ---------
    rows : DataFrame
        Of ``metrics.csv``.
    hparams : dict
        Of ``hparams/evaluation.yaml``.
    classifier_info : dict
        ``info.json`` beside the classifier's weights, empty when there is none.
    device : str
        What it ran on.
    """
    folder = Path(hparams["output_folder"])
    summary = summary_of(rows, hparams["n_boot"])
    write_csv(summary, folder / "summary.csv")
    text = to_markdown(
        summary,
        caption=caption(rows, hparams, classifier_info, device),
        extra_columns=[*CHECKS, "s/clip"],
    )
    write_text(text, folder / "table.md")
    return text


def summary_of(rows, n_boot):
    """Means and intervals of the rows of ``metrics.csv``; seconds per clip without interval."""
    measured = [*METRICS, *(c for c in CHECKS if rows[c].notna().any()), "s/clip"]
    summary = summarise(rows, metric_names=measured, n_boot=n_boot)
    return summary.drop(columns=[c for c in summary if c.startswith("s/clip ")])


def read_caption(path):
    """The paragraphs of :func:`caption`, without the title, from a ``table.md``."""
    head = Path(path).read_text(encoding="utf-8").split("\n**")[0]
    return [part.strip() for part in head.split("\n\n")[1:] if part.strip()]


def caption(rows, hparams, classifier_info, device):
    """Paragraphs that state data, classifier, protocol, convention, methods and provenance."""
    methods = _descriptions(hparams["output_folder"], rows["method"].unique())
    one = rows.drop_duplicates("ID")
    selected = hparams["target_folds"] == hparams["valid_folds"]
    folds = f"targets from fold {hparams['target_folds']} " + (
        "(the fold that also selected the checkpoints, as published)"
        if selected
        else "(not used to select any checkpoint)"
    )
    if hparams["scenario"] == "mixtures":
        folds += f", contaminants from fold {hparams['contaminant_folds']}"
    elif hparams["scenario"] in EXTERNAL:
        folds += f", contaminants from {_recordings(hparams)}"
    trained = ", ".join(
        f"{k} {classifier_info[k]}"
        for k in ("loss", "number_of_epochs", "seed")
        if k in classifier_info
    )
    accuracies = "; ".join(
        f"{100 * classifier_info[s]['accuracy']:.1f} % on folds {classifier_info[s]['folds']}"
        for s in ("valid", "test")
        if s in classifier_info
    )
    return [
        f"# {hparams['dataset']}, scenario {hparams['scenario']}, domain {hparams['domain']}",
        f"Data: {hparams['dataset']}, {len(one)} clips of {hparams['signal_length_s']} s from "
        f"{one['target_id'].nunique()} targets, {folds}; manifest seed {hparams['seed']}.",
        f"Classifier: {hparams['classifier_name']}"
        + (f" ({trained}; accuracy {accuracies})" if classifier_info else "")
        + f". On these clips: accuracy {100 * one['correct'].mean():.1f} %, mean confidence "
        f"{one['p'].mean():.3f}.",
        'Convention: metrics by definition; "AD (published)" applies softmax twice, as the '
        "published numbers do. Probabilities in float64. Attributions are taken for the "
        "classifier's own decision with respect to X, and made masks by absolute value and "
        f'division by each clip\'s maximum. "{HEARD}": share of clips whose explanation, turned '
        f'into sound and analysed again, keeps the decision. "{TO_SOURCE}": root mean square '
        f'difference of M X and the X of the target\'s own part; "{SI_SDR}": of the '
        "explanation's sound to that part.",
        *(["Methods: " + "; ".join(methods) + "."] if methods else []),
        *_hearing(hparams),
        f"Run: {datetime.date.today()}, commit {commit()}, {hardware(device)}.",
    ]


def _descriptions(folder, names):
    """Class and options of each method, as the evaluation in ``folder`` noted them."""
    known = json.loads((Path(folder) / "evaluation.json").read_text(encoding="utf-8"))["methods"]
    return [f"{name}: {known[name]}" for name in names if name in known]


def _recordings(hparams):
    """The contaminant folder with its parent, and how many of its files are really heard."""
    scenario = pd.read_csv(hparams["scenario_manifest"], dtype=str, keep_default_na=False)
    folder = "/".join(Path(hparams["contaminant_folder"]).resolve().parts[-2:])
    last = (
        f", the last {hparams['last_contaminants']} files" if hparams["last_contaminants"] else ""
    )
    return f"{folder}{last} ({scenario['contaminant_wav'].nunique()} different recordings drawn)"


def _hearing(hparams):
    """A paragraph on the waveform path, where it was taken."""
    if hparams["hearing"] == "direct" and hparams["embedding_model"].reads != "waveform":
        return []
    return [
        "Waveform path: the classifier hears the masked STFT as sound, with the phase of the "
        "input. The explanations that can be listened to are those that were scored, but for the "
        f'common gain and the 16 bits of the WAV files; "{HEARD}" adds one more analysis and '
        "synthesis."
    ]


def commit():
    """Short hash of the checkout, with ``+`` when it has changes; "unknown" outside git."""

    def git(*words):
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True,
            cwd=Path(__file__).parent,
        ).stdout.strip()  # fmt: skip

    try:
        return git("rev-parse", "--short", "HEAD") + (
            "+" if git("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def hardware(device):
    """What it ran on, in a few words."""
    if str(device).startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores ({platform.machine()})"
