"""Saliency (Simonyan et al., 2014): the gradient of the explained logit."""

import torch
from captum.attr import Saliency as CaptumSaliency

from interpreters.base import Interpreter, normalise


class Saliency(Interpreter):
    """|d logit_c / dX|, divided by its maximum."""

    def explain(self, X, target):
        with torch.enable_grad():
            attribution = CaptumSaliency(self.explained.logits).attribute(
                X.detach().requires_grad_(), target=target
            )
        return normalise(attribution)
