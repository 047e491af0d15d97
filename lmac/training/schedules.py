"""Learning rates as pure functions of progress, so that a resumed run needs no extra state.

Rates that follow the validation loss are SpeechBrain's ``ReduceLROnPlateau``
(``lmac.training.brain``).
"""

import math


def one_cycle(progress, lr, warmup=0.2, start=0.05, end=0.002):
    """One-cycle rate (Smith and Topin, 2019): cosine up to ``lr``, cosine down.

    ``progress`` in [0, 1] is the share of all training steps that are done; ``start`` and
    ``end`` are fractions of ``lr``.
    """
    if progress < warmup:
        low, share = start, 0.5 - 0.5 * math.cos(math.pi * progress / warmup)
    else:
        low, share = end, 0.5 + 0.5 * math.cos(math.pi * (progress - warmup) / (1 - warmup))
    return lr * (low + (1 - low) * share)
