"""Training a decoder that is conditioned on a prompt: LMAC-ZS."""

import speechbrain as sb
import torch

from lmac.core.losses import Step
from lmac.training.conditional import ConditionalBrain


def require_prompts(explained):
    """ValueError when the classifier of ``explained`` has fixed classes."""
    if explained.classifier.prompt_vectors is None:
        raise ValueError(
            "prompts_per_sound is for a zero-shot classifier, and this one has fixed classes: take "
            "--classifier_yaml=hparams/classifiers/contrastive.yaml or clap.yaml, or train with "
            "hparams/lmac_conditional.yaml."
        )


class ZeroShotBrain(ConditionalBrain):
    """Trains ``modules.decoder`` to explain the similarity of prompts and sounds.

    Masks for all pairs of a batch would be B times K; ``hparams.prompts_per_sound`` of them are
    drawn for each sound by ``hparams.target_classes``. ``hparams.lmac_loss`` is
    ``lmac.core.losses.zero_shot_loss``, the rest as in ConditionalBrain.
    """

    @classmethod
    def require(cls, hparams, explained):
        """As ConditionalBrain; ValueError for a classifier of fixed classes, and for others."""
        super().require(hparams, explained)
        require_prompts(explained)
        if hparams["transfer_classifiers"]:
            raise ValueError(
                "transfer_classifiers are not for a zero-shot classifier: their classes are no "
                "prompts. Leave them out."
            )

    @classmethod
    def recorded(cls, hparams):
        """As ConditionalBrain, and what concerns prompts."""
        keys = ("prompts_per_sound", "prompts")
        return super().recorded(hparams) | {key: hparams[key] for key in keys}

    def begin(self, wav, clean, stage):
        """As in ConditionalBrain, for ``prompts_per_sound`` pairs of each sound, sound by sound."""
        pairs = torch.arange(len(wav), device=wav.device)
        pairs = pairs.repeat_interleave(self.hparams.prompts_per_sound)
        X, phase = self.explained.domain.analyse(wav)
        logits, representations = self.explained(X, phase)
        sources = self.sources(wav, clean)[0][pairs]
        logits = logits[pairs]
        with self.draws(stage):
            target = self.hparams.target_classes(logits, sources)
        return Step(
            wav=wav[pairs], X=X[pairs], phase=phase[pairs], logits=logits, target=target,
            representations=[r[pairs] for r in representations],
            source=(sources == target[:, None]).any(1),
            scale=self.explained.classifier.classifier.scale,
        )  # fmt: skip

    def mask(self, step, stage):
        """Masks [B, T, F] of pairs, which are not faded: similarities are kept as they are."""
        return self.raw_mask(step, stage)

    def parts_of(self, step, stage):
        """Logits of what is masked in, and of what is masked out, both [B, K].

        The latter are None where neither the loss nor validation asks for them, which saves a
        third of the time.
        """
        logits_in = self.explained.logits(step.mask * step.X, step.phase).float()
        if stage == sb.Stage.TRAIN and not self.weighs("l_out"):
            return logits_in, None
        return logits_in, self.explained.logits((1 - step.mask) * step.X, step.phase).float()
