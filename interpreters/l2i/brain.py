"""Training L2I on a frozen classifier."""

import speechbrain as sb
import torch
import torch.nn.functional as F

from lmac.brains.training import TrainingBrain
from lmac.processes import gather

L2I_FILE = "l2i.ckpt"


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
    explained : lmac.explained.ExplainedClassifier
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
