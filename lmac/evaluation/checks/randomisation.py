"""Weight-randomisation check (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018).

    python -m lmac randomisation recipes/ESC10/recipe.yaml --data_folder=… \
        --methods=[L-MAC,Saliency,GradCAM] --randomisation_clips=16

Compares the masks for the trained classifier with those for the same network with re-initialised
weights, on the same clips and for the same class: an explanation of what the classifier has
learnt must change. Writes randomisation.csv (a row per clip and method) and randomisation.md
beside the rows of eval_explanations.py; a method that is added later is the only one computed.
"""

import copy
from functools import cached_property

import torch
from torch.nn.modules.batchnorm import _NormBase

from lmac.core.scoring import explain
from lmac.evaluation.checks.base import MaskCheck
from lmac.evaluation.files import RANDOMISATION
from metrics.ranks import RANK_CORRELATION, rank_correlation
from metrics.summary import summarise, with_interval
from metrics.tables import markdown_table


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
        with torch.enable_grad():
            masks = [
                explain(one.explained, one, clips, clips.decision, seed + number)
                for one in (trained, other)
            ]
        values.append(rank_correlation(*masks))
    return torch.cat(values)


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


class Randomisation(MaskCheck):
    """``other`` (ExplainedClassifier): the same network with random weights, made when needed."""

    name = rows_name = RANDOMISATION
    n_clips = "randomisation_clips"
    no_more_than_there_are = True
    columns = ("scenario", "domain", "method", "ID", "target_id", RANK_CORRELATION)

    @cached_property
    def _clips_of_all(self):
        return [batch.clips for batch in self.batches()]

    @cached_property
    def other(self):
        return randomised(self.explained, self._clips_of_all, self.seed)

    def measure(self, interpreter, batch, variants):
        other = for_classifier(interpreter, self.other)
        values = correlations(interpreter, other, [batch.clips], self.seed + batch.number)
        shared = {key: self.hparams[key] for key in ("scenario", "domain")}
        return {
            None: [
                {**shared, "ID": row["ID"], "target_id": row["target"], RANK_CORRELATION: value}
                for row, value in zip(batch.rows, values.tolist(), strict=True)
            ]
        }

    def report(self, summary, rows):
        same = sum(
            int((clips.decision == self.other.probabilities(clips.X, clips.phase).argmax(1)).sum())
            for clips in self._clips_of_all
        )
        sanity = f"The re-initialised network shares {same} of {len(self.chosen)} decisions."
        return report(rows, self.hparams["n_boot"], sanity)


main = Randomisation.main
