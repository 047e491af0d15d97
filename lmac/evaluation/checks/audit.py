"""Is an explanation the reason for the decision, or does it only please one network?

    python -m lmac audit recipes/ESC10/recipe.yaml --data_folder=… --methods=[L-MAC,GradCAM] \
        --transfer_classifiers=[results/ESC10/seeds/seed_1/classifier/best]

Explains the clips of the evaluation's scenario (--audit_clips of them, spread over all) by every
method, and asks

- transfer: do other classifiers, trained independently on the same data, decide for the explained
  class by the explanation alone? Over the clips where both decide alike on the input; beside it
  the same for the mask's own values in random cells.
- jitter: is the decision kept when the explanation's sound is shifted by half a hop, 6 dB quieter,
  or in noise at 30 dB?
- deletion and insertion (Petsiuk et al., 2018): area under p as cells are removed, or put back, in
  the order of the mask, in ten steps of equal energy.
- wrong decisions: where the decision is a class of neither sound, and another classifier does not
  share it on the input, does it on the explanation? Then the mask has made the class.
- false explanations: of a class that is not there, how many convince the classifier, and the
  others?

Writes audit.csv (a row per method), audit.md, audit.png and audit_clips.csv (a row per clip,
method and network) beside the rows of eval_explanations.py; a method or a classifier that is added
later is the only one computed.
"""

import re

import pandas as pd
import torch

from data_prep.leaks import warn_of_scenario_leaks
from lmac.core.scoring import probabilities, probabilities_of_sound
from lmac.evaluation.checks.asked import absent_classes
from lmac.evaluation.checks.base import MaskCheck
from lmac.evaluation.files import AUDIT
from lmac.evaluation.folder import in_order
from lmac.explain.figures import audit_figure
from lmac.transfer import transfer_classifiers
from metrics.asked import decides_for
from metrics.audit import JITTERS, STEPS, area_under, jittered, removal_steps, shuffled
from metrics.faithfulness import fidelity_in, pick
from metrics.masks import mask_mean
from metrics.summary import summarise, with_interval
from metrics.tables import NOT_RANKED, markdown_table

OWN = "own"  # the network that is explained
ALIKE = "decides alike"
# Of every network, where it decides alike on the input.
TRANSFER = ("Fid-In", "p", "p in", "Fid-In random", "p random")
# Of the others, where the decision is of neither sound and they do not share it; percent.
WRONG = ("wrong decision", "wrong decision random")
ALONE = ("MM", *JITTERS, "deletion", "insertion")
VALUES = (*ALONE, ALIKE, *TRANSFER, *WRONG, "false explanation")


