"""Train L2I (Listen to Interpret) for a frozen classifier.

    python -m lmac l2i hparams/l2i.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Learns the NMF dictionary of the training clips where it is missing, then the networks; resumes
where it was killed. The checkpoint with the lowest loss on valid_folds ends up in
<output_folder>/best.
"""

from pathlib import Path

import speechbrain as sb
import torch
import torch.nn.functional as F

from interpreters.l2i import L2I_FILE, L2INetwork, require_stft
from lmac.checkpoints import explained_classifier, explained_facts, training_facts
from lmac.io.processes import gather
from lmac.io.provenance import complete
from lmac.settings.dry_run import dry_runnable
from lmac.settings.load import load_experiment
from lmac.training.brain import TrainingBrain, explainer_datasets, train_explainer
from lmac.training.nmf import prepare_dictionary


def l2i_loss(X, estimate, H, logits, f_logits, alpha=10.0, beta=0.8, gamma=1.0):
    """Objective of L2I (Parekh et al., 2022, section 3).

    ``alpha ||X - W H||^2 + beta ||H||_1 + gamma CE(softmax(f(X)), softmax(Theta(H)))``

    Every term is a mean, so that its weight does not depend on batch size and clip length: the
    squared error over clips, frames and bins, the L1 norm over clips, components and frames, the
    cross-entropy over clips.

    Arguments
    ---------
    X, estimate : Tensor [B, T, F]
        log1p|S| and its reconstruction W H.
    H : Tensor [B, K, T]
        Activations.
    logits, f_logits : Tensor [B, C]
        Of Theta and of the classifier; the latter's probabilities are the soft targets.
    alpha, beta, gamma : float
        Weights; 10 and 0.8 published.

    Returns
    -------
    dict of scalar Tensors: ``loss`` and its weighted parts ``reconstruction``, ``l1``,
    ``cross_entropy``.
    """
    parts = {
        "reconstruction": alpha * F.mse_loss(estimate, X),
        "l1": beta * H.abs().mean(),
        "cross_entropy": gamma * F.cross_entropy(logits, f_logits.softmax(1)),
    }
    return {"loss": torch.stack(list(parts.values())).sum(), **parts}


class L2IBrain(TrainingBrain):
    """Trains ``modules.l2i``; the classifier is no module of the Brain and stays frozen.

    Statistics of a stage, beside the parts of the loss: ``relative_error`` of the
    reconstruction, ``||X - W H||_F / ||X||_F`` over all its clips, ``fidelity``, the share of
    clips for which Theta decides as the classifier does, and ``mean_H``.

    Arguments
    ---------
    explained : lmac.core.explained.ExplainedClassifier
    **kwargs
        Of ``speechbrain.Brain``. ``hparams`` beside SpeechBrain's: ``augment`` (waveforms),
        ``l2i_loss`` and what ``TrainingBrain`` needs.
    """

    stage_sums = ("sums",)

    def __init__(self, explained, **kwargs):
        super().__init__(**kwargs)
        self.explained = explained.to(self.device)

    def compute_forward(self, batch, stage):
        """Batch to (X [B, T, F], its estimate, H [B, K, T], logits of Theta and of f [B, C])."""
        wav = batch.sig.data.to(self.device)
        if stage == sb.Stage.TRAIN and self.hparams.augment is not None:
            wav, _ = self.hparams.augment(wav)
        with torch.no_grad():
            X, phase = self.explained.domain.analyse(wav)
            f_logits, representations = self.explained(X, phase)
        H, estimate, logits = self.module("l2i", stage)(representations, X.shape[1])
        return X, estimate.float(), H.float(), logits.float(), f_logits.float()

    def compute_objectives(self, predictions, batch, stage):
        """The L2I loss; keeps what the statistics need."""
        X, estimate, H, logits, f_logits = predictions
        parts = self.hparams.l2i_loss(*predictions)
        with torch.no_grad():
            sums = {k: float(v) * len(X) for k, v in parts.items()}
            sums["error"] = float((X - estimate).square().sum())
            sums["power"] = float(X.square().sum())
            sums["fidelity"] = float((logits.argmax(1) == f_logits.argmax(1)).sum())
            sums["mean_H"] = float(H.mean()) * len(X)
        self.sums.append({**sums, "clips": len(X)})
        return parts["loss"]

    def on_stage_start(self, stage, epoch=None):
        self.sums = []

    def on_stage_end(self, stage, stage_loss, epoch=None):
        batches = gather(self.sums)
        sums = {key: sum(batch[key] for batch in batches) for key in batches[0]}
        relative = (sums.pop("error") / max(sums.pop("power"), 1e-12)) ** 0.5
        clips = sums.pop("clips")
        stats = {key: value / clips for key, value in sums.items()}
        stats["relative_error"] = relative
        self.finish_stage(stage, stats, epoch)

    def export(self, folder, info):
        """Write the networks' weights and the dictionary, and what is known of them."""
        self.export_weights(folder, {"l2i": L2I_FILE}, info)


@dry_runnable
def main(argv):
    hparams, run_opts = load_experiment(argv)
    explained = explained_classifier(hparams)
    require_stft(explained.domain)
    datasets = explainer_datasets(hparams)

    dictionary = Path(hparams["output_folder"]) / "dictionary.npz"
    W, nmf_error = prepare_dictionary(dictionary, datasets["train"], explained.domain, hparams)
    l2i = L2INetwork(explained, W, hparams["l2i_hidden"])
    brain = train_explainer(L2IBrain, explained, {"l2i": l2i}, datasets, hparams, run_opts)
    if sb.utils.distributed.if_main_process() and brain.exports:
        keys = ("n_components", "alpha", "beta", "gamma", "l2i_hidden")
        info = training_facts(hparams, explained.domain, *keys) | explained_facts(explained)
        info |= {"epochs": brain.epochs_done, "dictionary_relative_error": nmf_error}
        info["valid"] = {"folds": hparams["valid_folds"], **brain.test_stats}
        best = Path(hparams["output_folder"]) / "best"
        brain.export(best, info)
        complete(hparams, brain.device)
        print(
            f"L2I: relative reconstruction error {info['valid']['relative_error']:.3f} (best "
            f"possible activations, on training frames: {nmf_error:.3f}), fidelity "
            f"{100 * info['valid']['fidelity']:.1f} % on folds {hparams['valid_folds']}, mean "
            f"activation {info['valid']['mean_H']:.3f}; alpha {hparams['alpha']}, beta "
            f"{hparams['beta']}, gamma {hparams['gamma']}. Weights: {best}"
        )
