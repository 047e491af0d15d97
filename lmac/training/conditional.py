"""Training a class-conditional decoder: any class can be its target."""

import torch

from lmac.core.losses import Step
from lmac.core.outputs import decides
from lmac.training.lmac import DecoderBrain
from metrics import compute

SILENT = 1e-6  # of a waveform's largest sample


class ConditionalBrain(DecoderBrain):
    """Trains ``modules.decoder`` to explain a target class, be it there or not.

    ``hparams`` beside those of DecoderBrain: ``target_classes``
    (``lmac.training.target_classes.TargetClasses``) and an ``lmac_loss`` that is
    ``lmac.core.losses.conditional_loss``.

    Validation clips have the same targets in every epoch. Of those whose target is an absent class,
    "false_explanation" is the share that is decided as that class, and "MM absent" the mean
    of their masks. The metrics are of those whose target is the classifier's decision.
    """

    @classmethod
    def require(cls, hparams, explained):
        """As DecoderBrain; ValueError for a decoder that is not class-conditional."""
        if not hparams["decoder_conditioned"] or hparams["l_guidance"] > 0:
            raise ValueError(
                "target_classes is for a class-conditional decoder, in one stage: leave "
                "decoder_conditioned True and l_guidance 0, or take hparams/lmac.yaml."
            )

    @classmethod
    def recorded(cls, hparams):
        """As DecoderBrain, and what targets are drawn by."""
        keys = ("target_decision", "target_source", "target_probable")
        return super().recorded(hparams) | {key: hparams[key] for key in keys}

    def begin(self, wav, clean, stage):
        """As DecoderBrain; the target is drawn by ``target_classes``."""
        X, phase = self.explained.domain.analyse(wav)
        logits, representations = self.explained(X, phase)
        sources, source_X = self.sources(wav, clean)
        with self.draws(stage):
            target = self.hparams.target_classes(logits, sources)
        silence = self.explained.logits(torch.zeros_like(X[:1]), phase[:1])
        own = sources == target[:, None]
        # Of two sounds that are both decided so, whichever is louder in a cell.
        source_X = (source_X * own.T[:, :, None, None]).amax(0)
        return Step(
            wav=wav, X=X, phase=phase, logits=logits, representations=representations,
            target=target, source=own.any(1), source_X=source_X, silence=silence,
            outputs=self.explained.outputs, threshold=self.explained.threshold,
        )  # fmt: skip

    def mask(self, step, stage):
        """Masks [B, T, F] as the interpreter gives them: of what is hardly there, hardly any."""
        mask = self.raw_mask(step, stage)
        threshold = self.hparams.presence_threshold
        presence = self.explained.presence(step.target, step.logits, threshold)
        return mask * presence[:, None, None].to(mask.dtype)

    def raw_mask(self, step, stage):
        """Masks [B, T, F] of the decoder, which is given the target class."""
        condition = self.explained.condition(step.target, step.logits)
        decoder, domain = self.module("decoder", stage), self.explained.domain
        return decoder(step.representations, step.X, condition, domain).sigmoid()

    def sources(self, wav, clean):
        """Decisions [B, 2] on the clips' own part and on what was mixed in, each alone, and
        their X [2, B, T, F].

        Where nothing was mixed in, both are of the clip's own part.
        """
        other = wav - clean
        silent = other.abs().amax(1, keepdim=True) <= SILENT
        parts = torch.cat([clean, torch.where(silent, clean, other)])
        X, phase = self.explained.domain.analyse(parts)
        decisions = self.explained.logits(X, phase).argmax(1)
        return decisions.view(2, -1).T, X.view(2, len(wav), *X.shape[1:])

    def score(self, outcome, step):
        """Values of every validation clip by name, [B]; NaN where one is undefined."""
        own = decides(outcome.probs, outcome.target, outcome.threshold)
        absent = ~own & ~step.source
        nan = torch.full_like(outcome.p, float("nan"))
        false = decides(outcome.probs_in, outcome.target, outcome.threshold).double()
        return {
            **{name: torch.where(own, value, nan) for name, value in compute(outcome).items()},
            "false_explanation": torch.where(absent, false, nan),
            "MM absent": torch.where(absent, outcome.mask.flatten(1).mean(1).double(), nan),
        }
