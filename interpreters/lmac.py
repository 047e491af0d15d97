"""L-MAC (Paissan et al., 2024): a trained decoder predicts the mask."""

import hashlib

import torch

from interpreters.base import Interpreter
from lmac.checkpoints import build_decoder, decoder_file, load_decoder, training_info


class LMAC(Interpreter):
    """Mask of a trained L-MAC decoder, fine-tuned or not.

    It explains the classifier's own decision; only a decoder trained with
    ``decoder_conditioned: True`` can be asked for another class.

    Arguments
    ---------
    explained : ExplainedClassifier
    decoder : callable
        Channels of the representations and number of classes to a decoder (``hparams/decoders``).
    checkpoint : path
        Folder with ``decoder.ckpt``, or the file itself (SpeechBrain's ``psi_model.ckpt`` too).
    key : str
        The setting that ``checkpoint`` comes from, for error messages.
    """

    def __init__(self, explained, decoder, checkpoint, key="lmac_checkpoint"):
        path = decoder_file(checkpoint, key)
        super().__init__(explained, weights=hashlib.sha256(path.read_bytes()).hexdigest()[:12])
        self.key, self.training = key, training_info(path)
        self.decoder = load_decoder(build_decoder(decoder, explained), explained, path, key)
        self.any_class = self.decoder.conditioned
        self.decoder.to(next(explained.buffers()).device).eval()

    @torch.no_grad()
    def explain(self, X, target, phase=None):
        logits, representations = self.explained(X, phase)
        told = self.explained.condition(target, logits)
        return self.decoder(representations, X, told, self.explained.domain).sigmoid()
