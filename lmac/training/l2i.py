"""Train L2I (Listen to Interpret) for a frozen classifier.

    python -m lmac l2i hparams/l2i.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Learns the NMF dictionary of the training clips where it is missing, then the networks; resumes
where it was killed. The checkpoint with the lowest loss on valid_folds ends up in
<output_folder>/best.
"""

from pathlib import Path

import torch
import torch.nn.functional as F

from interpreters.l2i import L2I_FILE, L2INetwork, require_stft
from lmac.checkpoints import explained_classifier
from lmac.settings.dry_run import dry_runnable
from lmac.settings.load import load_experiment
from lmac.training.baseline import BaselineBrain, require_softmax, train_baseline
from lmac.training.brain import explainer_datasets
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


class L2IBrain(BaselineBrain):
    """Trains ``modules.l2i``.

    Statistics of a stage, beside the parts of the loss: ``relative_error`` of the
    reconstruction, ``||X - W H||_F / ||X||_F`` over all its clips, ``fidelity``, the share of
    clips for which Theta decides as the classifier does, and ``mean_H``. ``hparams`` beside those
    of BaselineBrain: ``l2i_loss``.
    """

    name, file = "l2i", L2I_FILE

    def compute_forward(self, batch, stage):
        """Batch to (X [B, T, F], its estimate, H [B, K, T], logits of Theta and of f [B, C])."""
        with torch.no_grad():
            X, phase = self.explained.domain.analyse(self.waves(batch, stage))
            f_logits, representations = self.explained(X, phase)
        H, estimate, logits = self.module("l2i", stage)(representations, X.shape[1])
        return X, estimate.float(), H.float(), logits.float(), f_logits.float()

    def compute_objectives(self, predictions, batch, stage):
        """The L2I loss; keeps what the statistics need."""
        X, estimate, H, logits, f_logits = predictions
        parts = self.hparams.l2i_loss(*predictions)
        with torch.no_grad():
            alike = (logits.argmax(1) == f_logits.argmax(1)).double().mean()
            means = {**parts, "fidelity": alike, "mean_H": H.mean()}
            self.add(len(X), means, error=(X - estimate).square().sum(), power=X.square().sum())
        return parts["loss"]

    def statistics(self, sums, clips):
        relative = (sums.pop("error") / max(sums.pop("power"), 1e-12)) ** 0.5
        return {**super().statistics(sums, clips), "relative_error": relative}


@dry_runnable
def main(argv):
    hparams, run_opts = load_experiment(argv)
    explained = explained_classifier(hparams)
    require_stft(explained.domain)
    require_softmax(explained, "L2I")
    datasets = explainer_datasets(hparams)

    dictionary = Path(hparams["output_folder"]) / "dictionary.npz"
    W, nmf_error = prepare_dictionary(dictionary, datasets["train"], explained.domain, hparams)
    network = L2INetwork(explained, W, hparams["l2i_hidden"])
    keys = ("n_components", "alpha", "beta", "gamma", "l2i_hidden")
    done = train_baseline(L2IBrain, explained, network, datasets, hparams, run_opts, keys,
                          dictionary_relative_error=nmf_error)  # fmt: skip
    if done:
        valid, best = done
        print(
            f"L2I: relative reconstruction error {valid['relative_error']:.3f} (best "
            f"possible activations, on training frames: {nmf_error:.3f}), fidelity "
            f"{100 * valid['fidelity']:.1f} % on folds {hparams['valid_folds']}, mean "
            f"activation {valid['mean_H']:.3f}; alpha {hparams['alpha']}, beta "
            f"{hparams['beta']}, gamma {hparams['gamma']}. Weights: {best}"
        )
