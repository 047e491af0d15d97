"""The frozen classifier seen from an explanation domain: f(X), for any X and any mask."""

import math
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import nn

from lmac.core.outputs import decides, log_p_of, probabilities
from lmac.core.phase import Phase


class ExplainedClassifier(nn.Module):
    """``f`` of the formulas: maps ``X`` of a domain to the frozen classifier's answer.

    Arguments
    ---------
    domain : lmac.core.domain.Domain
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

    def forward(self, X, phase=None):
        """``X`` [B, T, F] to (logits [B, K], representations, finest first).

        ``phase`` is that of ``X`` (``domain.analyse`` gives both); ValueError where the domain
        needs one (``domain.needs_phase``: on the waveform path) and there is none, or it has
        another number of clips or frames than ``X``. The direct path ignores it.

        A masked input is just another X: ``f(M * X)``. Features are always computed from X, for
        the unmasked input too, so that a mask of ones changes no bit.
        """
        return self.classifier(self.domain.to_features(X, phase))

    def logits(self, X, phase=None):
        """``X`` [B, T, F] to logits [B, K]."""
        return self(X, phase)[0]

    def logits_of_parts(self, mask, X, phase=None, n_out=None):
        """What ``mask`` keeps of ``X`` and what it removes, in one pass, both [B, T, F].

        Logits of the masked-in part [B, K], and of the masked-out part of the first ``n_out``
        clips [N, K], by default of all; in float32.
        """
        n_out = len(X) if n_out is None else n_out
        both = Phase.cat([phase, phase[:n_out]]) if self.domain.needs_phase else None
        parts = torch.cat([mask * X, (1 - mask[:n_out]) * X[:n_out]])
        return self.logits(parts, both).float().split([len(X), n_out])

    @torch.no_grad()
    def probabilities(self, X, phase=None):
        """``X`` [B, T, F] to class probabilities [B, K] in float64.

        In float32 a confident softmax is exactly 1, and no mask could ever raise it.
        """
        return probabilities(self.logits(X, phase).double(), self.outputs)

    @property
    def outputs(self):
        """``"softmax"`` or ``"sigmoid"``, of the classifier."""
        return self.classifier.outputs

    @property
    def threshold(self):
        """From which p a label is there, of sigmoid outputs; else None."""
        return self.classifier.threshold

    def condition(self, target, logits):
        """What decoders are given of the classes ``target`` [B]: vectors [B, D].

        Of a prompt its vector. Of a fixed class a one-hot vector of the K classes, and behind it
        how probable the class is by ``logits`` [B, K] of the input: log p, from the log of 0.05
        and in units of 3. An absent class then differs from one that is there by the classifier's
        own answer, and a decoder need not learn to recognise it.
        """
        vectors = self.classifier.prompt_vectors
        if vectors is not None:
            return vectors[target]
        log_p = log_p_of(logits.detach().float(), target, self.outputs)[:, None]
        known = ((log_p - math.log(0.05)) / 3).clamp_min(-4)
        return torch.cat([F.one_hot(target, logits.shape[1]).to(known.dtype), known], dim=1)

    def presence(self, target, logits, presence_threshold):
        """How much of the classes ``target`` [B] there is in clips of ``logits`` [B, K]: [B].

        1 for what the classifier decides, ``min(1, p / presence_threshold)`` for any other class; 1
        also for what it decides in silence, since an empty mask would convince it of that.
        """
        probs = probabilities(logits, self.outputs)
        p = probs.gather(1, target[:, None]).squeeze(1)
        decided = decides(probs, target, self.threshold) | self.silent_classes[target]
        return torch.where(decided, torch.ones_like(p), (p / presence_threshold).clamp_max(1))

    @cached_property
    def silent_classes(self):
        """Which classes the classifier decides in silence: bool [K]."""
        probs = probabilities(self.on_silence()[0], self.outputs)[0]
        if self.threshold is not None:
            return probs >= self.threshold
        return F.one_hot(probs.argmax(), len(probs)).bool()

    @torch.no_grad()
    def output_sizes(self, seconds=2.0):
        """Channels of every representation, finest first, and the number of classes."""
        logits, representations = self.on_silence(seconds)
        return [r.shape[1] for r in representations], logits.shape[1]

    @torch.no_grad()
    def on_silence(self, seconds=2.0):
        """(logits [1, K], representations) of silence, for their shapes."""
        n_samples = round(seconds * self.domain.front_end.sample_rate)
        longest = self.domain.longest_input
        n_samples = n_samples if longest is None else min(n_samples, longest)
        wav = torch.zeros(1, n_samples, device=next(self.buffers()).device)
        return self(*self.domain.analyse(wav))
