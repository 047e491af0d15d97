"""SHAP values by expected gradients (GradientSHAP; Lundberg and Lee, 2017)."""

import torch
from captum.attr import GradientShap

from interpreters.base import (
    AttributionInterpreter,
    Logits,
    SeededInterpreter,
    at_a_time,
    parts,
)


class SHAP(SeededInterpreter, AttributionInterpreter):
    """Gradients of the explained logit at random points between silence and a noisy X.

    Arguments
    ---------
    explained : ExplainedClassifier
    samples : int
        Random points; as many at a time as ``at_a_time`` says.
    noise : float
        Standard deviation of the noise added to X, in the unit of X.
    **options
        ``form`` and ``area``, as of ``AttributionInterpreter``.
    """

    def __init__(self, explained, samples=20, noise=0.0, **options):
        super().__init__(explained, samples=samples, noise=noise, **options)
        self.samples = samples
        self.noise = noise

    def attribute(self, X, target, phase=None):
        """Signed attribution with the shape of ``X``; its sum is about logit(X) - logit(0)."""
        shap = GradientShap(Logits(self.explained))
        total = torch.zeros_like(X)
        size = at_a_time(X, self.samples)
        with self.random_numbers(), torch.enable_grad():
            for done in range(0, self.samples, size):
                n = min(size, self.samples - done)
                total += (
                    n
                    * shap.attribute(
                        X.detach().requires_grad_(),
                        baselines=torch.zeros_like(X[:1]),
                        n_samples=n,
                        stdevs=self.noise,
                        target=target,
                        additional_forward_args=parts(phase),
                    ).detach()
                )
        return total / self.samples
