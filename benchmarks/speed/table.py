"""Evaluation of a full table: all methods of a recipe's table and all metrics.

The plain way: Captum's classes one sample at a time, the classifier layer by layer, and asked anew
for f(X), f(M X) and f((1 - M) X) by each metric that reads them.
"""

import torch
from captum.attr import (
    GradientShap,
    GuidedBackprop,
    IntegratedGradients,
    LayerGradCam,
    NoiseTunnel,
    Saliency,
)

from interpreters.base import Logits, normalise, parts
from lmac.core.scoring import analyse_clips, explain_and_score
from lmac.settings.load import load
from metrics.faithfulness import (
    average_drop,
    average_gain,
    average_increase,
    faithfulness,
    fidelity_in,
    pick,
)
from metrics.masks import complexity, mask_mean, sparseness

TABLE = "recipes/ESC10/recipe.yaml:table2_mixtures"
SAMPLING = ("SmoothGrad", "IG", "SHAP")
# Of these there are no weights here; fine-tuned or not takes the same time, refining its own.
UNTRAINED = ("L-MAC FT", "L-MAC refined", "L2I")


class Table:
    """The methods of ``TABLE`` and their settings, for what ``ours`` explains."""

    def __init__(self, ours):
        self.ours, self.explained = ours, ours.explained
        self.hparams, _ = load(
            TABLE, {"data_folder": "none", "classifier_checkpoint": "none"}, only=["decoder"]
        )
        names = [m for m in self.hparams["methods_stft"] if m not in UNTRAINED]
        available = self.hparams["interpreters"]
        self.interpreters = {
            m: ours.interpreter if m == "L-MAC" else available[m](self.explained) for m in names
        }
        self.clean = 0.5 * ours.wav

    def evaluate(self, names):
        """As eval_explanations.py does: method to its scores."""
        with torch.no_grad():
            clips = analyse_clips(self.explained, self.ours.wav, self.clean)
        return {
            m: explain_and_score(
                self.explained, self.interpreters[m], clips, clips.decision, 0
            ).scores
            for m in names
        }

    def evaluate_plainly(self, names):
        """The plain way, for the metrics of the paper."""
        X, phase = self.explained.domain.analyse(self.ours.wav)
        target = self._probs(X, phase).argmax(1)
        return {m: self._metrics(self.mask(m, X, phase, target), X, phase, target) for m in names}

    def mask(self, method, X, phase, target):
        """The mask of a method by Captum; of one that Captum does not have, by ours."""
        more = parts(phase if self.explained.domain.needs_phase else None)
        given = {"target": target, "additional_forward_args": more}
        logits, inputs = Logits(self.explained), X.clone().requires_grad_()
        if method == "Saliency":
            return normalise(Saliency(logits).attribute(inputs, **given))
        if method == "Guided Backprop":
            return normalise(GuidedBackprop(logits).attribute(inputs, **given))
        if method == "SmoothGrad":
            scale = self.hparams["smoothgrad_noise"] * float(X.amax() - X.amin())
            tunnel = NoiseTunnel(Saliency(lambda Z, *more: logits(Z.clamp_min(0), *more)))
            n = self.hparams["smoothgrad_samples"]
            return normalise(
                tunnel.attribute(
                    inputs, nt_samples=n, nt_samples_batch_size=1, stdevs=scale, abs=False, **given
                )
            )
        if method == "IG":
            steps = self.hparams["ig_steps"]
            captum = IntegratedGradients(logits)
            return normalise(
                captum.attribute(X, n_steps=steps, internal_batch_size=len(X), **given)
            )
        if method == "SHAP":
            captum, silence = GradientShap(logits), torch.zeros_like(X[:1])
            return normalise(
                sum(
                    captum.attribute(inputs, baselines=silence, n_samples=1, **given).detach()
                    for _ in range(self.hparams["shap_samples"])
                )
            )
        if method in ("GradCAM", "Guided GradCAM"):
            layer = self.explained.classifier.embedding_model.conv_block6
            cam = LayerGradCam(logits, layer).attribute(inputs, relu_attributions=True, **given)
            cam = normalise(self.explained.domain.upsample(cam[:, 0].detach(), X.shape[1]))
            if method == "GradCAM":
                return cam
            return normalise(GuidedBackprop(logits).attribute(inputs, **given) * cam)
        more = {"clean_X": X} if self.interpreters[method].needs_clean else {}
        return self.interpreters[method].explain(X, target, phase, **more)

    def _probs(self, X, phase):
        needed = phase if self.explained.domain.needs_phase else None
        return self.explained.probabilities(X, needed)

    def _metrics(self, mask, X, phase, target):
        def p(X):
            return pick(self._probs(X, phase), target)

        return {
            "AI": average_increase(p(X), p(mask * X)),
            "AD": average_drop(p(X), p(mask * X)),
            "AG": average_gain(p(X), p(mask * X)),
            "FF": faithfulness(p(X), p((1 - mask) * X)),
            "Fid-In": fidelity_in(self._probs(mask * X, phase), self._probs(X, phase).argmax(1)),
            "SPS": sparseness(mask),
            "COMP": complexity(mask),
            "MM": mask_mean(mask),
        }
