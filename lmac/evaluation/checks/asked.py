"""Asking for a class: do methods carve absent ones, and do they find the one that was asked for?

    python -m lmac asked recipes/ESC10_conditional/recipe.yaml --data_folder=… \
        --methods=[L-MAC,GradCAM]

The pairs of the mixtures' scenario, mixed anew at each of --asked_snr_db, and for each of them

- carving: asked for a random class that is in neither sound, does the explanation alone make the
  classifier decide for it? And what share of the energy does it keep?
- asked source: asked for the class of each of the two sounds, where the classifier gives both a
  probability of at least --asked_p, is the explanation nearer (SI-SDR) to the one asked for?

Writes asked.csv (a row per method and level), asked.md, asked.png (one against the other) and
asked_clips.csv (a row per question) beside the rows of eval_explanations.py; a method that is
added later is the only one computed.
"""

import hashlib

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from data_prep.mixing import scenario_dataset
from lmac.checkpoints import weights_digest
from lmac.core.scoring import analyse_clips, explain, probabilities
from lmac.evaluation.checks.row_cache import RowCache
from lmac.evaluation.files import ASKED, ASKED_CLIPS
from lmac.evaluation.folder import EvaluationFolder, in_order
from lmac.evaluation.report import write_report
from lmac.evaluation.setup import Setting
from lmac.explain.figures import asked_figure
from lmac.settings.load import load, parse, run_opts_of
from metrics.asked import decides_for, energy_kept, nearer_to
from metrics.faithfulness import pick
from metrics.summary import summarise, with_interval
from metrics.tables import markdown_table

ABSENT, SOURCE = "absent", "source"
# Values of a question: percent but for the probabilities.
VALUES = ("carving", "energy_absent", "p_absent", "p_in_absent", "asked_source")
COLUMNS = ("method", "can_be_asked", "snr_db", "question", "ID", "target_id", "contaminant",
           "asked", *VALUES, "computed_with")  # fmt: skip


def absent_classes(scenario, labels, seed):
    """For each row of ``scenario`` a class of ``labels`` that is in neither of its sounds.

    ValueError when there is none, with fewer than three classes.
    """
    generator = np.random.default_rng(seed)
    drawn = []
    for row in scenario.itertuples(index=False):
        others = [name for name in labels if name not in (row.label, row.contaminant_label)]
        if not others:
            raise ValueError("asked: with two classes there is none that is absent.")
        drawn.append(others[generator.integers(len(others))])
    return drawn


class Asker:
    """Asks interpreters about mixtures.

    Arguments
    ---------
    explained : ExplainedClassifier
    labels : list of str
        Class names.
    least_p : float
        Both classes of a mixture are asked for where f(X) of both is at least this.
    seed : int
        Of methods with random numbers.
    """

    def __init__(self, explained, labels, least_p, seed):
        self.explained, self.labels, self.least_p, self.seed = explained, labels, least_p, seed

    def questions(self, interpreter, clips, waves, rows):
        """Ask about one batch.

        Arguments
        ---------
        interpreter : Interpreter
        clips : lmac.core.scoring.Clips
        waves : (Tensor [B, L], Tensor [B, L])
            The two sounds of each mixture.
        rows : list of dict
            With ``label``, ``contaminant_label`` and ``absent``: class names.

        Returns
        -------
        list of dict
            VALUES of each question, ``question``, ``asked`` and ``row``, the number in the batch.
        """
        classes = [
            torch.tensor([self.labels.index(row[key]) for row in rows], device=clips.X.device)
            for key in ("absent", "label", "contaminant_label")
        ]
        masked, p_in = self._explained(interpreter, clips, classes[0])
        found = {
            "carving": 100 * decides_for(p_in, classes[0]),
            "energy_absent": 100 * energy_kept(masked, clips.X),
            "p_absent": pick(clips.probs, classes[0]),
            "p_in_absent": pick(p_in, classes[0]),
        }
        answers = [
            {"row": i, "question": ABSENT, "asked": rows[i]["absent"],
             **{name: float(value[i]) for name, value in found.items()}}
            for i in range(len(rows))
        ]  # fmt: skip
        if not self.explained.domain.listenable:
            return answers
        heard = torch.stack([pick(clips.probs, c) for c in classes[1:]]).amin(0) >= self.least_p
        if not bool(heard.any()):
            return answers
        for which, key in enumerate(("label", "contaminant_label")):
            masked, _ = self._explained(interpreter, clips, classes[1 + which])
            sound = self.explained.domain.synthesise(masked, clips.phase)
            nearer = 100 * nearer_to(sound, waves[which], waves[1 - which])
            answers += [
                {"row": i, "question": SOURCE, "asked": rows[i][key],
                 "asked_source": float(nearer[i])}
                for i in range(len(rows))
                if heard[i]
            ]  # fmt: skip
        return answers

    @torch.no_grad()
    def _explained(self, interpreter, clips, target):
        """M X and f(M X) for the classes ``target``."""
        with torch.enable_grad():
            mask = explain(self.explained, interpreter, clips, target, self.seed)
        masked = mask * clips.X
        return masked, probabilities(self.explained, clips, masked)


