"""A spectrogram keeps its phase, or loses it; it never has that of another clip."""

import pytest
import torch

from lmac.phased import Phased, values, with_spectrum


def phased(batch=3, seed=0, n_samples=100):
    """X whose clip i is i + 1 everywhere, with a spectrum that is i + 1 too."""
    rows = torch.arange(1.0, batch + 1)[:, None, None].expand(batch, 4, 5).clone()
    return with_spectrum(rows, rows.to(torch.complex64), n_samples)


KEEP = {
    "mask first": lambda X: torch.ones(3, 4, 5) * X,
    "mask last": lambda X: X * torch.ones(3, 1, 1),
    "removed": lambda X: (1 - torch.zeros(3, 4, 5)) * X,
    "cat": lambda X: torch.cat([X * 1.0, X]),
    "cat of parts": lambda X: torch.cat([X[2:], X[:2]]),
    "slice": lambda X: X[1:],
    "pick": lambda X: X[torch.tensor([2, 0, 1, 1])],
    "choose": lambda X: X[torch.tensor([True, False, True])],
    "list": lambda X: X[[2, 0]],
    "repeat_interleave": lambda X: X.repeat_interleave(2, dim=0),
    "torch.repeat_interleave": lambda X: torch.repeat_interleave(X, 2, dim=0),
    "repeat": lambda X: X.repeat(2, 1, 1),
    "expand": lambda X: X[1:2].expand(4, -1, -1),
    "masks of one clip": lambda X: torch.ones(6, 4, 5) * X[2:],
    "leaf": lambda X: X.detach().requires_grad_(),
    "split": lambda X: X.split(2)[1],
    "chunk": lambda X: X.chunk(3)[2],
    "double": lambda X: X.double(),
    "same type": lambda X: X.to(torch.float32),
    "in place": lambda X: X.clone().mul_(1.0),
    "difference": lambda X: X + (X - X.detach()),
}
LOSE = {
    "reversed clips": lambda X: X.flip(0),
    "rotated clips": lambda X: X.roll(1, 0),
    "sorted clips": lambda X: X.sort(0, descending=True).values,
    "reversed time": lambda X: X.flip(1),
    "other frames": lambda X: X[:, 1:],
    "one clip": lambda X: X[0],
    "stacked": lambda X: torch.stack([X[0], X[1]]),
    "clips and time swapped": lambda X: X.repeat(1, 1, 1).transpose(0, 1),
    "two recordings": lambda X: X + phased(),
    "half without": lambda X: torch.cat([X, values(X)]),
    "two lengths": lambda X: torch.cat([X, phased(n_samples=99)]),
    "overwritten": lambda X: X.clone().copy_(X.flip(0)),
    "repeated in time": lambda X: X.repeat(1, 2, 1),
    "zeros": torch.zeros_like,
    "a plain tensor of its type": lambda X: torch.rand(3, 4, 5).to(X),
    "squashed": lambda X: X.sigmoid(),
    "new shape": lambda X: X.reshape(3, 4, 5),
    "list of clips": lambda X: torch.cat([X], dim=1),
}


@pytest.mark.parametrize("name", KEEP)
def test_values_and_phases_stay_together(name):
    result = KEEP[name](phased())
    assert isinstance(result, Phased) and result.n_samples == 100
    assert len(result.spectrum) == len(result)
    assert torch.equal(result.spectrum.real.to(result.dtype), values(result).detach())


@pytest.mark.parametrize("name", LOSE)
def test_what_might_mix_clips_has_no_phase(name):
    assert getattr(LOSE[name](phased()), "spectrum", None) is None


def test_a_clip_that_is_overwritten_loses_the_phase():
    for change in (lambda X: X.__setitem__(0, 1.0), lambda X: X.copy_(torch.zeros(3, 4, 5)),
                   lambda X: setattr(X, "data", torch.zeros(3, 4, 5))):  # fmt: skip
        X = phased()
        change(X)
        assert X.spectrum is None


def test_gradients_are_those_of_plain_tensors():
    X, mask = phased().requires_grad_(), torch.rand(3, 4, 5)
    (gradient,) = torch.autograd.grad((mask * X).square().sum(), X)
    torch.testing.assert_close(values(gradient), 2 * mask.square() * values(X).detach())
    assert X.is_leaf and phased().requires_grad_().requires_grad
