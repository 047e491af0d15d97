"""What a classifier's outputs mean: one of K classes, or K labels of which any number is there.

``softmax``: probabilities that sum to one, and the largest is the decision. ``sigmoid``: a
probability of its own for each label, which is there from a threshold on (as of audio taggers).
"""

import torch.nn.functional as F

SOFTMAX, SIGMOID = "softmax", "sigmoid"


def probabilities(logits, outputs=SOFTMAX):
    """Logits [B, K] to probabilities [B, K]."""
    return logits.softmax(1) if outputs == SOFTMAX else logits.sigmoid()


def log_probabilities(logits, outputs=SOFTMAX):
    """Logits [B, K] to log p [B, K]."""
    return logits.log_softmax(1) if outputs == SOFTMAX else F.logsigmoid(logits)


def cross_entropy_of(logits, target, outputs=SOFTMAX):
    """Mean of -log p of the classes ``target`` [B], a scalar."""
    return F.nll_loss(log_probabilities(logits, outputs), target)


def log_p_of(logits, target, outputs=SOFTMAX):
    """log p [B] of the classes ``target`` [B]."""
    return log_probabilities(logits, outputs).gather(1, target[:, None]).squeeze(1)


def decides(probs, target, threshold=None):
    """Whether the classes ``target`` [B] are decided by ``probs`` [B, K]: bool [B].

    Without a ``threshold`` the largest p is the decision, with one every label from there on.
    """
    if threshold is None:
        return probs.argmax(1) == target
    return probs.gather(1, target[:, None]).squeeze(1) >= threshold
