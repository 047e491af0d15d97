"""Windows on the STFT grid of the whole recording."""

import pytest
import torch

from lmac.core.windows import cut, cut_frames, fade_weights, frame_starts, stitch


@pytest.mark.parametrize("n_samples", [80001, 99999, 160000, 960000, 961234])
@pytest.mark.parametrize("overlap", [0, 16000, 40000])
def test_windows_cover_every_sample_and_overlap(n_samples, overlap):
    window, hop = 80000, 186
    starts = [s * hop for s in frame_starts(n_samples, window, overlap, hop)]
    assert starts[0] == 0
    gaps = [b - a for a, b in zip(starts, starts[1:], strict=False)]
    assert all(0 < gap <= min(window, window - overlap + hop) for gap in gaps)
    assert all(gap > window - overlap - hop for gap in gaps[:-1])
    assert 0 <= starts[-1] + window - n_samples < hop  # full of sound


def test_one_window_when_it_covers_all():
    assert frame_starts(80000, 80000, 16000, 186) == [0] == frame_starts(10, 80000, 0, 186)


def test_whole_steps_leave_no_window_over():
    for n in range(2, 16):
        assert len(frame_starts(80000 + (n - 1) * 64000, 80000, 16000, 186)) == n


def test_a_window_s_frames_are_frames_of_the_recording(front_end):
    wav = torch.randn(200000, generator=torch.Generator().manual_seed(0))
    starts = frame_starts(len(wav), 80000, 16000, 186)
    windows = cut(wav, starts, 80000, 186)
    whole = front_end(torch.nn.functional.pad(wav, (0, 186))[None])[0]
    theirs = cut_frames(whole, starts, 431)
    for i, own in enumerate(front_end(windows)):
        torch.testing.assert_close(own[1:-1], theirs[i, 1:-1], rtol=0, atol=1e-4)
        assert (own[0] - theirs[i, 0]).abs().max() > 0.1 or i == 0  # an edge does differ


def test_fades_are_complementary():
    weights = fade_weights(3, 20, 6)
    assert torch.equal(weights[0, :14], torch.ones(14)) and (weights > 0).all()
    torch.testing.assert_close(weights[0, -6:] + weights[1, :6], torch.ones(6))
    assert weights[2, -1] == weights[0, 0] == 1 and weights[1, 0] < 0.2


def test_stitch():
    starts = [0, 14, 28, 31]  # the last two overlap by more than the others
    ones = torch.ones(4, 20, 3)
    assert torch.equal(stitch(ones, starts), torch.ones(51, 3))
    steps = torch.arange(4.0).view(4, 1, 1) * ones
    line = stitch(steps, starts)[:, 0]
    assert (line[:14] == 0).all() and (line[20:28] == 1).all() and line[-1] == 3
    assert (line.diff() >= 0).all() and line.diff().max() < 0.4
