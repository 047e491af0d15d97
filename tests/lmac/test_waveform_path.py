"""The waveform path: what the classifier hears is the sound of the masked spectrogram."""

import math

import pytest
import torch
import torchaudio
from conftest import make_explained
from torch import nn

from lmac.classifiers import AudioClassifier, Network
from lmac.domain import FrontEnd, StftDomain, WaveformDomain, get_domain
from lmac.explained import ExplainedClassifier
from lmac.phased import values, with_spectrum
from metrics import Outcome, compute


@pytest.fixture
def domain(front_end):
    return get_domain("stft", front_end, reads="waveform")


def test_the_classifier_hears_the_very_explanation(domain, wav):
    X, spectrum = domain.analyse(wav)
    mask = torch.rand(X.shape)
    assert torch.equal(domain.to_features(mask * X), domain.synthesise(mask * X, spectrum, 16000))
    again = domain.to_features(torch.ones_like(X) * X)
    assert (again - wav)[:, :-372].abs().max() < 1e-4


def test_a_mask_of_ones_changes_no_bit_and_the_metrics_say_so(wav):
    for explained in (make_explained("wave1d"), make_explained("cnn14", hearing="waveform")):
        X, _ = explained.domain.analyse(wav)
        ones = torch.ones(X.shape)
        probs = explained.probabilities(X)
        outcome = Outcome(
            probs, explained.probabilities(ones * X), explained.probabilities((1 - ones) * X),
            probs.argmax(1), ones,
        )  # fmt: skip
        scores = compute(outcome)
        assert all((scores[name] == 0).all() for name in ("AI", "AD", "AG"))
        assert (outcome.p != outcome.p_out).all()


@pytest.mark.parametrize("rate,length", [(None, None), (8000, None), (24000, 300), (8000, 60)])
def test_gradients_in_float64(rate, length):
    """Through exp, phase, iSTFT, resampling and padding, by finite differences."""
    front_end = FrontEnd(n_fft=64, win_length=4.0, hop_length=2.0, n_mels=8).double()
    domain = WaveformDomain(front_end, input_rate=rate, input_length=length)
    X, spectrum = domain.analyse(torch.randn(1, 100, dtype=torch.float64))
    values_only = values(X).clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: domain.to_features(with_spectrum(x, spectrum, 100)), values_only
    )
    mask = torch.rand(X.shape, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: domain.to_features(m * X), mask, fast_mode=True)
    assert domain.to_features(X).shape[1] == (length or math.ceil(100 * (rate or 16000) / 16000))


def test_gradients_reach_the_mask_through_a_whole_network():
    explained = make_explained("wave1d").double()
    X, _ = explained.domain.analyse(torch.randn(2, 6000, dtype=torch.float64))
    mask = torch.rand(X.shape, dtype=torch.float64).requires_grad_()
    score = explained.logits(mask * X)[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, mask)
    step = 1e-6 * torch.randn_like(mask)
    change = explained.logits((mask + step) * X)[:, 1].sum() - explained.logits(
        (mask - step) * X
    )[:, 1].sum()  # fmt: skip
    expected = 2 * float((gradient * step).sum())
    assert float(change.detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["cnn14", "conv2d"])
def test_the_direct_path_is_what_it_was(kind, wav, front_end):
    """By its formula, written out, to the bit."""
    explained = make_explained(kind)
    domain = explained.domain
    assert type(domain) is StftDomain and domain.description == "stft"
    X, spectrum = domain.analyse(wav)
    assert type(X) is torch.Tensor and torch.equal(X, torch.log1p(front_end(wav).abs()))
    mask = torch.rand(X.shape)
    features = mask * X
    if kind == "cnn14":
        features = torch.log1p(torch.expm1(mask * X) @ front_end.mel_matrix)
    assert torch.equal(domain.to_features(mask * X), features)
    assert torch.equal(explained.logits(mask * X), explained.classifier(features)[0])