class Audit(MaskCheck):
    """Audits masks of one classifier; ``transfer``: list of lmac.transfer.TransferClassifier."""

    name, variant, n_clips, in_table = AUDIT, "network", "audit_clips", True
    columns = ("method", "network", "ID", "target_id", "contaminant", *VALUES)

    def __init__(self, hparams, setup, transfer=None):
        super().__init__(hparams, setup)
        # First, so that a wrong folder is known before audio is read.
        if transfer is None:
            transfer = transfer_classifiers(
                hparams["transfer_classifiers"], setup.explained, setup.labels, setup.device
            )
            self._warn_of_leaks(transfer)
        self.transfer = {other.name: other for other in transfer}
        self._on_input = {}

    def _warn_of_leaks(self, transfer):
        trained = {f"{o.folder} (transfer_classifiers)": o.training for o in transfer}
        trained["classifier_checkpoint"] = {"train_folds": []}  # which the scenario has seen to
        warn_of_scenario_leaks(
            self.setup.scenario, self.setup.manifest, trained, self.hparams["train_folds"]
        )

    @property
    def variants(self):
        return (OWN, *self.transfer)

    def detail(self, variant):
        return "" if variant == OWN else f", other {self.transfer[variant].digest}"

    def scenario(self):
        """With a column ``absent``: for each clip the name of a class that is not in it."""
        rows = self.setup.scenario
        return rows.assign(absent=absent_classes(rows, self.setup.labels, self.seed))

    def measure(self, interpreter, batch, variants):
        clips, labels = batch.clips, self.setup.labels
        for network in variants:  # their answers to the input are the same for all methods
            if (network, batch.start) not in self._on_input:
                self._on_input[network, batch.start] = self.answers(network, clips, clips.X)
        absent = [labels.index(row["absent"]) for row in batch.rows]
        right = [
            labels[c] in (row["label"], row["contaminant_label"])
            for row, c in zip(batch.rows, clips.decision.tolist(), strict=True)
        ]
        device = self.setup.device
        found = self.values(
            interpreter, clips, torch.tensor(absent, device=device),
            torch.tensor(right, device=device),
            [self.seed + batch.start + i for i in range(len(batch.rows))],
            {network: self._on_input[network, batch.start] for network in variants},
        )  # fmt: skip
        return {
            network: [{**_who(row), **own} for row, own in zip(batch.rows, values, strict=True)]
            for network, values in found.items()
        }

    def summary(self, rows):
        return in_order(
            summary_of(rows, self.hparams["n_boot"]), list(self.hparams["interpreters"])
        )

    def report(self, summary, rows):
        about = self.about(f"{rows['ID'].nunique()} clips")
        known = (f"{o.description}{_accuracy(o.training)}." for o in self.transfer.values())
        return report(summary, networks_of(rows), " ".join([about, *known]))

    def figure(self, summary, rows, path):
        audit_figure(summary, networks_of(rows), path)

    def answers(self, network, clips, X):
        """Probabilities [B, K] of ``network`` for ``X`` of ``clips``, in the same batches."""
        if network == OWN:
            return probabilities(self.explained, clips, X)
        other = self.transfer[network]
        parts = [other.probabilities(X[part], clips.phase[part]) for part in clips.batches()]
        return torch.cat(parts)

    def values(self, interpreter, clips, absent, right, seeds, on_input):
        """What one method's masks of a batch do to each network.

        Arguments
        ---------
        interpreter : Interpreter
        clips : lmac.core.scoring.Clips
        absent : Tensor [B]
            A class that is not in each clip.
        right : Tensor [B], bool
            Whether the decision is the class of one of the clip's sounds.
        seeds : list of int
            One a clip.
        on_input : dict
            Network to its probabilities [B, K] for the inputs; these networks are asked.

        Returns
        -------
        dict
            Network to a list of dictionaries of VALUES, one a clip.
        """
        target = clips.decision
        mask = self.mask(interpreter, clips, target, seeds[0])
        masked = mask * clips.X
        random = shuffled(mask, seeds) * clips.X
        asked = None
        if interpreter.any_class and not interpreter.needs_clean:
            asked = self.mask(interpreter, clips, absent, seeds[0]) * clips.X
        found = {}
        for network, probs in on_input.items():
            alike = probs.argmax(1) == target
            values, wrong = {"p": pick(probs, target)}, {}
            for kept, end, X in ((" in", "", masked), (" random", " random", random)):
                answer = self.answers(network, clips, X)
                values[f"p{kept}"] = pick(answer, target)
                values[f"Fid-In{end}"] = fidelity_in(answer, target, self.explained.threshold)
                wrong[f"wrong decision{end}"] = 100 * decides_for(answer, target)
            values = {key: v.masked_fill(~alike, float("nan")) for key, v in values.items()}
            values |= {k: v.masked_fill(alike | right, float("nan")) for k, v in wrong.items()}
            values[ALIKE] = alike.double()
            if asked is not None:
                values["false explanation"] = 100 * decides_for(
                    self.answers(network, clips, asked), absent
                )
            if network == OWN:
                values |= self._alone(clips, target, mask, masked, seeds)
            found[network] = [
                {name: float(value[i]) for name, value in values.items()}
                for i in range(len(clips.X))
            ]
        return found

    def _alone(self, clips, target, mask, masked, seeds):
        """ALONE, which other networks have no part in; jitter only where there is sound."""
        explained, values = self.explained, {"MM": mask_mean(mask)}
        if explained.domain.listenable:
            sound = explained.domain.synthesise(masked, clips.phase)
            hop = explained.domain.front_end.hop_samples
            for name, changed in jittered(sound, hop, seeds).items():
                values[name] = fidelity_in(
                    probabilities_of_sound(explained, changed), target, explained.threshold
                )
        steps = removal_steps(mask, clips.X, seeds)
        curves = {"deletion": [], "insertion": []}
        for k in range(STEPS + 1):
            for name, kept in (("deletion", steps > k), ("insertion", steps <= k)):
                answer = probabilities(explained, clips, kept * clips.X)
                curves[name].append(pick(answer, target))
        return values | {name: area_under(torch.stack(c, 1)) for name, c in curves.items()}


def _who(row):
    return {"ID": row["ID"], "target_id": row["target"], "contaminant": row["contaminant_wav"]}


def summary_of(rows, n_boot):
    """A row per method: means of VALUES with intervals, those of other networks by their names.

    Intervals resample targets and contaminants, which clips share.
    """
    tables = []
    for network, part in rows.groupby("network", sort=False):
        names = [*(ALONE if network == OWN else (ALIKE,)), *WRONG, "false explanation"]
        # Where nothing could be asked there is no column; where no clip is alike, empty cells.
        names = [*TRANSFER, *(name for name in names if part[name].notna().any())]
        table = summarise(part, ["method"], names, n_boot=n_boot, crossed_column="contaminant")
        counts = part.groupby("method").agg({ALIKE: "sum", WRONG[0]: "count"}).astype(int)
        table["n"] = table["method"].map(counts[ALIKE])
        if WRONG[0] in table:
            table["n wrong decision"] = table["method"].map(counts[WRONG[0]])
        table = table.drop(columns=[c for c in table if c.endswith(" undefined")])
        table = table.set_index("method")
        if network != OWN:  # its name goes before the ends of an interval
            table.columns = [_named(name, network) for name in table]
        tables.append(table)
    return pd.concat(tables, axis=1).rename_axis("method").reset_index()


