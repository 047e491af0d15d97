"""GradCAM (Selvaraju et al., 2017)."""

import torch
import torch.nn.functional as F

from interpreters.base import Interpreter, normalise


class GradCAM(Interpreter):
    """Gradient-weighted activation of one representation, upsampled to X.

    The map has the resolution of that representation; it is upsampled bilinearly to what the
    classifier reads, spread from mel bands to STFT bins where X is the STFT, and divided by its
    maximum.

    Arguments
    ---------
    explained : ExplainedClassifier
    layer : int
        Index of the representation, finest first; -1 is the last.

    Raises ValueError for a classifier without spatial representations.
    """

    def __init__(self, explained, layer=-1):
        super().__init__(explained, layer=layer)
        self.layer = layer
        require_maps(explained, "GradCAM")

    def explain(self, X, target):
        with torch.enable_grad():
            logits, representations = self.explained(X.detach().requires_grad_())
            activation = representations[self.layer]
            score = logits.gather(1, target.unsqueeze(1)).sum()
            (gradient,) = torch.autograd.grad(score, activation)
        weight = gradient.mean((2, 3), keepdim=True)
        cam = F.relu((weight * activation).sum(1, keepdim=True)).detach()
        domain = self.explained.domain
        size = (X.shape[1], domain.n_features)
        cam = F.interpolate(cam, size=size, mode="bilinear", align_corners=False)
        return normalise(domain.spread(cam.squeeze(1)))


def require_maps(explained, method):
    """ValueError that names ``method`` when no representation has a time or frequency axis."""
    _, representations = explained.silence()
    if not any(r.shape[2] * r.shape[3] > 1 for r in representations):
        raise ValueError(
            f"{method} needs a classifier with spatial representations, and this one gives none: "
            "name some of its layers in the YAML (layers), or leave the method out."
        )
