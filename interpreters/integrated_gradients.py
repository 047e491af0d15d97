"""Integrated Gradients (Sundararajan et al., 2017)."""

import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients

from interpreters.base import AttributionInterpreter, Logits, at_a_time, parts


class IntegratedGradients(AttributionInterpreter):
    """Gradients of the explained logit, integrated from silence (X = 0) to X.

    Arguments
    ---------
    explained : ExplainedClassifier
    steps : int
        Points of the Gauss-Legendre rule; as many at a time as ``at_a_time`` says.
    **options
        ``form`` and ``area``, as of ``AttributionInterpreter``.
    """

    def __init__(self, explained, steps=50, **options):
        super().__init__(explained, steps=steps, **options)
        self.steps = steps

    def attribute(self, X, target, phase=None):
        """Signed attribution with the shape of ``X``; its sum is logit(X) - logit(0)."""
        with torch.enable_grad():
            return CaptumIntegratedGradients(Logits(self.explained)).attribute(
                X.detach(), target=target, additional_forward_args=parts(phase),
                n_steps=self.steps,
                internal_batch_size=len(X) * at_a_time(X, self.steps),
            )  # fmt: skip