def _named(column, network):
    """ "Fid-In lo" as "Fid-In (<network>) lo"."""
    name, end = re.fullmatch(r"(.*?)( lo| hi)?", column).groups("")
    return f"{name} ({network}){end}"


def networks_of(rows):
    """Names of the other networks in rows."""
    return [name for name in rows["network"].unique() if name != OWN]


def report(summary, networks, about):
    """Markdown of :func:`summary_of`; ``networks``: names of the others."""
    lines = [
        "# Audit: the reason for the decision, or pleasing to one network?",
        "",
        about,
        "",
        "Explained are the classifier's own decisions. Mean [95 % bootstrap interval of the mean].",
        "",
        "## Alone",
        "",
        "Fid-In: share of the explanations that keep the decision; random: the same for the mask's "
        "own values in random cells. Jitter: share of the explanations whose sound keeps it when "
        "it is shifted by half a hop, 6 dB quieter, or in noise at 30 dB. Deletion and insertion: "
        "area under p as cells are removed from the input, or put back into silence, "
        "in the order of the mask, in ten steps of equal energy; equal values in random order.",
        "",
    ]  # fmt: skip
    records = summary.to_dict("records")
    columns = {"MM": "MM", "Fid-In": "Fid-In ↑", "Fid-In random": "Fid-In random"}
    columns |= {name: f"{name} ↑" for name in JITTERS}
    columns |= {"deletion": "deletion ↓", "insertion": "insertion ↑"}
    lines += _table(records, {k: v for k, v in columns.items() if k in summary})
    for network in networks:
        end = f" ({network})"
        columns = {
            f"n{end}": "clips", f"Fid-In{end}": "Fid-In ↑", f"Fid-In random{end}": "Fid-In random",
            f"p{end}": "p of the input", f"p in{end}": "p of the explanation ↑",
            f"p random{end}": "p random",
        }  # fmt: skip
        lines += [
            "",
            f"## To {network}",
            "",
            "Clips where both decide alike on the input. p: of the explained class.",
            "",
            *_table(records, columns),
            "",
            _verdict(summary, end),
        ]
    lines += [*_wrong_decisions(summary, networks), *_false_explanations(summary, networks)]
    return "\n".join(lines) + "\n"


def _wrong_decisions(summary, networks):
    """Lines of the report: wrong decisions that only the explanation makes others share."""
    columns = {}
    for name in (name for name in networks if f"wrong decision ({name})" in summary):
        columns |= {
            f"n wrong decision ({name})": f"{name}: clips",
            f"wrong decision ({name})": "wrong decision ↓",
            f"wrong decision random ({name})": "random",
        }  # fmt: skip
    if not columns:
        return []
    return [
        "",
        "## False explanations of wrong decisions",
        "",
        "Clips where the decision is a class of neither sound, and the other network does not "
        "share it: share of the explanations (%) by which it then does, and by the mask's own "
        "values in random cells. A class that neither was put there nor is decided on the input, "
        "the mask has made: the more often, the less its picture and its sound are evidence.",
        "",
        *_table(summary.to_dict("records"), columns, 1),
    ]


def _false_explanations(summary, networks):
    """Lines of the report: absent classes that were asked for."""
    columns = {"false explanation": "own ↓"} | {
        f"false explanation ({name})": f"{name} ↓" for name in networks
    }
    columns = {key: head for key, head in columns.items() if key in summary}
    able = (
        summary.dropna(subset=["false explanation"])
        if "false explanation" in columns
        else summary[:0]
    )
    if able.empty:
        return []
    return [
        "",
        "## False explanations of absent classes",
        "",
        "Of a random class that is not in the clip: share of the explanations (%) by which each "
        "network decides for it. Only methods that take a target class. A class that is "
        "explained all the same, and convinces others as well, shows that transfer alone does not "
        "prove truth.",
        "",
        *_table(able.to_dict("records"), columns, 1),
    ]


def _table(records, columns, decimals=2):
    """Lines of a table of ``columns`` (name in a record to head), counts without interval."""
    return markdown_table(
        ["method", *columns.values()],
        [
            [r["method"]]
            + [
                str(r[name]) if name.startswith("n ") else with_interval(r, name, decimals)
                for name in columns
            ]
            for r in records
        ],
    )


def _verdict(summary, end):
    """Which methods transfer worse than their own values in random cells."""
    methods = summary[~summary["method"].isin(NOT_RANKED)]
    worse = methods[methods[f"Fid-In{end}"] < methods[f"Fid-In random{end}"]]["method"]
    if not summary[f"n{end}"].any():
        return "It decides alike on no clip."
    if worse.empty:
        return "No method keeps fewer decisions here than its own values in random cells."
    return (
        f"Here {', '.join(worse)} keep fewer decisions than their own values in random cells."
        if len(worse) > 1
        else f"Here {worse.iloc[0]} keeps fewer decisions than its own values in random cells."
    )


def _accuracy(info):
    found = [
        f"{100 * info[s]['accuracy']:.1f} % on folds {info[s]['folds']}"
        for s in ("valid", "test")
        if s in info
    ]
    return f" (accuracy {'; '.join(found)})" if found else ""


main = Audit.main
