"""GradCAM (Selvaraju et al., 2017)."""

import torch
import torch.nn.functional as F

from interpreters.base import AttributionInterpreter


class GradCAM(AttributionInterpreter):
    """Gradient-weighted activation of one representation, upsampled to X.

    The map has the resolution of that representation. It is upsampled bilinearly by what the
    classifier says of its frequency axis (``Domain.upsample``): to STFT bins where that is linear,
    to mel bands where it is mel, and from there to bins where X is the STFT. Then it is divided by
    its maximum.

    Arguments
    ---------
    explained : ExplainedClassifier
    layer : int
        Index of the representation, finest first; -1 is the last.
    **options
        ``form`` and ``area``, as of ``AttributionInterpreter``.

    Raises ValueError for a classifier without spatial representations, and for one on waveforms
    whose representation has a frequency axis of which it does not say whether it is mel or linear.
    """

    def __init__(self, explained, layer=-1, **options):
        super().__init__(explained, layer=layer, **options)
        self.layer = layer
        require_maps(explained, "GradCAM", layer)

    def attribute(self, X, target, phase=None):
        with torch.enable_grad():
            logits, representations = self.explained(X.detach().requires_grad_(), phase)
            activation = representations[self.layer]
            score = logits.gather(1, target.unsqueeze(1)).sum()
            (gradient,) = torch.autograd.grad(score, activation)
        weight = gradient.mean((2, 3), keepdim=True)
        cam = F.relu((weight * activation).sum(1)).detach()
        return self.explained.domain.upsample(cam, X.shape[1])


def require_maps(explained, method, layer):
    """ValueError that names ``method`` for representations that it cannot place on X.

    That is when none has a time or frequency axis, or when the one numbered ``layer`` has a
    frequency axis that the classifier does not describe.
    """
    _, representations = explained.on_silence()
    if not any(r.shape[2] * r.shape[3] > 1 for r in representations):
        raise ValueError(
            f"{method} needs a classifier with spatial representations, and this one gives none: "
            "name some of its layers in the YAML (layers), or leave the method out."
        )
    if representations[layer].shape[3] > 1 and explained.domain.frequency_axis is None:
        raise ValueError(
            f"{method}: the layer has a frequency axis, and this classifier does not say which: "
            "add frequency_axis: mel or frequency_axis: linear (0 Hz to half its sample rate) to "
            "its embedding_model in the YAML, or leave the method out."
        )
