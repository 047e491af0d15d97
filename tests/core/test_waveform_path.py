"""The waveform path: what the classifier reads is the sound of the masked spectrogram."""

import math

import pytest
import torch
import torchaudio
from conftest import make_explained
from torch import nn

from lmac.classifiers import AudioClassifier, Network
from lmac.core.domain import FrontEnd, Phase, StftDomain, WaveformDomain, get_domain
from lmac.core.explained import ExplainedClassifier
from metrics import Outcome, compute


@pytest.fixture
def domain(front_end):
    return get_domain("stft", front_end, reads="waveform")


def test_the_classifier_reads_the_very_explanation(domain, wav):
    X, phase = domain.analyse(wav)
    mask = torch.rand(X.shape)
    sound = domain.synthesise(mask * X, phase)
    assert domain.needs_phase and sound.shape == wav.shape
    assert torch.equal(domain.to_features(mask * X, phase), sound)
    again = domain.to_features(torch.ones_like(X) * X, phase)
    assert (again - wav)[:, :-372].abs().max() < 1e-4


def test_a_mask_of_ones_changes_no_bit_and_the_metrics_say_so(wav):
    for explained in (make_explained("wave1d"), make_explained("cnn14", signal_path="waveform")):
        X, phase = explained.domain.analyse(wav)
        ones = torch.ones(X.shape)
        probs, kept, removed = (
            explained.probabilities(Z, phase) for Z in (X, ones * X, (1 - ones) * X)
        )
        outcome = Outcome(probs, kept, removed, probs.argmax(1), ones)
        scores = compute(outcome)
        assert all((scores[name] == 0).all() for name in ("AI", "AD", "AG"))
        assert (outcome.p != outcome.p_out).all()


@pytest.mark.parametrize("rate,length", [(None, None), (8000, None), (24000, 300), (8000, 60)])
def test_gradients_in_float64(rate, length):
    """Through exp, phase, iSTFT, resampling and padding, by finite differences."""
    front_end = FrontEnd(n_fft=64, win_length=4.0, hop_length=2.0, n_mels=8).double()
    domain = WaveformDomain(front_end, input_rate=rate, input_length=length)
    X, phase = domain.analyse(torch.randn(1, 100, dtype=torch.float64))
    assert torch.autograd.gradcheck(
        lambda x: domain.to_features(x, phase), X.clone().requires_grad_()
    )
    mask = torch.rand(X.shape, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda m: domain.to_features(m * X, phase), mask, fast_mode=True
    )
    assert domain.to_features(X, phase).shape[1] == (
        length or math.ceil(100 * (rate or 16000) / 16000)
    )


def test_gradients_reach_the_mask_through_a_whole_network():
    explained = make_explained("wave1d").double()
    X, phase = explained.domain.analyse(torch.randn(2, 6000, dtype=torch.float64))
    mask = torch.rand(X.shape, dtype=torch.float64).requires_grad_()
    score = explained.logits(mask * X, phase)[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, mask)
    step = 1e-6 * torch.randn_like(mask)
    up, down = (explained.logits((mask + s * step) * X, phase)[:, 1].sum() for s in (1, -1))
    change = up - down
    expected = 2 * float((gradient * step).sum())
    assert float(change.detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["cnn14", "conv2d"])
def test_the_direct_path_is_what_it_was(kind, wav, front_end):
    """By its formula, written out: to the bit, but for the sums over a filterbank's blocks."""
    explained = make_explained(kind)
    domain = explained.domain
    assert type(domain) is StftDomain and domain.description == "stft"
    X, phase = domain.analyse(wav)
    assert not domain.needs_phase and torch.equal(X, torch.log1p(front_end(wav).abs()))
    mask = torch.rand(X.shape)
    features = mask * X
    if kind == "cnn14":
        features = torch.log1p(torch.expm1(mask * X) @ front_end.mel_matrix)
    found = domain.to_features(mask * X)
    torch.testing.assert_close(found, features, rtol=1e-6, atol=1e-7 * float(features.max()))
    assert kind == "cnn14" or torch.equal(found, features)
    assert torch.equal(explained.logits(mask * X), explained.classifier(found)[0])
    # Where no phase is needed, none is looked at.
    for given in (phase, phase[1:]):
        assert torch.equal(explained.logits(mask * X, given), explained.logits(mask * X))


def test_a_spectrogram_classifier_can_read_the_sound(wav):
    direct = make_explained("cnn14")
    domain = get_domain("stft", direct.domain.front_end, signal_path="waveform")
    resynthesised = ExplainedClassifier(domain, direct.classifier)
    X, phase = domain.analyse(wav)
    mask = torch.rand(X.shape)
    sound = direct.domain.synthesise(mask * X, phase)
    analysed = direct.logits(direct.domain.analyse(sound)[0])
    assert torch.equal(resynthesised.logits(mask * X, phase), analysed)
    # A masked STFT is not the STFT of its sound: the two paths differ where the mask does.
    difference = {}
    for name, Z in (("masked", mask * X), ("whole", X)):
        features = direct.domain.to_features(Z)
        error = (features - domain.to_features(Z, phase))[:, :-2].abs()
        difference[name] = float(error.mean() / features.mean())
    assert difference["masked"] > 0.02 and difference["whole"] < 1e-4