def at_level(scenario, snr_db):
    """The pairs of ``scenario``, with the gains of unit-energy sounds for ``snr_db``."""
    return scenario.assign(gain_target=1.0, gain_contaminant=10 ** (-snr_db / 20))


def ask(asker, interpreters, scenario, dataset_of, levels, batch_size, folder, device):
    """Rows (COLUMNS) for all methods; those that are there are kept, the file grows by method.

    Arguments
    ---------
    asker : Asker
    interpreters : dict of str to Interpreter
    scenario : DataFrame
        Of mixtures, with a column ``absent``: the absent class that is asked for.
    dataset_of : callable
        Rows of ``scenario`` to their DynamicItemDataset.
    levels : list of float
        Signal-to-noise ratios, dB.
    batch_size : int
    folder : lmac.evaluation.folder.EvaluationFolder
    device : str
    """
    shared = f"classifier {weights_digest(asker.explained.classifier)}, seed {asker.seed}"
    shared += f", p from {asker.least_p:g}, {_pairs(scenario)}"
    kept, todo = RowCache(folder, ASKED_CLIPS, COLUMNS), []
    for level in levels:
        for method, interpreter in interpreters.items():
            computed_with = f"{interpreter.description}, {shared}"
            if kept.lacks(computed_with, method=method, snr_db=level):
                todo.append((level, method, computed_with))
    by_level = {}
    for level, method, computed_with in todo:
        by_level.setdefault(level, []).append((method, computed_with))
    bar = tqdm(total=len(todo) * len(scenario), desc="questions", unit="clip", disable=not todo)
    for level, methods in by_level.items():
        dataset = dataset_of(at_level(scenario, level))
        pairs = scenario.to_dict("records")
        batches = [
            list(range(i, min(i + batch_size, len(pairs))))
            for i in range(0, len(pairs), batch_size)
        ]
        answers = {method: [] for method, _ in methods}
        for batch in batches:
            items = [dataset[i] for i in batch]
            sig, clean = (
                torch.stack([item[key] for item in items]).to(device) for key in ("sig", "clean")
            )
            clips = analyse_clips(asker.explained, sig, clean)
            for method, _ in methods:
                found = asker.questions(
                    interpreters[method], clips, (clean, sig - clean), [pairs[i] for i in batch]
                )
                for answer in found:
                    row = pairs[batch[answer.pop("row")]]
                    answers[method].append({**_who(row), **answer})
                bar.update(len(batch))
        for method, computed_with in methods:
            any_class = interpreters[method].any_class
            rows = [{**answer, "can_be_asked": any_class} for answer in answers[method]]
            kept.put(rows, computed_with, method=method, snr_db=level)
    bar.close()
    return kept.rows()


def _who(row):
    return {"ID": row["ID"], "target_id": row["target"], "contaminant": row["contaminant"]}


