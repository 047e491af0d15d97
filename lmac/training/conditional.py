"""Training a class-conditional decoder: any class can be its target."""

import contextlib

import speechbrain as sb
import torch

from lmac.training.lmac import DecoderBrain
from metrics import compute

SILENT = 1e-6  # of a waveform's largest sample


class ConditionalBrain(DecoderBrain):
    """Trains ``modules.decoder`` to explain a target class, be it there or not.

    ``hparams`` beside those of DecoderBrain: ``target_classes``
    (``lmac.training.target_classes.TargetClasses``) and an ``lmac_loss`` that is
    ``lmac.core.losses.conditional_loss``.

    Validation clips are asked for the same classes in every epoch. Of them "carving" is the share
    of those asked for an absent class whose explanation is decided as that class; "MM absent" is
    the mean of their masks. The metrics are of the others, which were asked for the classifier's
    decision.
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
        """As DecoderBrain, and what concerns target classes."""
        keys = ["l_absent", "l_leak", "l_energy", "absent_sparsity", "presence_threshold"]
        keys += ["prior_weight", "target_decision", "target_source", "target_probable"]
        return super().recorded(hparams) + keys

    def compute_forward(self, batch, stage):
        """Batch to (logits of X, masked-in [B, K], masked-out [N, K]; asked class [B]; mask
        [B, T, F]; whether it is the decision on one of the sounds [B]; logits of silence [1, K];
        X, and X of that sound alone, [B, T, F])."""
        wav, clean = self.sounds(batch, stage)
        domain = self.explained.domain
        with torch.no_grad():
            X, phase = domain.analyse(wav)
            logits, representations = self.explained(X, phase)
            sources, source_X = self.sources(wav, clean)
            with self.draws(stage):
                asked = self.hparams.target_classes(logits, sources)
            silence = self.explained.logits(torch.zeros_like(X[:1]), phase[:1])
            own = sources == asked[:, None]
            # Of two sounds that are both decided so, whichever is louder in a cell.
            source_X = (source_X * own.T[:, :, None, None]).amax(0)
            told = self.explained.condition(asked, logits)
        mask = self.module("decoder", stage)(representations, X, told, domain).sigmoid()
        # As the interpreter does: of what is hardly there, hardly anything is kept.
        presence = self.explained.presence(asked, logits, self.hparams.presence_threshold)
        mask = mask * presence[:, None, None].to(mask.dtype)
        return (
            *(logits, *self.both_parts(mask, X, phase, asked, stage), asked, mask.float()),
            *(own.any(1), silence, X, source_X),
        )

    def sources(self, wav, clean):
        """Decisions [B, 2] on the clips' own part and on what was mixed in, each heard alone, and
        their X [2, B, T, F].

        Where nothing was mixed in, both are of the clip's own part.
        """
        other = wav - clean
        silent = other.abs().amax(1, keepdim=True) <= SILENT
        parts = torch.cat([clean, torch.where(silent, clean, other)])
        X, phase = self.explained.domain.analyse(parts)
        decisions = self.explained.logits(X, phase).argmax(1)
        return decisions.view(2, -1).T, X.view(2, len(wav), *X.shape[1:])

    def draws(self, stage):
        """Random numbers of the asked classes: in validation the same in every epoch."""
        return contextlib.nullcontext() if stage == sb.Stage.TRAIN else self.validation_numbers()

    def loss(self, predictions):
        """What ``compute_forward`` gave to the parts of the loss, a dict of scalars."""
        logits, logits_in, logits_out, asked, mask, self.known, silence, *both_X = predictions
        return self.hparams.lmac_loss(
            logits, logits_in, logits_out, silence, asked, mask, self.known, *both_X
        )

    def score(self, outcome):
        """Values of every validation clip by name, [B]; NaN where one is undefined."""
        own = outcome.probs.argmax(1) == outcome.target
        absent = ~own & ~self.known
        nan = torch.full_like(outcome.p, float("nan"))
        carved = (outcome.probs_in.argmax(1) == outcome.target).double()
        return {
            **{name: torch.where(own, value, nan) for name, value in compute(outcome).items()},
            "carving": torch.where(absent, carved, nan),
            "MM absent": torch.where(absent, outcome.mask.flatten(1).mean(1).double(), nan),
        }
