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
- inventing: where the decision is a class of neither sound, and another classifier does not hear
  it in the input either, does it hear it in the explanation? Then the mask has made it.
- carving: asked for a class that is not there, by how many explanations are the classifier, and
  the others, convinced?

Writes audit.csv (a row per method), audit.md, audit.png and audit_clips.csv (a row per clip,
method and network) beside the rows of eval_explanations.py; a method or a classifier that is added
later is the only one computed.
"""

import hashlib
import re

import pandas as pd
import torch
from tqdm import tqdm

from data_prep.leaks import warn_of_scenario_leaks
from lmac.checkpoints import weights_digest
from lmac.core.scoring import analyse_clips, explain, probabilities, probabilities_of_sound
from lmac.evaluation.checks.asked import absent_classes
from lmac.evaluation.checks.row_cache import RowCache
from lmac.evaluation.files import AUDIT, AUDIT_CLIPS
from lmac.evaluation.folder import EvaluationFolder, in_order
from lmac.evaluation.report import write_report
from lmac.evaluation.setup import Setting
from lmac.explain.figures import audit_figure
from lmac.settings.load import load, parse, run_opts_of
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
INVENTED = ("invented", "invented random")
ALONE = ("MM", *JITTERS, "deletion", "insertion")
VALUES = (*ALONE, ALIKE, *TRANSFER, *INVENTED, "carved")
COLUMNS = ("method", "network", "ID", "target_id", "contaminant", *VALUES, "computed_with")


class Auditor:
    """Audits masks of one classifier.

    Arguments
    ---------
    explained : ExplainedClassifier
    others : list of lmac.transfer.OtherClassifier
    labels : list of str
        Class names.
    seed : int
        Of methods with random numbers, and of the audit's own.
    """

    def __init__(self, explained, others, labels, seed):
        self.explained, self.labels, self.seed = explained, labels, seed
        self.others = {other.name: other for other in others}

    def computed_with(self, network):
        """What rows of ``network`` depend on, besides their method and clips."""
        text = f"classifier {weights_digest(self.explained.classifier)}, seed {self.seed}"
        return text if network == OWN else f"{text}, other {self.others[network].digest}"

    def answers(self, network, clips, X):
        """Probabilities [B, K] of ``network`` for ``X`` of ``clips``, in the same batches."""
        if network == OWN:
            return probabilities(self.explained, clips, X)
        other = self.others[network]
        parts = [other.probabilities(X[part], clips.phase[part]) for part in clips.batches()]
        return torch.cat(parts)

    def rows(self, interpreter, clips, absent, right, seeds, on_input):
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
        mask = self._mask(interpreter, clips, target, seeds)
        masked = mask * clips.X
        random = shuffled(mask, seeds) * clips.X
        asked = None
        if interpreter.any_class and not interpreter.needs_clean:
            asked = self._mask(interpreter, clips, absent, seeds) * clips.X
        found = {}
        for network, probs in on_input.items():
            alike = probs.argmax(1) == target
            values, invented = {"p": pick(probs, target)}, {}
            for kept, end, X in ((" in", "", masked), (" random", " random", random)):
                answer = self.answers(network, clips, X)
                values[f"p{kept}"] = pick(answer, target)
                values[f"Fid-In{end}"] = fidelity_in(answer, target)
                invented[f"invented{end}"] = 100 * decides_for(answer, target)
            values = {key: v.masked_fill(~alike, float("nan")) for key, v in values.items()}
            values |= {k: v.masked_fill(alike | right, float("nan")) for k, v in invented.items()}
            values[ALIKE] = alike.double()
            if asked is not None:
                values["carved"] = 100 * decides_for(self.answers(network, clips, asked), absent)
            if network == OWN:
                values |= self._alone(clips, target, mask, masked, seeds)
            found[network] = [
                {name: float(value[i]) for name, value in values.items()}
                for i in range(len(clips.X))
            ]
        return found

    def _mask(self, interpreter, clips, target, seeds):
        with torch.enable_grad():
            return explain(self.explained, interpreter, clips, target, seeds[0])

    def _alone(self, clips, target, mask, masked, seeds):
        """ALONE, which other networks have no part in; jitter only where there is sound."""
        explained, values = self.explained, {"MM": mask_mean(mask)}
        if explained.domain.listenable:
            sound = explained.domain.synthesise(masked, clips.phase)
            hop = explained.domain.front_end.hop_samples
            for name, changed in jittered(sound, hop, seeds).items():
                values[name] = fidelity_in(probabilities_of_sound(explained, changed), target)
        steps = removal_steps(mask, clips.X, seeds)
        curves = {"deletion": [], "insertion": []}
        for k in range(STEPS + 1):
            for name, kept in (("deletion", steps > k), ("insertion", steps <= k)):
                answer = probabilities(explained, clips, kept * clips.X)
                curves[name].append(pick(answer, target))
        return values | {name: area_under(torch.stack(c, 1)) for name, c in curves.items()}


@torch.no_grad()
def audit(auditor, interpreters, scenario, dataset, batch_size, folder, device):
    """Rows (COLUMNS) for all methods and networks; those that are there are kept.

    Arguments
    ---------
    auditor : Auditor
    interpreters : dict of str to Interpreter
    scenario : DataFrame
        With a column ``absent``: for each clip the name of a class that is not in it. What is
        mixed in may have a ``contaminant_label`` that is no class.
    dataset : DynamicItemDataset
        The clips of ``scenario``, in its order.
    batch_size : int
    folder : lmac.evaluation.folder.EvaluationFolder
    device : str
    """
    clips_of = _clips(scenario)
    kept, todo = RowCache(folder, AUDIT_CLIPS, COLUMNS), {}
    for network in (OWN, *auditor.others):
        shared = f"{auditor.computed_with(network)}, {clips_of}"
        kept.keep_only(shared, network=network)
        for method, interpreter in interpreters.items():
            computed_with = f"{interpreter.description}, {shared}"
            if kept.lacks(computed_with, method=method, network=network):
                todo.setdefault(method, {})[network] = computed_with
    pairs, inputs = scenario.to_dict("records"), {}
    starts = range(0, len(pairs), batch_size)
    bar = tqdm(total=len(todo) * len(pairs), desc="audit", unit="clip", disable=not todo)
    for method, networks in todo.items():
        rows = {network: [] for network in networks}
        for start in starts:
            batch = list(range(start, min(start + batch_size, len(pairs))))
            items = [dataset[i] for i in batch]
            sig, clean = (
                torch.stack([item[key] for item in items]).to(device) for key in ("sig", "clean")
            )
            clips = analyse_clips(auditor.explained, sig, clean)
            for network in networks:  # their answers to the input are the same for all methods
                if (network, start) not in inputs:
                    inputs[network, start] = auditor.answers(network, clips, clips.X)
            absent = [auditor.labels.index(pairs[i]["absent"]) for i in batch]
            right = [
                auditor.labels[c] in (pairs[i]["label"], pairs[i]["contaminant_label"])
                for i, c in zip(batch, clips.decision.tolist(), strict=True)
            ]
            found = auditor.rows(
                interpreters[method], clips, torch.tensor(absent, device=device),
                torch.tensor(right, device=device), [auditor.seed + i for i in batch],
                {network: inputs[network, start] for network in networks},
            )  # fmt: skip
            for network, values in found.items():
                rows[network] += [
                    {**_who(pairs[i]), **own} for i, own in zip(batch, values, strict=True)
                ]
            bar.update(len(batch))
        for network, computed_with in networks.items():
            kept.put(rows[network], computed_with, method=method, network=network)
    bar.close()
    return kept.rows()


def _who(row):
    return {"ID": row["ID"], "target_id": row["target"], "contaminant": row["contaminant_wav"]}


def _clips(scenario):
    """What tells these clips from others, the classes in them, and those that are asked for."""
    text = scenario[["ID", "label", "contaminant_label", "absent"]].to_csv(index=False)
    return f"clips {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def summary_of(rows, n_boot):
    """A row per method: means of VALUES with intervals, those of other networks by their names.

    Intervals resample targets and contaminants, which clips share.
    """
    tables = []
    for network, part in rows.groupby("network", sort=False):
        names = [*(ALONE if network == OWN else (ALIKE,)), *INVENTED, "carved"]
        # Where nothing could be asked there is no column; where no clip is alike, empty cells.
        names = [*TRANSFER, *(name for name in names if part[name].notna().any())]
        table = summarise(part, ["method"], names, n_boot=n_boot, crossed_column="contaminant")
        counts = part.groupby("method").agg({ALIKE: "sum", INVENTED[0]: "count"}).astype(int)
        table["n"] = table["method"].map(counts[ALIKE])
        if INVENTED[0] in table:
            table["n invented"] = table["method"].map(counts[INVENTED[0]])
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
    lines += [*_inventing(summary, networks), *_carving(summary, networks)]
    return "\n".join(lines) + "\n"


def _inventing(summary, networks):
    """Lines of the report: wrong decisions that only the explanation makes others share."""
    columns = {}
    for name in (name for name in networks if f"invented ({name})" in summary):
        columns |= {
            f"n invented ({name})": f"{name}: clips", f"invented ({name})": "invented ↓",
            f"invented random ({name})": "random",
        }  # fmt: skip
    if not columns:
        return []
    return [
        "",
        "## Inventing",
        "",
        "Clips where the decision is a class of neither sound, and the other network does not "
        "share it: share of the explanations (%) by which it then does, and by the mask's own "
        "values in random cells. What nobody heard in the input, nor put there, the mask has "
        "made: the more often, the less its picture and its sound are evidence.",
        "",
        *_table(summary.to_dict("records"), columns, 1),
    ]


def _carving(summary, networks):
    """Lines of the report: absent classes that were asked for."""
    columns = {"carved": "own ↓"} | {f"carved ({name})": f"{name} ↓" for name in networks}
    columns = {key: head for key, head in columns.items() if key in summary}
    able = summary.dropna(subset=["carved"]) if "carved" in columns else summary[:0]
    if able.empty:
        return []
    return [
        "",
        "## Carving",
        "",
        "Asked for a random class that is not in the clip: share of the explanations (%) by "
        "which each network decides for it. Only methods that can be asked. A class that is "
        "carved, and convinces others as well, shows that transfer alone does not prove truth.",
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


def main(argv):
    path, options, overrides = parse(argv)
    hparams, _ = load(path, overrides)
    setting = Setting(hparams, run_opts_of(options))
    # First, so that a wrong folder is known before audio is read.
    others = transfer_classifiers(
        hparams["transfer_classifiers"], setting.explained, setting.labels, setting.device
    )
    scenario, labels = setting.scenario, setting.labels
    trained = {f"{other.folder} (transfer_classifiers)": other.training for other in others}
    trained["classifier_checkpoint"] = {"train_folds": []}  # which the scenario has seen to
    warn_of_scenario_leaks(scenario, setting.manifest, trained, hparams["train_folds"])
    scenario = scenario.assign(absent=absent_classes(scenario, labels, hparams["seed"]))
    dataset, n = setting.dataset, hparams["audit_clips"]
    if n is not None and n < len(scenario):
        chosen = [round(i * len(scenario) / n) for i in range(n)]
        scenario = scenario.iloc[chosen].reset_index(drop=True)
        dataset = dataset.filtered_sorted(key_test={"id": set(scenario["ID"]).__contains__})

    folder = EvaluationFolder(hparams["output_folder"])
    auditor = Auditor(setting.explained, others, labels, hparams["seed"])
    rows = audit(
        auditor, setting.interpreters, scenario, dataset, hparams["batch_size"], folder,
        setting.device,
    )  # fmt: skip
    summary = in_order(summary_of(rows, hparams["n_boot"]), list(hparams["interpreters"]))
    about = (
        f"{hparams['dataset']}, {rows['ID'].nunique()} clips of {folder.path.name}'s manifest, "
        f"domain {hparams['domain']}, classifier {hparams['classifier_name']}, seed "
        f"{hparams['seed']}. "
        + " ".join(f"{other.description}{_accuracy(other.training)}." for other in others)
    )
    networks = networks_of(rows)
    text = report(summary, networks, about.strip())
    print(text)
    print(f"Clips and table: {folder.write_check(AUDIT, summary, text)}")
    audit_figure(summary, networks, folder.path / f"{AUDIT}.png")
    if folder.metrics_csv.is_file():  # its table has columns of these
        write_report(folder, hparams, setting.classifier_info, setting.device, fresh=False)


def _accuracy(info):
    found = [
        f"{100 * info[s]['accuracy']:.1f} % on folds {info[s]['folds']}"
        for s in ("valid", "test")
        if s in info
    ]
    return f" (accuracy {'; '.join(found)})" if found else ""
