"""Target classes: is an absent one explained, and is the explanation of one its own sound?

    python -m lmac asked recipes/ESC10_conditional/recipe.yaml --data_folder=… \
        --methods=[L-MAC,GradCAM]

The pairs of the mixtures' scenario, mixed anew at each of --asked_snr_db, and for each of them

- false explanation: for a random class that is in neither sound, does the explanation alone make
  the classifier decide for it? And what share of the energy does it keep?
- asked source: for the class of each of the two sounds, where the classifier gives both a
  probability of at least --asked_p, is the explanation nearer (SI-SDR) to the one asked for?

Writes asked.csv (a row per method and level), asked.md, asked.png (one against the other) and
asked_clips.csv (a row per question) beside the rows of eval_explanations.py; a method that is
added later is the only one computed.
"""

import numpy as np
import pandas as pd
import torch

from data_prep.mixing import scenario_dataset
from lmac.core.scoring import probabilities
from lmac.evaluation.checks.base import MaskCheck
from lmac.evaluation.files import ASKED
from lmac.evaluation.folder import in_order
from lmac.explain.figures import asked_figure
from metrics.asked import decides_for, energy_kept, nearer_to
from metrics.faithfulness import pick
from metrics.summary import summarise, with_interval
from metrics.tables import markdown_table

ABSENT, SOURCE = "absent", "source"
# Values of a question: percent but for the probabilities.
VALUES = ("false_explanation", "energy_absent", "p_absent", "p_in_absent", "asked_source")


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


class Asked(MaskCheck):
    """Asks interpreters about mixtures.

    Both classes of a mixture are asked for where f(X) of both is at least ``asked_p``.
    """

    name, variant, in_table = ASKED, "snr_db", True
    together = False
    columns = ("method", "can_be_asked", "snr_db", "question", "ID", "target_id", "contaminant",
               "asked", *VALUES)  # fmt: skip

    def __init__(self, hparams, setup):
        super().__init__(hparams, setup)
        self.labels, self.least_p = setup.labels, hparams["asked_p"]
        self._datasets = {}
        self.interpreters = {m: i for m, i in self.interpreters.items() if not i.needs_clean}

    @property
    def variants(self):
        return tuple(self.hparams["asked_snr_db"])

    def detail(self, variant):
        return f", p from {self.least_p:g}"

    def scenario(self):
        rows = self.setup.scenario
        if not rows["contaminant_label"].isin(self.labels).all():
            raise ValueError(
                f"scenario is {self.hparams['scenario']}: asking needs mixtures of two sounds of "
                "known classes, --scenario=mixtures."
            )
        return rows.assign(absent=absent_classes(rows, self.labels, self.seed))

    def dataset(self, variant):
        """The mixtures at a signal-to-noise ratio in dB."""
        if variant not in self._datasets:
            self._datasets[variant] = self._mix(at_level(self.chosen, variant))
        return self._datasets[variant]

    def _mix(self, rows):
        h = self.hparams
        n_samples = round(h["signal_length_s"] * h["sample_rate"])
        return scenario_dataset(
            rows,
            h["data_folder"],
            self.labels,
            n_samples,
            h["cache_folder"],
            h["sample_rate"],
            crop=h["crop"],
        )

    def measure(self, interpreter, batch, variants):
        waves = batch.clean, batch.sig - batch.clean
        answers = self.questions(interpreter, batch.clips, waves, batch.rows)
        (level,) = variants
        return {
            level: [
                {**_who(batch.rows[a.pop("row")]), "can_be_asked": interpreter.any_class, **a}
                for a in answers
            ]
        }

    def summary(self, rows):
        return in_order(
            summary_of(rows, self.hparams["n_boot"]), list(self.hparams["interpreters"])
        )

    def report(self, summary, rows):
        return report(summary, self.least_p, self.about(f"{len(self.chosen)} pairs"))

    def figure(self, summary, rows, path):
        if summary["asked_source"].notna().any():
            scores = {}
            if self.folder.has_rows:
                scores = self.folder.written_summary.set_index("method")["AI"].to_dict()
            asked_figure(summary, path, scores)

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
            "false_explanation": 100 * decides_for(p_in, classes[0], self.explained.threshold),
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
        present = torch.stack([pick(clips.probs, c) for c in classes[1:]]).amin(0) >= self.least_p
        if not bool(present.any()):
            return answers
        for which, key in enumerate(("label", "contaminant_label")):
            masked, _ = self._explained(interpreter, clips, classes[1 + which])
            sound = self.explained.domain.synthesise(masked, clips.phase)
            nearer = 100 * nearer_to(sound, waves[which], waves[1 - which])
            answers += [
                {"row": i, "question": SOURCE, "asked": rows[i][key],
                 "asked_source": float(nearer[i])}
                for i in range(len(rows))
                if present[i]
            ]  # fmt: skip
        return answers

    @torch.no_grad()
    def _explained(self, interpreter, clips, target):
        """M X and f(M X) for the classes ``target``."""
        masked = self.mask(interpreter, clips, target, self.seed) * clips.X
        return masked, probabilities(self.explained, clips, masked)


def at_level(scenario, snr_db):
    """The pairs of ``scenario``, with the gains of unit-energy sounds for ``snr_db``."""
    return scenario.assign(gain_target=1.0, gain_contaminant=10 ** (-snr_db / 20))


def _who(row):
    return {"ID": row["ID"], "target_id": row["target"], "contaminant": row["contaminant"]}


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
    unaware = summary[~summary["can_be_asked"].astype(bool)]["method"].unique()
    lines = [
        "# Explanations of target classes",
        "",
        about,
        "",
        "False explanation: share of the mixtures for which the explanation of a random class "
        "that is in neither sound makes the classifier decide for it; beside it the share of the "
        "energy that is kept, and the mean probability of that class before and after. Asked "
        "source: of the classes of the two sounds, asked for where the classifier gives both a "
        f"probability of at least {least_p:g}, share of the explanations whose sound is nearer "
        "(SI-SDR) to the sound asked for than to the other; 50 % is chance. Mean [95 % bootstrap "
        "interval of the mean]."
        + (f" {', '.join(unaware)}: the same mask for every target class." if len(unaware) else ""),
        "",
    ]
    lines += markdown_table(
        ["method", "SNR (dB)", "false explanation (%) ↓", "energy kept (%)", "p before", "p after",
         "asked source (%) ↑", "questions"],
        [
            [r["method"], f"{r['snr_db']:g}", with_interval(r, "false_explanation", 1),
             with_interval(r, "energy_absent", 1), f"{r['p_absent']:.3f}",
             f"{r['p_in_absent']:.3f}",
             with_interval(r, "asked_source", 1) if r["n_source"] else "",
             f"{r['n_absent']} + {r['n_source']}"]
            for r in summary.to_dict("records")
        ],
    )  # fmt: skip
    return "\n".join(lines) + "\n"


main = Asked.main
