"""The frozen classifier seen from an explanation domain: f(X), for any X and any mask."""

import torch
from torch import nn


class ExplainedClassifier(nn.Module):
    """``f`` of the formulas: maps ``X`` of a domain to the frozen classifier's answer.

    Arguments
    ---------
    domain : lmac.domain.Domain
    classifier : lmac.classifiers.AudioClassifier
        Frozen and put in eval mode here, and kept there: ``train()`` has no effect.
    """

    def __init__(self, domain, classifier):
        super().__init__()
        self.domain = domain
        self.classifier = classifier
        self.requires_grad_(False).eval()

    def train(self, mode=True):
        """Stay in eval mode: BatchNorm statistics and dropout must not move."""
        return super().train(False)

    def forward(self, X):
        """``X`` [B, T, F] to (logits [B, K], representations, finest first).

        A masked input is just another X: ``f(M * X)``. Features are always computed from X, for
        the unmasked input too, so that a mask of ones changes no bit.
        """
        return self.classifier(self.domain.to_features(X))

    def logits(self, X):
        """``X`` [B, T, F] to logits [B, K]."""
        return self(X)[0]

    @torch.no_grad()
    def probabilities(self, X):
        """``X`` [B, T, F] to class probabilities [B, K] in float64.

        In float32 a confident softmax is exactly 1, and no mask could ever raise it.
        """
        return self.logits(X).double().softmax(1)

    @torch.no_grad()
    def dry_pass(self, seconds=2.0):
        """Channels of every representation, finest first, and the number of classes."""
        logits, representations = self.silence(seconds)
        return [r.shape[1] for r in representations], logits.shape[1]

    @torch.no_grad()
    def silence(self, seconds=2.0):
        """(logits [1, K], representations) of silence, for their shapes."""
        n_samples = round(seconds * self.domain.front_end.sample_rate)
        longest = self.domain.longest_input
        n_samples = n_samples if longest is None else min(n_samples, longest)
        wav = torch.zeros(1, n_samples, device=next(self.buffers()).device)
        return self(self.domain.analyse(wav)[0])
