"""summary.csv and table.md of an evaluation, with what a reader must know to judge them."""

import datetime
import re

import pandas as pd

from data_prep.in_domain import levels, training_noise
from data_prep.scenario_record import drawn_with, thin_data
from lmac.evaluation.files import ASKED, AUDIT
from lmac.io.provenance import commit, hardware
from metrics import METRICS, checks
from metrics.significance import against_reference, footnote
from metrics.tables import SECONDS, to_markdown

PUBLISHED_AD = "AD (published)"


def write_report(folder, hparams, classifier_info, device, fresh=True):
    """Write ``summary.csv`` and ``table.md`` of an evaluation; returns the Markdown.

    Arguments
    ---------
    folder : lmac.evaluation.folder.EvaluationFolder
    hparams : dict
        Of ``hparams/evaluation.yaml``.
    classifier_info : dict
        ``info.json`` beside the classifier's weights, empty when there is none.
    device : str
        What it ran on.
    fresh : bool
        Whether rows were computed; otherwise the statement keeps when and where they were.
    """
    rows = folder.rows(list(hparams["interpreters"]))
    summary = folder.summary(rows, hparams["n_boot"])
    stated = statement(folder, rows, hparams, classifier_info, device)
    if not fresh:
        stated["run"] = folder.statement.get("run", stated["run"])
    columns = _check_columns(folder)
    text = to_markdown(
        summary if columns is None else summary.merge(columns, on="method", how="left"),
        caption=list(stated.values()),
        extra_columns=[*checks(), *(() if columns is None else columns.columns[1:]), SECONDS],
    )
    folder.write_table(summary, text, stated)
    return text


_ASKED = (
    "false explanation: share of the mixtures, mixed anew at this level, where the explanation of "
    "a class that is in neither sound makes the classifier decide for it; asked source: share of "
    "the explanations that are nearer to the sound of the class asked for than to the other "
    "(asked.md)."
)


_AUDIT = (
    "deletion, insertion: area under p as cells are removed, or put back, in the order of the "
    "mask; Fid-In with a classifier's name: share of the explanations that convince it of the "
    "decision, where it decides alike on the input (audit.md)."
)


def _check_columns(folder):
    """What checks add to the table, a row per method; None where none was made.

    False explanations and asked source at every level; deletion, insertion and Fid-In under
    other networks.
    """
    found = {}
    audit = folder.check(AUDIT)
    if audit is not None:
        audit = audit.set_index("method")
        for name in audit:
            if name in ("deletion", "insertion") or re.fullmatch(r"Fid-In \(.*\)", name):
                found[name] = audit[name]
    asked = folder.check(ASKED)
    if asked is None:
        return pd.DataFrame(found).rename_axis("method").reset_index() if found else None
    for name, head in (
        ("false_explanation", "false explanation"),
        ("asked_source", "asked source"),
    ):
        for level, part in asked.dropna(subset=[name]).groupby("snr_db"):
            found[f"{head} {level:g} dB (%)"] = part.set_index("method")[name]
    return pd.DataFrame(found).rename_axis("method").reset_index()


def statement(folder, rows, hparams, classifier_info, device):
    """What a reader must know: topic to paragraph, the first one a title.

    All of it is what was recorded where it was done: the scenario by its manifest, trainings by
    what lies beside their weights. Arguments as in :func:`write_report`, with the rows.
    """
    noted = folder.note["methods"]
    methods = {m: noted.get(m, {}) for m in rows["method"].unique()}
    trained = {m: note["trained"] for m, note in methods.items() if "trained" in note}
    described = [f"{m}: {note['description']}" for m, note in methods.items() if note]
    paragraphs = {
        "title": f"# {hparams['dataset']}, scenario {hparams['scenario']}, domain "
        f"{hparams['domain']}",
        "data": _data(folder, rows, hparams, [classifier_info, *trained.values()]),
        "classifier": _classifier(rows, hparams, classifier_info),
        "convention": _convention(rows),
        "tests": _tests(rows),
        "asked": "" if folder.check(ASKED) is None else _ASKED,
        "audit": "" if folder.check(AUDIT) is None else _AUDIT,
        "methods": f"Methods: {'; '.join(described)}." if described else "",
        "training": " ".join(f"{m} was trained with {_training(i)}." for m, i in trained.items()),
        "noise": _noise(hparams, {"the classifier": classifier_info, **trained}),
        "path": _path(hparams),
        "run": f"Run: {datetime.date.today()}, commit {commit()}, {hardware(device)}.",
    }
    return {topic: text for topic, text in paragraphs.items() if text}


def _data(folder, rows, hparams, infos):
    """Clips, targets, contaminants and the seed, as the manifest records them."""
    scenario = folder.scenario
    rows = scenario[scenario["ID"].isin(rows["ID"])]
    drawn = drawn_with(folder.path / "scenario.csv")
    text = f"Data: {hparams['dataset']}, clips of {hparams['signal_length_s']} s"
    if drawn:
        text += f", targets of fold {drawn['target_folds']}"
        text += f" ({_selected(drawn['target_folds'], infos)})"
        if drawn["contaminant_folds"] is not None:
            text += f", contaminants of fold {drawn['contaminant_folds']}"
        elif drawn["contaminant_folder"] is not None:
            last = drawn["last_contaminants"]
            text += f", contaminants from {drawn['contaminant_folder']}"
            text += f", its last {last} files" if last else ""
        text += f", drawn with seed {drawn['seed']}"
    else:
        text += "; what the scenario was drawn with is not recorded"
    return f"{text}: {' '.join(thin_data(rows))}"


