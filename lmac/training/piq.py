"""Train PIQ (Posthoc Interpretation via Quantization) for a frozen classifier.

    python -m lmac piq hparams/piq.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Resumes where it was killed. The checkpoint with the highest fidelity on valid_folds ends up in
<output_folder>/best.
"""

from pathlib import Path

import speechbrain as sb
import torch
import torch.nn.functional as F

from interpreters.piq import PIQ_FILE, PIQNetwork
from lmac.checkpoints import explained_classifier, explained_facts, training_facts
from lmac.io.processes import gather
from lmac.io.provenance import complete
from lmac.settings.dry_run import dry_runnable
from lmac.settings.load import load_experiment
from lmac.training.brain import TrainingBrain, explainer_datasets, train_explainer


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


class PIQBrain(TrainingBrain):
    """Trains ``modules.piq``; the classifier is no module of the Brain and stays frozen.

    Statistics of a stage, beside the parts of the loss: ``mean_mask`` and, in validation,
    ``fidelity``, the share of clips whose masked input the classifier decides as the clip.

    Arguments
    ---------
    explained : lmac.core.explained.ExplainedClassifier
    **kwargs
        Of ``speechbrain.Brain``. ``hparams`` beside SpeechBrain's: ``augment`` (waveforms),
        ``piq_loss`` and what ``TrainingBrain`` needs.
    """

    best_key, best_is = "fidelity", "max"  # as published, there among the three best classes
    stage_sums = ("sums",)

    def __init__(self, explained, **kwargs):
        super().__init__(**kwargs)
        self.explained = explained.to(self.device)

    def compute_forward(self, batch, stage):
        """Batch to (X, mask logits [B, T, F], map, its codes [B, C, T', F'], phase, decision)."""
        wav = batch.sig.data.to(self.device)
        if stage == sb.Stage.TRAIN and self.hparams.augment is not None:
            wav, _ = self.hparams.augment(wav)
        domain = self.explained.domain
        with torch.no_grad():
            X, phase = domain.analyse(wav)
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
            sums = {"mean_mask": mask.mean(), **{k: v.detach() for k, v in parts.items()}}
            if stage != sb.Stage.TRAIN:
                decided = self.explained.logits(mask * X, phase).argmax(1)
                sums["fidelity"] = (decided == target).float().mean()
        self.sums.append({"clips": len(X), **{k: float(v) * len(X) for k, v in sums.items()}})
        return parts["loss"]

    def on_stage_start(self, stage, epoch=None):
        self.sums = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        batches = gather(self.sums)
        sums = {key: sum(batch[key] for batch in batches) for key in batches[0]}
        clips = sums.pop("clips")
        self.finish_stage(stage, {key: value / clips for key, value in sums.items()}, epoch)

    def export(self, folder, info):
        """Write the network's weights, and what is known of them."""
        self.export_weights(folder, {"piq": PIQ_FILE}, info)


@dry_runnable
def main(argv):
    hparams, run_opts = load_experiment(argv)
    explained = explained_classifier(hparams)
    datasets = explainer_datasets(hparams)
    sizes = (hparams[f"piq_{name}"] for name in ("hidden", "codes", "layer"))
    modules = {"piq": PIQNetwork(explained, *sizes)}
    brain = train_explainer(PIQBrain, explained, modules, datasets, hparams, run_opts)
    if sb.utils.distributed.if_main_process() and brain.exports:
        keys = ("piq_hidden", "piq_codes", "piq_layer", "piq_threshold")
        info = training_facts(hparams, explained.domain, *keys) | explained_facts(explained)
        info |= {"epochs": brain.epochs_done}
        info["valid"] = {"folds": hparams["valid_folds"], **brain.test_stats}
        best = Path(hparams["output_folder"]) / "best"
        brain.export(best, info)
        complete(hparams, brain.device)
        print(
            f"PIQ: {100 * info['valid']['fidelity']:.1f} % of the masked inputs are decided as the "
            f"clips, on folds {hparams['valid_folds']}; mean mask "
            f"{info['valid']['mean_mask']:.3f}. Weights: {best}"
        )
