"""Train PIQ (Posthoc Interpretation via Quantization) for a frozen classifier.

    python -m lmac piq hparams/piq.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Resumes where it was killed. The checkpoint with the highest fidelity on valid_folds ends up in
<output_folder>/best.
"""

import speechbrain as sb
import torch
import torch.nn.functional as F

from interpreters.piq import PIQ_FILE, PIQNetwork
from lmac.checkpoints import explained_classifier
from lmac.settings.dry_run import dry_runnable
from lmac.settings.load import load_experiment
from lmac.training.baseline import BaselineBrain, require_softmax, train_baseline
from lmac.training.brain import explainer_datasets


def piq_loss(X, mask_logits, maps, codes, threshold=0.35):
    """Objective of PIQ, as in SpeechBrain's recipe.

    The binary cross-entropy of the mask with the cells of ``X`` that exceed ``threshold`` times
    the clip's largest, and the two terms of vector quantisation (van den Oord et al., 2017): codes
    are drawn to the maps, and maps to their codes. Every term is a mean.

    Arguments
    ---------
    X, mask_logits : Tensor [B, T, F]
    maps, codes : Tensor [B, C, T', F']
        Before and after quantisation.
    threshold : float
        0.35 published.

    Returns
    -------
    dict of scalar Tensors: ``loss`` and its parts ``reconstruction``, ``codebook``,
    ``commitment``.
    """
    loud = (X > threshold * X.amax((1, 2), keepdim=True)).to(mask_logits.dtype)
    parts = {
        "reconstruction": F.binary_cross_entropy_with_logits(mask_logits, loud),
        "codebook": F.mse_loss(codes, maps.detach()),
        "commitment": F.mse_loss(maps, codes.detach()),
    }
    return {"loss": torch.stack(list(parts.values())).sum(), **parts}


class PIQBrain(BaselineBrain):
    """Trains ``modules.piq``.

    Statistics of a stage, beside the parts of the loss: ``mean_mask`` and, in validation,
    ``fidelity``, the share of clips whose masked input the classifier decides as the clip.
    ``hparams`` beside those of BaselineBrain: ``piq_loss``.
    """

    name, file = "piq", PIQ_FILE
    best_key, best_is = "fidelity", "max"  # as published, there among the three best classes

    def compute_forward(self, batch, stage):
        """Batch to (X, mask logits [B, T, F], map, its codes [B, C, T', F'], phase, decision)."""
        domain = self.explained.domain
        with torch.no_grad():
            X, phase = domain.analyse(self.waves(batch, stage))
            logits, representations = self.explained(X, phase)
            target = logits.argmax(1)
        network = self.module("piq", stage)
        mask_logits, maps, codes = network(representations, target, domain, X.shape[1])
        return X, mask_logits.float(), maps.float(), codes.float(), phase, target

    def compute_objectives(self, predictions, batch, stage):
        """The PIQ loss; keeps what the statistics need."""
        X, mask_logits, maps, codes, phase, target = predictions
        parts = self.hparams.piq_loss(X, mask_logits, maps, codes)
        with torch.no_grad():
            mask = mask_logits.sigmoid()
            means = {"mean_mask": mask.mean(), **parts}
            if stage != sb.Stage.TRAIN:
                decided = self.explained.logits(mask * X, phase).argmax(1)
                means["fidelity"] = (decided == target).float().mean()
            self.add(len(X), means)
        return parts["loss"]


@dry_runnable
def main(argv):
    hparams, run_opts = load_experiment(argv)
    explained = explained_classifier(hparams)
    require_softmax(explained, "PIQ")
    datasets = explainer_datasets(hparams)
    sizes = (hparams[f"piq_{name}"] for name in ("hidden", "codes", "layer"))
    network = PIQNetwork(explained, *sizes)
    keys = ("piq_hidden", "piq_codes", "piq_layer", "piq_threshold")
    done = train_baseline(PIQBrain, explained, network, datasets, hparams, run_opts, keys)
    if done:
        valid, best = done
        print(
            f"PIQ: {100 * valid['fidelity']:.1f} % of the masked inputs are decided as the "
            f"clips, on folds {hparams['valid_folds']}; mean mask "
            f"{valid['mean_mask']:.3f}. Weights: {best}"
        )
