"""L-MAC (Paissan et al., 2024): a trained decoder predicts the mask."""

import hashlib
from pathlib import Path

import torch

from interpreters.base import Interpreter
from lmac.brains.lmac import DECODER_FILE
from lmac.build import build_decoder
from lmac.classifiers.base import load_weights


class LMAC(Interpreter):
    """Mask of a trained L-MAC decoder.

    It explains the classifier's own decision; only a decoder trained with
    ``decoder_conditioned: True`` can be asked for another class.

    Arguments
    ---------
    explained : ExplainedClassifier
    decoder : callable
        Channels of the representations and number of classes to a decoder (``hparams/decoders``).
    checkpoint : path
        Folder with ``decoder.ckpt``, or the file itself (SpeechBrain's ``psi_model.ckpt`` too).
    """

    def __init__(self, explained, decoder, checkpoint):
        if checkpoint is None:
            raise ValueError("lmac_checkpoint is not set: give the folder <output_folder>/best.")
        path = Path(checkpoint)
        path = path / DECODER_FILE if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(
                f"lmac_checkpoint: there is no {path}; train it with train_lmac.py, or give the "
                "folder <output_folder>/best of a finished run."
            )
        super().__init__(explained, weights=hashlib.sha256(path.read_bytes()).hexdigest()[:12])
        self.decoder = load_weights(build_decoder(decoder, explained), path, "L-MAC decoder")
        self.any_class = getattr(self.decoder, "classes", None) is not None
        self.decoder.to(next(explained.buffers()).device).eval()

    @torch.no_grad()
    def explain(self, X, target):
        _, representations = self.explained(X)
        return self.decoder(representations, X, target, self.explained.domain).sigmoid()
