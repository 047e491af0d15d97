"""Saliency (Simonyan et al., 2014): the gradient of the explained logit."""

import torch
from captum.attr import Saliency as CaptumSaliency

from interpreters.base import Interpreter, Logits, normalise, parts


class Saliency(Interpreter):
    """|d logit_c / dX|, divided by its maximum."""

    def explain(self, X, target, phase=None):
        with torch.enable_grad():
            attribution = CaptumSaliency(Logits(self.explained)).attribute(
                X.detach().requires_grad_(), target, additional_forward_args=parts(phase)
            )
        return normalise(attribution)
