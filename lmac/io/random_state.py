"""The state of all random numbers, so that a run that goes on draws what it would have drawn."""

import random
from contextlib import contextmanager

import numpy as np
import torch


def random_state():
    """The state of Python's, NumPy's and torch's generators (CPU, CUDA) as plain values.

    ``torch.load(weights_only=True)`` reads it back.
    """
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state()
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state):
    """Make what is drawn next what was drawn after ``state`` was taken."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    # A run may go on where there are more or fewer GPUs.
    if torch.cuda.is_available():
        for number, own in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(own, number)


@contextmanager
def random_numbers_kept():
    """What is done here leaves the random numbers as they are.

    For what is computed once and then read from a cache: a run that finds it there must not draw
    others afterwards.
    """
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
