"""Guided Backprop (Springenberg et al., 2015) and Guided GradCAM (Selvaraju et al., 2017)."""

import warnings

import torch
from captum.attr import GuidedBackprop as CaptumGuidedBackprop
from torch import nn

from interpreters.base import AttributionInterpreter, Logits, parts
from interpreters.gradcam import GradCAM, require_maps


class GuidedBackprop(AttributionInterpreter):
    """Gradient of the explained logit in which every ReLU also drops negative gradients.

    Raises ValueError for a classifier without ReLU modules, where this would silently be
    saliency.
    """

    title = "Guided Backprop"

    def __init__(self, explained, **options):
        super().__init__(explained, **options)
        if not any(isinstance(m, nn.ReLU) for m in explained.modules()):
            raise ValueError(
                f"{self.title} changes the gradient of nn.ReLU modules, and this classifier "
                "has none: leave the method out, or write its ReLUs as modules."
            )
        self.model = Logits(explained)  # Captum hooks the ReLU modules below it

    def attribute(self, X, target, phase=None):
        """Signed attribution with the shape of ``X``; the classifier is left as it was."""
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Captum announces its hooks at every call
            return CaptumGuidedBackprop(self.model).attribute(
                X.detach().requires_grad_(), target, additional_forward_args=parts(phase)
            )


class GuidedGradCAM(GuidedBackprop):
    """Guided Backprop times GradCAM, each with the resolution of ``X``.

    Arguments
    ---------
    explained : ExplainedClassifier
    layer : int
        Of GradCAM: index of the representation, finest first.
    """

    title = "Guided GradCAM"

    def __init__(self, explained, layer=-1, **options):
        super().__init__(explained, layer=layer, **options)
        require_maps(explained, self.title, layer)
        self.gradcam = GradCAM(explained, layer)

    def attribute(self, X, target, phase=None):
        gradcam = self.gradcam.explain(X, target, phase)
        return super().attribute(X, target, phase) * gradcam
