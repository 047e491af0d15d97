"""Weight-randomisation check (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018).

    python -m lmac randomisation recipes/ESC10/recipe.yaml --data_folder=… \
        --methods=[L-MAC,Saliency,GradCAM] --randomisation_clips=16

Compares the masks for the trained classifier with those for the same network with re-initialised
weights, on the same clips and for the same class: an explanation of what the classifier has
learnt must change. Writes randomisation.csv (a row per clip and method) and randomisation.md
beside the rows of eval_explanations.py; a method that is added later is the only one computed.
"""

import copy

import pandas as pd
import torch
from torch.nn.modules.batchnorm import _NormBase
from tqdm import tqdm

from lmac.checkpoints import weights_digest
from lmac.core.scoring import analyse_clips, explain, get_interpreters
from lmac.evaluation.files import RANDOMISATION
from lmac.evaluation.folder import EvaluationFolder, in_order
from lmac.evaluation.setup import Setting
from lmac.settings.load import load, parse, run_opts_of
from metrics.ranks import RANK_CORRELATION, rank_correlation
from metrics.summary import summarise, with_interval
from metrics.tables import markdown_table

KEYS = ["scenario", "domain", "method", "ID", "target_id", "computed_with"]


def randomised(explained, batches, seed):
    """A copy of ``explained`` whose classifier has learnt nothing; the original is not touched.

    Every module that can re-initialise itself (``reset_parameters``) does so; the values of any
    other parameter are permuted. Statistics of normalisation layers are then estimated anew, or
    the activations of the random network would vanish or explode.

    Arguments
    ---------
    explained : ExplainedClassifier
    batches : list of lmac.core.scoring.Clips
        From which the statistics are estimated.
    seed : int
    """
    copied = copy.deepcopy(explained)
    norms = []
    devices = [b.device for b in copied.buffers() if b.is_cuda][:1]
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(seed)
        for module in copied.classifier.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            else:
                for own in module.parameters(recurse=False):
                    order = torch.randperm(own.numel(), device=own.device)
                    own.copy_(own.flatten()[order].view_as(own))
            if isinstance(module, _NormBase) and module.track_running_stats:
                norms.append((module, module.momentum))
                module.training = True  # of this layer alone: dropout stays off
        for number, clips in enumerate(batches, 1):
            for module, _ in norms:
                module.momentum = 1 / number  # the mean over all batches
            copied(clips.X, clips.phase)
    for module, momentum in norms:
        module.momentum = momentum
        module.training = False
    return copied


def for_classifier(interpreter, other):
    """A copy of ``interpreter`` that explains the classifier of ``other`` instead.

    It is not built anew, for trained methods refuse a classifier that is not theirs.
    """
    copied = copy.deepcopy(interpreter)
    copied.explained.classifier.load_state_dict(other.classifier.state_dict())
    return copied


def correlations(trained, other, batches, seed):
    """Rank correlation per clip of the masks of two interpreters, NaN where one is constant.

    Both explain the decision of the trained classifier.

    Arguments
    ---------
    trained, other : Interpreter
        One method, for the trained and for the randomised classifier.
    batches : list of lmac.core.scoring.Clips
        As the trained classifier has them.
    seed : int
        Of methods with random numbers: both get the same.
    """
    values = []
    for number, clips in enumerate(batches):
        masks = [
            explain(one.explained, one, clips, clips.decision, seed + number)
            for one in (trained, other)
        ]
        values.append(rank_correlation(*masks))
    return torch.cat(values)