def _pairs(scenario):
    """What tells these questions from others: the pairs, and the classes asked for."""
    text = scenario[["ID", "label", "contaminant_label", "absent"]].to_csv(index=False)
    return f"questions {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def summary_of(rows, n_boot):
    """A row per method and level: means of VALUES, their intervals, and numbers of questions.

    Intervals resample targets and contaminants, which questions share.
    """
    lines = []
    for (method, level), part in rows.groupby(["method", "snr_db"], sort=False):
        line = {"method": method, "snr_db": level, "can_be_asked": part["can_be_asked"].iloc[0]}
        for question, names in ((ABSENT, VALUES[:-1]), (SOURCE, VALUES[-1:])):
            asked = part[part["question"] == question]
            line[f"n_{question}"] = len(asked)
            line |= dict.fromkeys(names)
            if len(asked):
                found = summarise(asked, ["method"], list(names), n_boot=n_boot,
                                  crossed_column="contaminant")  # fmt: skip
                columns = [c for name in names for c in (name, f"{name} lo", f"{name} hi")]
                line |= found.iloc[0][columns].to_dict()
        lines.append(line)
    return pd.DataFrame(lines)


def report(summary, least_p, about):
    """Markdown of :func:`summary_of`."""
    deaf = summary[~summary["can_be_asked"].astype(bool)]["method"].unique()
    lines = [
        "# Asking for a class",
        "",
        about,
        "",
        "Carving: share of the mixtures for which the explanation of a random class that is in "
        "neither sound makes the classifier decide for it; beside it the share of the energy that "
        "is kept, and the mean probability of that class before and after. Asked source: of the "
        "classes of the two sounds, asked for where the classifier gives both a probability of at "
        f"least {least_p:g}, share of the explanations whose sound is nearer (SI-SDR) to the sound "
        "asked for than to the other; 50 % is chance. Mean [95 % bootstrap interval of the mean]."
        + (f" {', '.join(deaf)}: the same mask whatever is asked for." if len(deaf) else ""),
        "",
    ]
    lines += markdown_table(
        ["method", "SNR (dB)", "carving (%) ↓", "energy kept (%)", "p before", "p after",
         "asked source (%) ↑", "questions"],
        [
            [r["method"], f"{r['snr_db']:g}", with_interval(r, "carving", 1),
             with_interval(r, "energy_absent", 1), f"{r['p_absent']:.3f}",
             f"{r['p_in_absent']:.3f}",
             with_interval(r, "asked_source", 1) if r["n_source"] else "",
             f"{r['n_absent']} + {r['n_source']}"]
            for r in summary.to_dict("records")
        ],
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def main(argv):
    path, options, overrides = parse(argv)
    hparams, _ = load(path, overrides)
    setting = Setting(hparams, run_opts_of(options))
    scenario, labels, interpreters = setting.scenario, setting.labels, setting.interpreters
    if not scenario["contaminant_label"].isin(labels).all():
        raise ValueError(
            f"scenario is {hparams['scenario']}: asking needs mixtures of two sounds of known "
            "classes, --scenario=mixtures."
        )
    needing = [name for name, method in interpreters.items() if method.needs_clean]
    interpreters = {m: i for m, i in interpreters.items() if m not in needing}
    scenario = scenario.assign(absent=absent_classes(scenario, labels, hparams["seed"]))
    n_samples = round(hparams["signal_length_s"] * hparams["sample_rate"])

    def dataset_of(rows):
        return scenario_dataset(
            rows, hparams["data_folder"], labels, n_samples, hparams["cache_folder"],
            hparams["sample_rate"], crop=hparams["crop"],
        )  # fmt: skip

    folder = EvaluationFolder(hparams["output_folder"])
    asker = Asker(setting.explained, labels, hparams["asked_p"], hparams["seed"])
    rows = ask(
        asker, interpreters, scenario, dataset_of, hparams["asked_snr_db"],
        hparams["batch_size"], folder, setting.device,
    )  # fmt: skip
    summary = in_order(summary_of(rows, hparams["n_boot"]), list(hparams["interpreters"]))
    about = (
        f"{hparams['dataset']}, {len(scenario)} pairs of {folder.path.name}'s manifest, domain "
        f"{hparams['domain']}, classifier {hparams['classifier_name']}, seed {hparams['seed']}."
    )
    text = report(summary, hparams["asked_p"], about)
    print(text)
    print(f"Questions and table: {folder.write_check(ASKED, summary, text)}")
    scores = {}
    if folder.metrics_csv.is_file():  # its table has columns of these
        write_report(folder, hparams, setting.classifier_info, setting.device, fresh=False)
        scores = folder.written_summary.set_index("method")["AI"].to_dict()
    if summary["asked_source"].notna().any():
        asked_figure(summary, folder.path / f"{ASKED}.png", scores)
