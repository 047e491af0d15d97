"""Weight-randomisation check (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018).

    python -m lmac randomisation recipes/ESC10/evaluation.yaml --data_folder=… \
        --methods=[L-MAC,Saliency,GradCAM] --randomisation_clips=16

Compares the masks for the trained classifier with those for the same network with re-initialised
weights, on the same clips and for the same class: an explanation of what the classifier has
learnt must change. Writes randomisation.csv (a row per clip and method) and randomisation.md
beside the rows of eval_explanations.py; a method that is added later is the only one computed.
"""

import copy
from pathlib import Path

import pandas as pd
import speechbrain as sb
import torch
from torch.nn.modules.batchnorm import _NormBase
from tqdm import tqdm

from data_prep.dataset import prepare
from data_prep.scenarios import scenario_clips
from lmac.checkpoints import class_names, explained_classifier, weights_digest
from lmac.config import load, parse
from lmac.results.evaluation import in_order
from lmac.results.scoring import get_interpreters
from metrics.ranks import RANDOMISATION, RANK_CORRELATION, rank_correlation
from metrics.summary import summarise, with_interval
from metrics.tables import markdown_table, write_csv, write_text

KEYS = ["scenario", "domain", "method", "ID", "target_id", "computed_with"]


def randomised(explained, batches, seed):
    """A copy of ``explained`` whose classifier has learnt nothing; the original is not touched.

    Every module that can re-initialise itself (``reset_parameters``) does so; the values of any
    other parameter are permuted. Statistics of normalisation layers are then estimated anew, or
    the activations of the random network would vanish or explode.

    Arguments
    ---------
    explained : ExplainedClassifier
    batches : list of Tensor [B, T, F]
        X of the domain, from which the statistics are estimated.
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
        for number, X in enumerate(batches, 1):
            for module, _ in norms:
                module.momentum = 1 / number  # the mean over all batches
            copied(X)
    for module, momentum in norms:
        module.momentum = momentum
        module.training = False
    return copied


def twin(interpreter, other):
    """A copy of ``interpreter`` that explains the classifier of ``other`` instead.

    It is not built anew, for trained methods refuse a classifier that is not theirs.
    """
    copied = copy.deepcopy(interpreter)
    copied.explained.classifier.load_state_dict(other.classifier.state_dict())
    return copied


def correlations(trained, other, batches, seed, targets):
    """Rank correlation per clip of the masks of two interpreters, NaN where one is constant.

    Arguments
    ---------
    trained, other : Interpreter
        One method, for the trained and for the randomised classifier.
    batches : list of (X, clean_X)
    seed : int
        Of methods with random numbers: both get the same.
    targets : list of Tensor [B]
        The classes that both explain.
    """
    values = []
    for number, ((X, clean_X), target) in enumerate(zip(batches, targets, strict=True)):
        masks = []
        for interpreter in (trained, other):
            interpreter.reset(seed + number)
            more = [clean_X] if interpreter.needs_clean else []
            masks.append(interpreter.explain(X, target, *more))
        values.append(rank_correlation(*masks))
    return torch.cat(values)


def check(explained, other, available, methods, batches, clips, path, seed):
    """Rows for all of ``methods``; those that ``path`` has are kept, the file grows by method.

    Rows of another classifier, seed or other clips are dropped when there are new ones.

    Arguments
    ---------
    explained, other : ExplainedClassifier
        Trained and randomised.
    available : dict
        Name to factory: the ``interpreters`` of a YAML.
    methods : list of str
    batches : list of (X, clean_X)
    clips : DataFrame
        ``scenario, domain, ID, target_id`` of the clips in ``batches``.
    path : path
        Of ``randomisation.csv``.
    seed : int
    """
    interpreters = get_interpreters(available, methods, explained)
    with torch.no_grad():
        targets = [explained.probabilities(X).argmax(1) for X, _ in batches]
    network = f"classifier {weights_digest(explained.classifier)}, seed {seed}"
    known = pd.DataFrame(columns=[*KEYS, RANK_CORRELATION])
    if Path(path).is_file():
        known = pd.read_csv(path)
        known = known[known["computed_with"].str.endswith(network)]
        if set(known["ID"]) != set(clips["ID"]):
            known = known.iloc[:0]
    for method in tqdm(methods, desc="randomisation"):
        computed_with = f"{interpreters[method].description}, {network}"
        there = known[known["method"] == method]
        if set(there["computed_with"]) == {computed_with}:
            continue
        pair = interpreters[method], twin(interpreters[method], other)
        values = correlations(*pair, batches, seed, targets)
        rows = clips.assign(
            method=method, computed_with=computed_with, **{RANK_CORRELATION: values.numpy()}
        )[[*KEYS, RANK_CORRELATION]]
        kept = known[known["method"] != method]
        known = in_order(pd.concat([kept, rows]) if len(kept) else rows, list(available))
        write_csv(known, path)
    # As the file has them, so that a later call gives the same.
    return pd.read_csv(path)


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
    path, run_opts, overrides = parse(argv)
    hparams, _ = load(path, overrides)
    manifest, labels = prepare(hparams)
    labels = class_names(hparams["classifier_checkpoint"], labels, hparams["embedding_model"])
    scenario, dataset = scenario_clips(hparams, manifest, labels)
    n = hparams["randomisation_clips"]
    if not 1 <= n <= len(scenario):
        raise ValueError(f"randomisation_clips is {n}: expected 1 to {len(scenario)}.")
    device = run_opts.device or sb.utils.distributed.infer_device()
    explained = explained_classifier(hparams).to(device)

    chosen = scenario.iloc[[round(i * len(scenario) / n) for i in range(n)]]
    items = dataset.filtered_sorted(key_test={"id": set(chosen["ID"]).__contains__})
    items = [items[i] for i in range(n)]
    batches = []
    for start in range(0, n, hparams["batch_size"]):
        part = items[start : start + hparams["batch_size"]]
        batches.append(
            tuple(
                explained.domain.analyse(torch.stack([item[key] for item in part]).to(device))[0]
                for key in ("sig", "clean")
            )
        )
    clips = pd.DataFrame(
        {
            "scenario": hparams["scenario"],
            "domain": hparams["domain"],
            "ID": [item["id"] for item in items],
            "target_id": [item["target"] for item in items],
        }
    )
    other = randomised(explained, [X for X, _ in batches], hparams["seed"])
    kept = torch.cat(
        [
            explained.probabilities(X).argmax(1) == other.probabilities(X).argmax(1)
            for X, _ in batches
        ]
    )
    sanity = f"The re-initialised network shares {int(kept.sum())} of {n} decisions."
    folder = Path(hparams["output_folder"])
    rows = check(
        explained, other, hparams["interpreters"], hparams["methods"], batches, clips,
        folder / RANDOMISATION, hparams["seed"],
    )  # fmt: skip
    text = report(rows, hparams["n_boot"], sanity)
    write_text(text, (folder / RANDOMISATION).with_suffix(".md"))
    print(text)
    print(f"Rows and table: {folder / RANDOMISATION}")