def check(explained, other, available, methods, batches, clips, folder, seed):
    """Rows for all of ``methods``; those that are there are kept, the file grows by method.

    Rows of another classifier, seed or other clips are dropped when there are new ones.

    Arguments
    ---------
    explained, other : ExplainedClassifier
        Trained and randomised.
    available : dict
        Name to factory: the ``interpreters`` of a YAML.
    methods : list of str
    batches : list of lmac.core.scoring.Clips
    clips : DataFrame
        ``scenario, domain, ID, target_id`` of the clips in ``batches``.
    folder : lmac.evaluation.folder.EvaluationFolder
    seed : int
    """
    interpreters = get_interpreters(available, methods, explained)
    network = f"classifier {weights_digest(explained.classifier)}, seed {seed}"
    known = folder.check(RANDOMISATION)
    if known is None:
        known = pd.DataFrame(columns=[*KEYS, RANK_CORRELATION])
    known = known[known["computed_with"].str.endswith(network)]
    if set(known["ID"]) != set(clips["ID"]):
        known = known.iloc[:0]
    for method in tqdm(methods, desc="randomisation"):
        computed_with = f"{interpreters[method].description}, {network}"
        there = known[known["method"] == method]
        if set(there["computed_with"]) == {computed_with}:
            continue
        pair = interpreters[method], for_classifier(interpreters[method], other)
        values = correlations(*pair, batches, seed)
        rows = clips.assign(
            method=method, computed_with=computed_with, **{RANK_CORRELATION: values.numpy()}
        )[[*KEYS, RANK_CORRELATION]]
        kept = known[known["method"] != method]
        known = in_order(pd.concat([kept, rows]) if len(kept) else rows, list(available))
        folder.write_check(RANDOMISATION, known)
    # As the file has them, so that a later call gives the same.
    return folder.check(RANDOMISATION)


def report(rows, n_boot, sanity):
    """Markdown: a row per method, and what was done; ``sanity`` describes the random network."""
    summary = summarise(rows, ["method"], [RANK_CORRELATION], n_boot=n_boot)
    where = f"{rows['scenario'].iloc[0]}, {rows['domain'].iloc[0]}"
    lines = [
        f"# Weight randomisation: {where}",
        "",
        "Spearman's rank correlation between the masks for the trained classifier and for the "
        "same network with re-initialised weights (statistics of normalisation layers estimated "
        "anew on these clips), same clips, same class: the trained classifier's decision. 1: the "
        "method does not look at what the classifier has learnt. A trained decoder reads the "
        "representations of the re-initialised network. Undefined where a mask is constant. "
        + sanity,
        "",
    ]
    lines += markdown_table(
        ["method", "clips", "rank correlation [95 % interval]", "undefined"],
        [
            [r["method"], r["n"], with_interval(r, RANK_CORRELATION)]
            + [r[f"{RANK_CORRELATION} undefined"]]
            for r in summary.to_dict("records")
        ],
    )
    return "\n".join(lines) + "\n"


def main(argv):
    path, options, overrides = parse(argv)
    hparams, _ = load(path, overrides)
    setting = Setting(hparams, run_opts_of(options))
    explained, scenario = setting.explained, setting.scenario
    n = hparams["randomisation_clips"]
    if not 1 <= n <= len(scenario):
        raise ValueError(f"randomisation_clips is {n}: expected 1 to {len(scenario)}.")

    chosen = scenario.iloc[[round(i * len(scenario) / n) for i in range(n)]]
    items = setting.dataset.filtered_sorted(key_test={"id": set(chosen["ID"]).__contains__})
    items = [items[i] for i in range(n)]
    batches = []
    for start in range(0, n, hparams["batch_size"]):
        part = items[start : start + hparams["batch_size"]]
        waves = [torch.stack([item[k] for item in part]) for k in ("sig", "clean")]
        batches.append(analyse_clips(explained, *(wav.to(setting.device) for wav in waves)))
    clips = pd.DataFrame(
        {
            "scenario": hparams["scenario"],
            "domain": hparams["domain"],
            "ID": [item["id"] for item in items],
            "target_id": [item["target"] for item in items],
        }
    )
    other = randomised(explained, batches, hparams["seed"])
    kept = sum(
        int((explained.probabilities(b.X, b.phase).argmax(1) ==
             other.probabilities(b.X, b.phase).argmax(1)).sum())
        for b in batches
    )  # fmt: skip
    sanity = f"The re-initialised network shares {kept} of {n} decisions."
    folder = EvaluationFolder(hparams["output_folder"])
    rows = check(
        explained, other, hparams["interpreters"], hparams["methods"], batches, clips, folder,
        hparams["seed"],
    )  # fmt: skip
    text = report(rows, hparams["n_boot"], sanity)
    print(text)
    print(f"Rows and table: {folder.write_check(RANDOMISATION, rows, text)}")
