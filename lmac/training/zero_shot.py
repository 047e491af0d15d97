"""Training a decoder that is conditioned on a prompt: LMAC-ZS."""

import speechbrain as sb
import torch

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
        return super().recorded(hparams) + ["l_similarity", "prompts_per_sound", "prompts"]

    def compute_forward(self, batch, stage):
        """As in ConditionalBrain, for ``prompts_per_sound`` pairs of each sound, sound by sound.

        The logits of masked-out parts are None where neither the loss nor validation asks for
        them, which saves a third of the time.
        """
        wav, clean = self.sounds(batch, stage)
        domain = self.explained.domain
        pairs = torch.arange(len(wav), device=wav.device)
        pairs = pairs.repeat_interleave(self.hparams.prompts_per_sound)
        with torch.no_grad():
            X, phase = domain.analyse(wav)
            logits, representations = self.explained(X, phase)
            sources = self.sources(wav, clean)[0][pairs]
            X, phase, logits = X[pairs], phase[pairs], logits[pairs]
            with self.draws(stage):
                asked = self.hparams.target_classes(logits, sources)
            told = self.explained.condition(asked, logits)
        representations = [r[pairs] for r in representations]
        mask = self.module("decoder", stage)(representations, X, told, domain).sigmoid()
        logits_in = self.explained.logits(mask * X, phase).float()
        logits_out = None
        if self.hparams.l_out > 0 or stage != sb.Stage.TRAIN:
            logits_out = self.explained.logits((1 - mask) * X, phase).float()
        known = (sources == asked[:, None]).any(1)
        return logits, logits_in, logits_out, asked, mask.float(), known

    def loss(self, predictions):
        """What ``compute_forward`` gave to the parts of the loss, a dict of scalars."""
        *_, self.known = predictions
        return self.hparams.lmac_loss(
            *predictions, scale=self.explained.classifier.classifier.scale
        )
