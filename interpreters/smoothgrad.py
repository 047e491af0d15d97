"""SmoothGrad (Smilkov et al., 2017): the mean gradient over noisy copies of the input."""

import torch
from captum.attr import NoiseTunnel
from captum.attr import Saliency as CaptumSaliency

from interpreters.base import (
    AttributionInterpreter,
    Logits,
    SeededInterpreter,
    at_a_time,
    parts,
)


class SmoothGrad(SeededInterpreter, AttributionInterpreter):
    """Mean of signed gradients of the explained logit, then the absolute value.

    X is the logarithm of one plus a magnitude, so the noisy copies are clipped at 0: below it the
    classifier's features would not be defined.

    Arguments
    ---------
    explained : ExplainedClassifier
    samples : int
        Noisy copies; as many at a time as ``at_a_time`` says.
    noise : float
        Standard deviation of the noise, relative to the range of X in each clip.
    **options
        ``form`` and ``area``, as of ``AttributionInterpreter``.
    """

    def __init__(self, explained, samples=20, noise=0.15, **options):
        super().__init__(explained, samples=samples, noise=noise, **options)
        self.samples = samples
        self.noise = noise

    def attribute(self, X, target, phase=None):
        spread = (X.amax((1, 2)) - X.amin((1, 2))).view(-1, 1, 1)
        scale = (self.noise * spread).clamp_min(1e-12)
        logits = Logits(self.explained)
        # In units of the noise, so that one standard deviation fits every clip of the batch.
        tunnel = NoiseTunnel(
            CaptumSaliency(lambda Z, scale, *phase: logits((Z * scale).clamp_min(0), *phase))
        )
        with self.random_numbers(), torch.enable_grad():
            return tunnel.attribute(
                (X / scale).detach().requires_grad_(),
                nt_samples=self.samples,
                nt_samples_batch_size=at_a_time(X, self.samples),
                stdevs=1.0 if self.noise else 0.0,
                target=target,
                additional_forward_args=(scale, *parts(phase)),
                abs=False,
            )
