"""The published design, rebuilt from SpeechBrain's modules (recipes/ESC50/interpret, train_lmac).

Each of its steps analyses the waveform three times (of the mixture, of the clean clip, and once
more for the loss), builds mel filters at every call, and runs the masked-in and the masked-out
part through the classifier one after the other. Its evaluation makes an explanation of its own for
each structural metric, as Quantus asks for one.
"""

import torch
import torch.nn.functional as F
from speechbrain.processing.features import STFT, Filterbank, spectral_magnitude

from benchmarks.speed.ours import plain_copy
from lmac.core.decoder import PSIDecoder
from metrics.faithfulness import (
    average_drop,
    average_gain,
    average_increase,
    faithfulness,
    fidelity_in,
    pick,
)
from metrics.masks import complexity, sparseness


class Published:
    """Training step and evaluation of the published design, for what ``ours`` explains."""

    def __init__(self, ours):
        front_end = ours.domain.front_end
        milliseconds = 1000 / front_end.sample_rate
        self.wav, self.domain = ours.wav, ours.domain
        device = ours.wav.device
        self.stft = STFT(
            sample_rate=front_end.sample_rate,
            n_fft=front_end.n_fft,
            win_length=front_end.stft.win_length * milliseconds,
            hop_length=front_end.stft.hop_length * milliseconds,
        ).to(device)
        self.fbank = Filterbank(
            n_mels=front_end.n_mels,
            n_fft=front_end.n_fft,
            sample_rate=front_end.sample_rate,
            log_mel=False,
        ).to(device)
        self.classifier = plain_copy(ours.explained.classifier)
        channels, n_classes = ours.explained.output_sizes()
        self.decoder = PSIDecoder(channels, n_classes).to(device)
        self.optimizer = torch.optim.Adam(self.decoder.parameters(), lr=1e-4)

    def preprocess(self):
        """(X, features) of the waveforms."""
        magnitude = spectral_magnitude(self.stft(self.wav), power=0.5)
        return torch.log1p(magnitude), torch.log1p(self.fbank(magnitude))

    def classify(self, masked):
        """Logits of a masked X."""
        return self.classifier(torch.log1p(self.fbank(torch.expm1(masked))))[0]

    def _mask(self, representations, X, target):
        return self.decoder(representations, X, target, self.domain).sigmoid()

    def step(self):
        """A training step."""
        self.decoder.train()
        with torch.no_grad():
            self.preprocess()  # of the clean clip
            X, features = self.preprocess()
            logits, representations = self.classifier(features)
        target = logits.argmax(1)
        mask = self._mask(representations, X, target)
        with torch.no_grad():
            X, _ = self.preprocess()
        loss = (
            4 * F.cross_entropy(self.classify(mask * X), target)
            - 0.2 * F.cross_entropy(self.classify((1 - mask) * X), target)
            + 4 * mask.mean()
        )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    @torch.no_grad()
    def explain(self):
        """From waveforms to (mask, X, probabilities, decision)."""
        self.decoder.eval()
        X, features = self.preprocess()
        logits, representations = self.classifier(features)
        target = logits.argmax(1)
        return self._mask(representations, X, target), X, logits.softmax(1), target

    @torch.no_grad()
    def evaluate(self):
        """From waveforms to the metrics of the paper."""
        mask, X, probs, target = self.explain()
        probs_in = self.classify(mask * X).softmax(1)
        probs_out = self.classify((1 - mask) * X).softmax(1)
        p, p_in, p_out = (pick(x, target) for x in (probs, probs_in, probs_out))
        return {
            "AI": average_increase(p, p_in),
            "AD": average_drop(p, p_in),
            "AG": average_gain(p, p_in),
            "FF": faithfulness(p, p_out),
            "Fid-In": fidelity_in(probs_in, target),
            "SPS": sparseness(self.explain()[0]),
            "COMP": complexity(self.explain()[0]),
        }

    @torch.no_grad()
    def decode(self, ours):
        """The decoder alone."""
        self.decoder.eval()
        return self._mask(ours.representations, ours.X, ours.target)