def test_a_spectrogram_classifier_can_hear_the_sound(wav):
    direct = make_explained("cnn14")
    domain = get_domain("stft", direct.domain.front_end, hearing="waveform")
    heard = ExplainedClassifier(domain, direct.classifier)
    X, spectrum = heard.domain.analyse(wav)
    mask = torch.rand(X.shape)
    sound = direct.domain.synthesise(mask * X, spectrum, 16000)
    analysed = direct.logits(direct.domain.analyse(sound)[0])
    assert torch.equal(heard.logits(mask * X), analysed)
    # A masked STFT is not the STFT of its sound: the two paths differ where the mask does.
    difference = {}
    for name, Z in (("masked", mask * X), ("whole", X)):
        features = direct.domain.to_features(values(Z))
        error = (features - domain.to_features(Z))[:, :-2].abs()
        difference[name] = float(error.mean() / features.mean())
    assert difference["masked"] > 0.02 and difference["whole"] < 1e-4


class Recorder(nn.Module):
    """Remembers what it hears; two logits."""

    def forward(self, wav):
        self.heard = wav
        return torch.stack([wav.mean(1), wav.square().mean(1)], 1)


@pytest.mark.parametrize("rate,length", [(8000, 12000), (22050, None), (16000, 16000)])
def test_the_network_s_own_rate_and_length(front_end, wav, rate, length):
    recorder = Recorder()
    network = Network(recorder, sample_rate=rate, input_length=length)
    domain = get_domain("stft", front_end, network.reads, input_rate=rate, input_length=length)
    explained = ExplainedClassifier(domain, AudioClassifier(network, nn.Identity()))
    X, spectrum = domain.analyse(wav)
    assert explained.logits(X).shape == (3, 2)
    sound = domain.synthesise(X, spectrum, 16000)
    expected = torchaudio.functional.resample(sound, 16000, rate) if rate != 16000 else sound
    n = expected.shape[1]
    assert recorder.heard.shape == (3, length or n)
    assert torch.equal(recorder.heard[:, :n], expected) and (recorder.heard[:, n:] == 0).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):  # mixed precision spares the sound
        assert torch.equal(domain.to_features(X)[:, :n], expected)
    # The training of such a network hears the same, but for the way through the STFT.
    assert (domain.hear(wav)[:, : n - 600] - expected[:, : n - 600]).abs().max() < 1e-3
    assert explained.dry_pass() == ([], 2)


def test_too_long_a_clip_is_refused_and_not_cut(front_end, wav):
    domain = get_domain("stft", front_end, "waveform", input_rate=8000, input_length=6000)
    assert domain.longest_input == 12000
    X, _ = domain.analyse(wav)
    with pytest.raises(ValueError, match="takes 0.75 s at most, the clip has 1.00 s.*signal_len"):
        domain.to_features(X)


def test_a_spectrogram_without_phase_is_refused(domain, wav):
    X, _ = domain.analyse(wav)
    for other in (values(X), X.flip(0), X.sigmoid(), torch.stack(list(X))):
        with pytest.raises(ValueError, match="needs the phase of its recording"):
            domain.to_features(other)


def test_what_cannot_be_is_refused_by_name(front_end):
    with pytest.raises(ValueError, match="'mel' domain has no phase.*use domain: stft"):
        get_domain("mel", front_end, reads="waveform")
    with pytest.raises(ValueError, match="'mel' domain has no phase.*use domain: stft"):
        get_domain("mel", front_end, reads="mel", hearing="waveform")
    with pytest.raises(ValueError, match="Unknown hearing 'wave': expected one of direct, wave"):
        get_domain("stft", front_end, hearing="wave")
    with pytest.raises(ValueError, match="or a 'waveform', got 'cqt'"):
        get_domain("stft", front_end, reads="cqt")


def test_silence_is_no_trouble(domain):
    X, _ = domain.analyse(torch.zeros(1, 4000))
    X = X.detach().requires_grad_()
    sound = domain.to_features(X)
    sound.sum().backward()
    assert sound.abs().max() == 0 and X.grad.isfinite().all()
