"""L-MAC refined: a decoder's mask after some gradient steps on the clip itself."""

from inspect import signature

import torch
import torch.nn.functional as F

from interpreters.lmac import LMAC
from lmac.core.losses import Step, lmac_loss

FRAMES, BANDS = 8, 4  # of a cell of what is learnt
WEIGHTS = {"l_in": 4.0, "l_out": 0.2, "l_sparse": 6.4}  # published, where training recorded none
# Terms that need more than the clip itself: its clean source, its neighbours.
LEFT_OUT = ("l_guidance", "l_consistency")


class RefinedLMAC(LMAC):
    """Mask of a decoder, moved by gradient steps on the loss that the decoder was trained with.

    What is learnt is a coarse map that is added to the mask's logits, one number for 8 frames and
    4 of the classifier's bands, bilinear in between: regions can move, single cells cannot. A
    step costs the classifier's pass over both masked parts, there and back.

    It is optimised on the very classifier that then judges it, clip by clip: look at the audit
    beside its metrics.

    Arguments
    ---------
    explained, decoder, checkpoint, key
        As for ``LMAC``; ValueError for a class-conditional decoder, which such steps would make
        give false explanations.
    steps : int
    rate : float
        Of Adam, in the unit of logits.
    """

    any_class = False

    def __init__(self, explained, decoder, checkpoint, key="lmac_checkpoint", steps=10, rate=0.3):
        super().__init__(explained, decoder, checkpoint, key)
        if self.decoder.conditioned:
            raise ValueError(
                f"L-MAC refined: {key} is a class-conditional decoder: give one that is not."
            )
        self.steps, self.rate = steps, rate
        terms = (k for k in signature(lmac_loss).parameters if k.startswith("l_"))
        weights = WEIGHTS | {k: self.training[k] for k in terms if k in self.training}
        self.weights = {k: v for k, v in weights.items() if k not in LEFT_OUT}
        self.options |= {"steps": steps, "rate": rate, **self.weights}

    def explain(self, X, target, phase=None, *, answer=None):
        start = super().explain(X, target, phase, answer=answer).clamp(1e-4, 1 - 1e-4).logit()
        shape = (len(X), 1, -(-X.shape[1] // FRAMES), -(-self.explained.domain.n_features // BANDS))
        with torch.enable_grad():
            moved = torch.zeros(shape, device=X.device, requires_grad=True)
            optimizer = torch.optim.Adam([moved], lr=self.rate)
            for _ in range(self.steps):
                loss = self._loss(self._mask(start, moved), X, target, phase)
                (moved.grad,) = torch.autograd.grad(loss, moved)
                optimizer.step()
        return self._mask(start, moved.detach())

    def _mask(self, start, moved):
        size = (start.shape[1], self.explained.domain.n_features)
        fine = F.interpolate(moved, size=size, mode="bilinear", align_corners=False).squeeze(1)
        return (start + self.explained.domain.spread(fine)).sigmoid()

    def _loss(self, mask, X, target, phase):
        """The sum over the clips, so that none depends on the others."""
        both = self.explained.logits_of_parts(mask, X, phase)
        return len(X) * lmac_loss(Step(*both, target, mask), **self.weights)["loss"]