def _selected(target_folds, infos):
    """Whether the target folds selected a checkpoint, by what the checkpoints recorded."""
    known = [info["valid_folds"] for info in infos if info.get("valid_folds") is not None]
    both = sorted({f for folds in known for f in folds} & set(target_folds))
    if both:
        return "the fold that also selected checkpoints, as published"
    if len(known) < len(infos):
        return "which folds selected the checkpoints is not recorded for all of them"
    return "not used to select any checkpoint"


def _classifier(rows, hparams, info):
    one = rows.drop_duplicates("ID")
    facts = [f"{k} {info[k]}" for k in ("loss", "number_of_epochs", "seed") if k in info]
    facts += [augmentation(info["augmentation"])] if "augmentation" in info else []
    accuracies = "; ".join(
        f"{100 * info[s]['accuracy']:.1f} % on folds {info[s]['folds']}"
        for s in ("valid", "test")
        if s in info
    )
    facts += [f"accuracy {accuracies}"] if accuracies else []
    trained = f" ({'; '.join(facts)})" if facts else " (its training is not recorded)"
    return (
        f"Classifier: {hparams['classifier_name']}{trained}. On these clips: accuracy "
        f"{100 * one['correct'].mean():.1f} %, mean confidence {one['p'].mean():.3f}."
    )


def _training(info):
    """Loss weights, guidance, epochs and augmentation of a trained row, as they were recorded."""
    apart = ("l_guidance", "l_transfer")
    facts = [f"{k} {v:g}" for k, v in info.items() if k.startswith("l_") and v and k not in apart]
    facts += [f"{k} {info[k]:g}" for k in ("alpha", "beta", "gamma") if k in info]
    if info.get("l_guidance"):
        facts.append(
            f"l_guidance {info['l_guidance']:g} ({info['guidance']}, cc_th {info['cc_th']:g}"
            + (f", bin_th {info['bin_th']:g})" if info["guidance"] == "bce" else ")")
        )
    if info.get("out_share", 1) < 1:
        facts.append(f"the masked-out part for {100 * info['out_share']:g} % of the clips")
    if info.get("transfer_classifiers"):
        facts.append(
            f"l_transfer {info['l_transfer']:g} for {' and '.join(info['transfer_classifiers'])}"
        )
    facts += [f"{info['epochs']} epochs"] if "epochs" in info else []
    if not info.get("decoder", {}).get("reads_input", True):
        facts.append("a decoder that does not read X")
    if info.get("decoder", {}).get("conditioned"):
        facts.append("a decoder that is given the class")
    facts += [augmentation(info["augmentation"])] if "augmentation" in info else []
    return ", ".join(facts) if facts else "settings that are not recorded"


def augmentation(recorded):
    """What was mixed in, in words; ``recorded`` is of ``info.json``."""
    noise = recorded.get("noise_folder")
    what = f"noise of {noise}" if noise else "other clips"
    kind = "noise" if noise else "mix"
    share = recorded[f"{kind}_probability"]
    if not share:
        said = "nothing mixed in"
    else:
        snr_db = levels(recorded[f"{kind}_snr_db"])
        said = f"{what} mixed in at {snr_db} in {100 * share:g} % of the clips"
    speed = recorded.get("speed_perturbation")
    return f"{said}, speed perturbation {' or '.join(map(str, speed))} %" if speed else said


def _noise(hparams, trained):
    """Who was trained in noise, where noise is what is evaluated in."""
    if hparams["scenario"] not in ("id", "noise"):
        return ""
    return " ".join(training_noise(trained))


def _tests(rows):
    """Which methods differ from L-MAC, or from the best, on the same clips."""
    tests = against_reference(rows)
    return footnote(tests) if len(tests) else ""


def _convention(rows):
    text = (
        "Convention: metrics by definition, probabilities in float64. Attributions are taken for "
        "the classifier's own decision with respect to X, and made masks by absolute value and "
        "division by each clip's maximum. Intervals resample targets and, where clips share them, "
        "contaminants."
    )
    shown = [m for m in (PUBLISHED_AD, *checks()) if m in rows and rows[m].notna().any()]
    return " ".join([text, *(f'"{m}": {METRICS[m].about}' for m in shown)])


def _path(hparams):
    """A paragraph on the waveform path, where it was taken."""
    if hparams["signal_path"] == "direct" and hparams["embedding_model"].reads != "waveform":
        return ""
    return (
        "Waveform path: the classifier reads the masked STFT as sound, with the phase of the "
        "input. The explanations that can be listened to are those that were scored, but for the "
        'common gain and the 24 bits of the WAV files; "Fid-In (audio)" adds one more analysis and '
        "synthesis."
    )
