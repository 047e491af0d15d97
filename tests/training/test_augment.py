"""Augmentation: levels measured, content kept."""

import pytest
import torch

from lmac.training.augment import ClipMixer, WaveformAugment, mix_at_snr, random_shift
from lmac.training.schedules import one_cycle


def test_snr_is_what_was_asked_for():
    wav, noise = torch.randn(4, 8000), 5 * torch.randn(4, 8000)
    snr_db = torch.tensor([-5.0, 0.0, 10.0, 20.0])
    added = mix_at_snr(wav, noise, snr_db) - wav
    measured = 20 * (wav.norm(dim=1) / added.norm(dim=1)).log10()
    torch.testing.assert_close(measured, snr_db, atol=1e-3, rtol=0)


def test_silence_mixes_without_nan():
    assert mix_at_snr(torch.zeros(1, 50), torch.zeros(1, 50), torch.zeros(1)).abs().max() == 0
    augment = WaveformAugment(mixer=ClipMixer(probability=1))
    assert all(part.isfinite().all() for part in augment(torch.zeros(2, 50)))


def test_shift_rotates_each_clip_by_its_own_amount():
    torch.manual_seed(0)
    wav = torch.arange(100.0).repeat(8, 1)
    shifted = random_shift(wav)
    assert len({float(row[0]) for row in shifted}) > 4
    for row in shifted:
        assert torch.equal(row.roll(int(row.argmin()) * -1), wav[0])


def test_gain_range_and_other_clips_of_the_batch():
    torch.manual_seed(0)
    # Clip i is a tone at DFT bin i + 1, whatever the shift.
    time = torch.arange(200) / 200
    wav = torch.stack([(2 * torch.pi * (i + 1) * time).sin() for i in range(8)])
    augment = WaveformAugment(
        shift=False, gain_db=(-6, -6), mixer=ClipMixer(probability=1.0, snr_db=(6, 6))
    )
    out, clean = augment(wav)
    torch.testing.assert_close(out.abs().amax(1), torch.full((8,), 10 ** (-6 / 20)))
    bins = torch.fft.rfft(out).abs()[:, 1:9]
    for i, row in enumerate(bins):
        loudest, second = row.sort(descending=True).values[:2]
        assert int(row.argmax()) == i
        assert float(second / loudest) == pytest.approx(10 ** (-6 / 20), rel=1e-3)
    # The clip's own part: the clip at one gain, and the rest of the mixture 6 dB below it.
    gain = clean.norm(dim=1) / wav.norm(dim=1)
    torch.testing.assert_close(clean, gain.unsqueeze(1) * wav)
    snr_db = 20 * (clean.norm(dim=1) / (out - clean).norm(dim=1)).log10()
    torch.testing.assert_close(snr_db, torch.full((8,), 6.0), atol=1e-3, rtol=0)
    none = WaveformAugment(shift=False, gain_db=(0, 0), mixer=ClipMixer(probability=0.0))
    for part in none(wav):
        torch.testing.assert_close(part, wav / wav.abs().amax(1, keepdim=True))


def test_speed_moves_a_tone_and_keeps_the_length():
    """Faster by a quarter: a tone of 1000 Hz is one of 1250, and the last fifth is silent."""
    torch.manual_seed(0)
    tone = (2 * torch.pi * 1000 * torch.arange(16000) / 16000).sin().repeat(2, 1)
    augment = WaveformAugment(shift=False, gain_db=(0, 0), speed_perturbation=[80, 125])
    heard = set()
    for _ in range(12):
        out, clean = augment(tone)
        assert out.shape == tone.shape
        torch.testing.assert_close(out, clean)
        hz = 2 * int(torch.fft.rfft(out[0, :8000]).abs().argmax())
        assert (out[:, 13000:].abs().max() == 0) == (hz == 1250)
        heard.add(hz)
    assert heard == {800, 1250}


def test_noise_is_mixed_in_at_its_own_ratio():
    """0 dB in every clip by default, whatever is set for clips of the batch."""
    torch.manual_seed(0)
    wav, drawn = torch.randn(6, 4000), torch.randn(6, 4000)
    mixer = ClipMixer(0.0, (20, 20), noise=lambda n, length: drawn[:n, :length])
    added = mixer(wav) - wav
    torch.testing.assert_close(added.norm(dim=1), wav.norm(dim=1))
    cosine = torch.nn.functional.cosine_similarity(added, drawn, dim=1)
    torch.testing.assert_close(cosine, torch.ones(6))
    mixer = ClipMixer(noise=lambda *_: drawn, noise_probability=0.5, noise_snr_db=(5, 10))
    added = torch.cat([mixer(wav) - wav for _ in range(50)])
    mixed = added.norm(dim=1) > 0
    assert 0.4 < float(mixed.float().mean()) < 0.6
    ratio = 20 * (wav.repeat(50, 1).norm(dim=1) / added.norm(dim=1))[mixed].log10()
    assert 4.99 < ratio.min() < 5.5 and 9.5 < ratio.max() < 10.01
    silence = ClipMixer(noise=lambda *_: torch.zeros(6, 4000))(wav)
    assert torch.equal(silence, wav)


def test_one_cycle():
    rates = [one_cycle(i / 100, 0.01) for i in range(101)]
    assert max(rates) == pytest.approx(0.01)
    assert rates.index(max(rates)) == 20
    assert rates[0] == pytest.approx(0.0005) and rates[-1] == pytest.approx(0.00002)
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)
