"""What a mask does to the classifier's decision: AI, AD, AG, FF and Fid-In.

Definitions follow Paissan et al., "Listenable Maps for Audio Classifiers" (ICML 2024, arXiv
2403.13086). For a clip ``X``, a mask ``M`` and the decision ``c`` that is explained::

    p = f(X)_c        p_in = f(M * X)_c        p_out = f((1 - M) * X)_c

Every function takes one value per clip and returns float64 [B], without averaging over clips.
Float64 because the metrics compare and divide small differences: give softmax outputs computed
in float64 where possible, as a float32 softmax reaches exactly 1 for a confident classifier.

Compute ``p`` by the same arithmetic as ``p_in`` (a mask of ones); otherwise rounding alone makes
``p_in > p`` for some clips.

Errors: ValueError for different shapes, and for values that are not probabilities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# A low-precision softmax may exceed 1 by rounding; logits exceed it by far more than this.
TOLERANCE = 1e-6


def average_increase(p: Tensor, p_in: Tensor) -> Tensor:
    """AI, in percent: 100 where the mask makes the decision more confident, else 0.

    Takes probabilities [B], returns float64 [B]: ``100 * 1[p_in > p]``. A tie is no increase.
    """
    p, p_in = _probabilities(p, p_in)
    return 100.0 * (p_in > p).double()


def average_drop(p: Tensor, p_in: Tensor) -> Tensor:
    """AD, in percent: the share of the confidence that the mask loses.

    Takes probabilities [B], returns float64 [B] in [0, 100]: ``100 * max(0, p - p_in) / p``.
    For p = 0 there is nothing to lose and the drop is 0; it cannot occur for c = argmax f(X).
    """
    p, p_in = _probabilities(p, p_in)
    drop = (p - p_in).clamp(min=0)
    return 100.0 * (drop / p).masked_fill(p == 0, 0.0)


def average_gain(p: Tensor, p_in: Tensor) -> Tensor:
    """AG, in percent: the share of the missing confidence that the mask wins.

    Takes probabilities [B], returns float64 [B] in [0, 100]: ``100 * max(0, p_in - p) / (1 - p)``.

    For p = 1 the definition is 0/0; the gain is 0 here, since none is possible. Leaving such
    clips out as undefined would average AG over the unconfident clips only, and so reward a
    saturated softmax. The authors' code does the same, through an epsilon in the denominator.
    """
    p, p_in = _probabilities(p, p_in)
    gain = (p_in - p).clamp(min=0)
    return 100.0 * (gain / (1.0 - p)).masked_fill(p == 1, 0.0)


def faithfulness(p: Tensor, p_out: Tensor) -> Tensor:
    """FF: the confidence lost when the explanation is taken out of the input.

    Takes probabilities [B], returns float64 [B] in [-1, 1]: ``p - p_out``.
    """
    p, p_out = _probabilities(p, p_out)
    return p - p_out


def fidelity_in(probs_in: Tensor, target: Tensor, threshold: float | None = None) -> Tensor:
    """Fid-In: 1 where the classifier decides the same from the explanation alone, else 0.

    Takes probabilities [B, C] and decisions [B] (integers), returns float64 [B]:
    ``1[argmax f(M * X) = c]``. Of classes that tie, the first is the decision. With a
    ``threshold``, of sigmoid outputs, ``1[f(M * X)_c >= threshold]``.
    """
    (probs_in,) = _probabilities(probs_in)
    if threshold is not None:
        return (pick(probs_in, target) >= threshold).double()
    return (probs_in.argmax(dim=1) == target).double()


def double_softmax(probs: Tensor, target: Tensor) -> Tensor:
    """The target's share in a softmax *of probabilities*, from which published ADs come.

    Takes probabilities [B, C] and decisions [B] (integers), returns float64 [B].

    The authors' code (SpeechBrain, recipes/ESC50/interpret) applies softmax a second time in AD,
    and there only. ``average_drop`` of these values reproduces the published convention: it
    cannot exceed 100 * (1 - 1/e) = 63.2, even when a mask loses all of the confidence.
    """
    (probs,) = _probabilities(probs)
    return pick(probs.softmax(dim=1), target)


def pick(probs: Tensor, target: Tensor) -> Tensor:
    """Each clip's value for its own target: [B, C] and integers [B] -> [B]."""
    return probs.gather(1, target[:, None])[:, 0]


def _probabilities(*tensors: Tensor) -> list[Tensor]:
    """Check that all are probabilities of one shape; return them in float64, within [0, 1]."""
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if len(set(shapes)) > 1:  # [B] with [B, 1] would silently become [B, B]
        raise ValueError(f"Probabilities must have one shape, got {shapes}.")
    import torch

    # All at once, for each answer of a GPU is waited for.
    checked = torch.stack([tensor.double() for tensor in tensors])
    # Written so that NaN fails it as well.
    valid = (checked >= -TOLERANCE) & (checked <= 1 + TOLERANCE)
    if not bool(valid.all()):
        wrong = checked[~valid].flatten()[0].item()
        raise ValueError(
            f"Probabilities must lie in [0, 1], found {wrong:g}; give softmax outputs, not logits."
        )
    return list(checked.clamp(0, 1))
