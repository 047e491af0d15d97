"""What is handed over to be explained: files, arrays, rates; and what the network cannot hear."""

import numpy as np
import pytest
import soundfile
import torch

from lmac.explain.source import waveform

RATES = (8000, 16000, 22050, 32000, 44100, 48000, 96000)


def tone(frequency, rate, seconds=1.0):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def spectrum(samples):
    """Decibels over full scale in steps of about 1 Hz, away from both ends."""
    middle = np.asarray(samples, np.float64)[len(samples) // 8 : -len(samples) // 8]
    window = np.blackman(len(middle))
    return 20 * np.log10(np.abs(np.fft.rfft(middle * window)) / window.sum() * 2 + 1e-12)


@pytest.mark.parametrize("source", RATES)
@pytest.mark.parametrize("target", RATES)
def test_a_tone_comes_out_at_its_frequency_and_nothing_else(source, target):
    """At 0.8 of the lower half rate; the largest other component is below -90 dB of the tone."""
    frequency = 0.4 * min(source, target)
    samples, _, warning = waveform((tone(frequency, source), source), target)
    assert abs(len(samples) - target) <= 1 and samples.dtype == torch.float32
    levels = spectrum(samples)
    hertz = np.arange(len(levels)) * target / (2 * (len(levels) - 1))
    peak = levels.argmax()
    middle = samples[target // 8 : -target // 8].double()
    assert abs(hertz[peak] - frequency) < 3
    assert float(middle.square().mean().sqrt()) == pytest.approx(0.5 / 2**0.5, rel=1e-3)
    assert levels[np.abs(hertz - frequency) > 50].max() < levels[peak] - 90
    assert warning is None


@pytest.mark.parametrize("source,target", [(48000, 16000), (44100, 16000), (96000, 44100)])
def test_a_tone_above_the_network_s_band_leaves_no_alias(source, target):
    """Beside a quiet tone inside, so that something is left; 10 % above half the rate."""
    above = 0.55 * target
    samples = tone(above, source) + 0.1 * tone(440, source)
    after, _, warning = waveform((samples, source), target)
    levels = spectrum(after)
    hertz = np.arange(len(levels)) * target / (2 * (len(levels) - 1))
    alias = np.abs(hertz - (target - above)) < 50
    assert levels[alias].max() < -6 - 90
    assert f"99 % of its energy lies above {target / 2:.0f} Hz" in warning


def test_a_cricket_at_12_khz_is_no_crackling_fire(tmp_path):
    """A 12 kHz tone at 48 kHz, for a network at 16 kHz: there is next to nothing to explain."""
    soundfile.write(tmp_path / "cricket.wav", tone(12000, 48000, 3.0), 48000)
    _, _, warning = waveform(tmp_path / "cricket.wav", 16000)
    assert warning == (
        f"{tmp_path}/cricket.wav: nearly all of its energy lies above 8000 Hz, which this network "
        "does not hear. What is explained is the rest."
    )
    soundfile.write(tmp_path / "low.wav", tone(3000, 48000), 48000)
    assert waveform(tmp_path / "low.wav", 16000)[2] is None


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x.astype(np.float32),
        lambda x: torch.from_numpy(x),
        lambda x: torch.from_numpy(x).float().requires_grad_(),
        lambda x: np.stack([x, x]),
        lambda x: torch.from_numpy(np.stack([2 * x, 0 * x])),
        lambda x: np.round(32767 * x).astype(np.int16),
        lambda x: x.tolist(),
    ],
)
def test_arrays_of_any_kind(change):
    x = tone(440, 16000)
    samples, name, _ = waveform((change(x), 16000), 16000)
    assert samples.shape == (16000,) and samples.dtype == torch.float32 and name == "waveform"
    np.testing.assert_allclose(samples, x, atol=2e-5)


@pytest.mark.parametrize(
    "source,message",
    [
        (np.ones(100), r"samples and their rate as \(samples, rate\), got ndarray"),
        ((np.ones((100, 2)), 16000), r"100 channels of 2 samples: expected \[channels, n\]"),
        ((np.ones((2, 2, 9)), 16000), r"Expected samples \[n\] or \[channels, n\], got float64"),
        ((np.ones(0), 16000), r"Expected samples \[n\]"),
        ((np.array(["a"]), 16000), r"Expected samples \[n\]"),
        ((np.ones(100), "16000"), "rate of the samples is '16000': expected whole Hz"),
        ((np.ones(100), 0), "rate of the samples is 0"),
        ((np.array([1, np.nan, 0]), 16000), "NaN or infinite"),
        ((np.zeros(100), 16000), r"is silent \(its largest sample is 0\): there is nothing to"),
        ((np.full(100, 1e-30), 16000), r"is silent \(its largest sample is 1e-30\): there is"),
        (
            (np.stack([tone(440, 8000), -tone(440, 8000)]), 16000),
            "its 2 channels cancel one another",
        ),
        ((np.ones(100), 10**6 * 9), "more than 100 times above the 16000 Hz"),
        ("nowhere.wav", "nowhere.wav does not exist"),
    ],
)
def test_mistakes_get_one_sentence(source, message):
    with pytest.raises(ValueError, match=message) as error:
        waveform(source, 16000)
    assert "\n" not in str(error.value)
