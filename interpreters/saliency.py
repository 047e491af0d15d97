"""Saliency (Simonyan et al., 2014), the gradient of the explained logit, and gradient × X."""

import torch
from captum.attr import Saliency as CaptumSaliency

from interpreters.base import AttributionInterpreter, Logits, parts


class Saliency(AttributionInterpreter):
    """|d logit_c / dX|, divided by its maximum."""

    def attribute(self, X, target, phase=None):
        with torch.enable_grad():
            return CaptumSaliency(Logits(self.explained)).attribute(
                X.detach().requires_grad_(), target, abs=False, additional_forward_args=parts(phase)
            )


class GradientXInput(Saliency):
    """The gradient times X: what each cell adds to the logit, to first order."""

    def attribute(self, X, target, phase=None):
        return super().attribute(X, target, phase) * X
