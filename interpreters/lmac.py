"""L-MAC (Paissan et al., 2024): a trained decoder predicts the mask."""

import hashlib

import torch

from interpreters.base import Interpreter
from lmac.checkpoints import build_decoder, decoder_file, load_decoder, training_info


class LMAC(Interpreter):
    """Mask of a trained L-MAC decoder, fine-tuned or not.

    It explains the classifier's own decision; only a decoder trained with
    ``decoder_conditioned: True`` can be asked for another class. The mask of a class that the
    classifier gives a probability below ``presence_threshold`` is multiplied by
    ``p / presence_threshold``, but for the class that it decides in silence: of what is hardly
    there, hardly anything is kept. Masks of prompts are kept as they are.

    Arguments
    ---------
    explained : ExplainedClassifier
    decoder : callable
        Channels of the representations and number of classes to a decoder (``hparams/decoders``).
    checkpoint : path
        Folder with ``decoder.ckpt``, or the file itself (SpeechBrain's ``psi_model.ckpt`` too).
    key : str
        The setting that ``checkpoint`` comes from, for error messages.
    presence_threshold : float, optional
        By default that of the training (``lmac_conditional.yaml``).
    mask_floor : float, optional
        In [0, 1): what is kept of every cell, so the mask is
        ``mask_floor + (1 - mask_floor) M``. ValueError for another.
    """

    takes_answer = True

    def __init__(
        self,
        explained,
        decoder,
        checkpoint,
        key="lmac_checkpoint",
        presence_threshold=None,
        mask_floor=0.0,
    ):
        if not 0 <= mask_floor < 1:
            raise ValueError(
                f"mask_floor of L-MAC is {mask_floor}: expected a number from 0 to below 1."
            )
        path = decoder_file(checkpoint, key)
        self.key, self.training = key, training_info(path)
        trained = load_decoder(build_decoder(decoder, explained), explained, path, key)
        self.presence_threshold = None
        # Prompts have similarities, which are kept as they are.
        if trained.conditioned and explained.classifier.prompt_vectors is None:
            self.presence_threshold = presence_threshold or self.training.get("presence_threshold")
        options = (
            {}
            if self.presence_threshold is None
            else {"presence_threshold": self.presence_threshold}
        )
        if mask_floor:
            options["mask_floor"] = mask_floor
        self.mask_floor = mask_floor
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        super().__init__(explained, weights=digest, **options)
        self.decoder = trained
        self.any_class = trained.conditioned
        self.decoder.to(next(explained.buffers()).device).eval()

    @torch.no_grad()
    def explain(self, X, target, phase=None, *, answer=None):
        logits, representations = answer or self.explained(X, phase)
        if self.any_class:
            condition = self.explained.condition(target, logits)
        else:
            condition = target  # which this decoder does not look at
        mask = self.decoder(representations, X, condition, self.explained.domain).sigmoid_()
        if self.presence_threshold is not None:
            presence = self.explained.presence(target, logits, self.presence_threshold)
            mask = mask * presence[:, None, None].to(mask.dtype)
        return mask.mul_(1 - self.mask_floor).add_(self.mask_floor) if self.mask_floor else mask