class Recorder(nn.Module):
    """Remembers what it is given; two logits."""

    def forward(self, wav):
        self.given = wav
        return torch.stack([wav.mean(1), wav.square().mean(1)], 1)


@pytest.mark.parametrize("rate,length", [(8000, 12000), (22050, None), (16000, 16000)])
def test_the_network_s_own_rate_and_length(front_end, wav, rate, length):
    recorder = Recorder()
    network = Network(recorder, sample_rate=rate, input_length=length)
    domain = get_domain("stft", front_end, network.reads, input_rate=rate, input_length=length)
    explained = ExplainedClassifier(domain, AudioClassifier(network, nn.Identity()))
    X, phase = domain.analyse(wav)
    assert explained.logits(X, phase).shape == (3, 2)
    sound = domain.synthesise(X, phase)
    expected = torchaudio.functional.resample(sound, 16000, rate) if rate != 16000 else sound
    n = expected.shape[1]
    assert recorder.given.shape == (3, length or n)
    assert torch.equal(recorder.given[:, :n], expected) and (recorder.given[:, n:] == 0).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):  # mixed precision spares the sound
        assert torch.equal(domain.to_features(X, phase)[:, :n], expected)
    # The training of such a network reads the same, but for the way through the STFT.
    assert (domain.features(wav)[:, : n - 600] - expected[:, : n - 600]).abs().max() < 1e-3
    assert explained.output_sizes() == ([], 2)


def test_too_long_a_clip_is_refused_and_not_cut(front_end, wav):
    domain = get_domain("stft", front_end, "waveform", input_rate=8000, input_length=6000)
    assert domain.longest_input == 12000
    with pytest.raises(ValueError, match="takes 0.75 s at most, the clip has 1.00 s.*signal_len"):
        domain.to_features(*domain.analyse(wav))


@pytest.mark.parametrize("ask", ["__call__", "logits", "probabilities"])
def test_a_spectrogram_without_its_phase_is_refused(ask, wav):
    for explained in (make_explained("wave1d"), make_explained("cnn14", signal_path="waveform")):
        f = getattr(explained, ask)
        X, phase = explained.domain.analyse(wav)
        with pytest.raises(ValueError, match="needs the phase of its recording"):
            f(X)
        # Other clips or frames, an X that was repeated or cut and its phase was not, and reverse.
        shorter = explained.domain.analyse(wav[:, :12000])[1]
        for Z, other in ((X, phase[1:]), (X, shorter), (X[:1], phase), (X[:, 1:], phase),
                         (X.repeat(2, 1, 1), phase), (X, Phase.cat([phase, phase])),
                         (X, phase[:1])):  # fmt: skip
            with pytest.raises(
                ValueError, match=r"X has the shape .* and its phase \(\d, \d+, 513"
            ):
                f(Z, other)
            with pytest.raises(ValueError, match="cut, pick or repeat their clips alike"):
                explained.domain.synthesise(Z, other)


def test_what_cannot_be_is_refused_by_name(front_end):
    with pytest.raises(ValueError, match="'mel' domain has no phase.*use domain: stft"):
        get_domain("mel", front_end, reads="waveform")
    with pytest.raises(ValueError, match="'mel' domain has no phase.*use domain: stft"):
        get_domain("mel", front_end, reads="mel", signal_path="waveform")
    with pytest.raises(ValueError, match="Unknown signal_path 'wave': expected one of dir"):
        get_domain("stft", front_end, signal_path="wave")
    with pytest.raises(ValueError, match="or a 'waveform', got 'cqt'"):
        get_domain("stft", front_end, reads="cqt")
    for reads in ("waveform", "mel", "stft"):
        with pytest.raises(ValueError, match="frequency_axis: expected mel or linear, got 'bark'"):
            get_domain("stft", front_end, reads, frequency_axis="bark")
    for name, path in (("stft", "direct"), ("stft", "waveform"), ("mel", "direct")):
        with pytest.raises(ValueError, match="is linear, but this classifier reads mel bands"):
            get_domain(name, front_end, "mel", signal_path=path, frequency_axis="linear")


def test_silence_is_no_trouble(domain):
    X, phase = domain.analyse(torch.zeros(1, 4000))
    X = X.detach().requires_grad_()
    sound = domain.to_features(X, phase)
    sound.sum().backward()
    assert sound.abs().max() == 0 and X.grad.isfinite().all()
