"""A phase is cut, picked and repeated as its clips are, and refuses what is not theirs."""

import pytest
import torch

from lmac.core.domain import Phase


def made(batch=3, n_samples=100, first=1.0):
    """X whose clip i is i + 1 everywhere, with a spectrum that is i + 1 too."""
    rows = torch.arange(first, first + batch)[:, None, None].expand(batch, 4, 5).clone()
    return rows, Phase(rows.to(torch.complex64), n_samples)


# The same operation on clips and on phases.
ALIKE = {
    "slice": (lambda x: x[1:], lambda p: p[1:]),
    "one clip": (lambda x: x[1:2], lambda p: p[1:2]),
    "list": (lambda x: x[[2, 0]], lambda p: p[[2, 0]]),
    "permuted and repeated": (
        lambda x: x[torch.tensor([2, 0, 1, 1])],
        lambda p: p[torch.tensor([2, 0, 1, 1])],
    ),
    "chosen": (
        lambda x: x[torch.tensor([True, False, True])],
        lambda p: p[torch.tensor([True, False, True])],
    ),
    "first piece": (lambda x: x.split(2)[0], lambda p: p.split(2)[0]),
    "last piece": (lambda x: x.split(2)[1], lambda p: p.split(2)[1]),
    "repeated": (lambda x: torch.cat([x, x]), lambda p: Phase.cat([p, p])),
    "parts": (lambda x: torch.cat([x[2:], x[:2]]), lambda p: Phase.cat([p[2:], p[:2]])),
    "moved": (lambda x: x.to("cpu"), lambda p: p.to("cpu")),
}


@pytest.mark.parametrize("name", ALIKE)
def test_clips_and_phases_stay_together(name):
    X, phase = made()
    of_clips, of_phases = ALIKE[name]
    clips, phases = of_clips(X), of_phases(phase)
    assert isinstance(phases, Phase) and phases.n_samples == 100 and len(phases) == len(clips)
    assert torch.equal(phases.spectrum.real, clips)
    phases.check(clips)


def test_as_many_pieces_as_of_x():
    X, phase = made()
    assert [len(p) for p in phase.split(2)] == [len(x) for x in X.split(2)] == [2, 1]


@pytest.mark.parametrize(
    "other", [(2, 4, 5), (4, 4, 5), (3, 3, 5), (3, 4, 4), (1, 4, 5), (4, 5), (12, 5)]
)
def test_an_x_of_other_clips_frames_or_bins_is_refused(other):
    _, phase = made()
    with pytest.raises(ValueError, match=r"and its phase \(3, 4, 5\).*one domain.analyse"):
        phase.check(torch.zeros(other))


def test_what_is_no_phase_is_refused():
    X, phase = made()
    for spectrum in (X, phase.spectrum[0]):
        with pytest.raises(ValueError, match="a complex STFT .clips, frames, bins., got torch"):
            Phase(spectrum, 100)
    for index in (0, -1, (slice(None), 1), torch.tensor(1), None, ...):
        with pytest.raises(TypeError, match="expected a slice, a list or a vector of clips"):
            phase[index]
    with pytest.raises(ValueError, match="recordings of 99, 100 samples cannot be one batch"):
        Phase.cat([phase, made(n_samples=99)[1]])
    with pytest.raises(AttributeError):
        phase.n_samples = 3


def test_its_parts_make_it_again():
    _, phase = made()
    again = Phase(*phase.parts)
    assert again.spectrum is phase.spectrum and again.n_samples == phase.n_samples
