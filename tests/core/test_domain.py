"""Front end and domains, against SpeechBrain's own modules and gradient checks."""

import pytest
import torch
from speechbrain.processing.features import ISTFT, STFT, Filterbank, spectral_magnitude

from lmac.core import fast
from lmac.core.domain import FrontEnd, MelDomain, StftDomain, get_domain
from lmac.core.fast import magnitude_of

STFT_OPTIONS = {"sample_rate": 16000, "win_length": 23.2199, "hop_length": 11.6099}


def test_front_end_is_speechbrain_s(front_end, wav):
    theirs = STFT(**STFT_OPTIONS, n_fft=1024)(wav)
    ours = front_end(wav)
    torch.testing.assert_close(torch.view_as_real(ours), theirs)
    magnitude = spectral_magnitude(theirs, power=0.5)
    fbank = Filterbank(n_mels=80, n_fft=1024, sample_rate=16000, log_mel=False)
    torch.testing.assert_close(front_end.mel(magnitude), fbank(magnitude), rtol=1e-4, atol=1e-5)


def test_window_and_hop_are_the_published_samples(front_end):
    assert front_end.stft.win_length == 372
    assert front_end.hop_samples == 186


@pytest.mark.parametrize("length", [16000, 15999, 7001])
def test_a_mask_of_ones_gives_the_waveform_back(front_end, length):
    domain = StftDomain(front_end)
    wav = torch.randn(2, length)
    X, phase = domain.analyse(wav)
    again = domain.synthesise(torch.ones_like(X) * X, phase)
    assert again.shape == wav.shape
    # The last samples lie under the edge of the last window only.
    assert (again - wav)[:, :-372].abs().max() < 1e-4


def test_explanation_and_removed_part_add_up_where_the_mask_decides(front_end, wav):
    """log1p is not linear, but a mask of zeros and ones loses nothing."""
    domain = StftDomain(front_end)
    X, phase = domain.analyse(wav)
    add_up = {}
    for name, mask in (("binary", (torch.rand(X.shape) > 0.5).float()),
                       ("half", torch.full(X.shape, 0.5))):  # fmt: skip
        parts = [domain.synthesise(m * X, phase) for m in (mask, 1 - mask)]
        add_up[name] = float((sum(parts) - wav)[:, :-372].norm() / wav.norm())
    assert add_up["binary"] < 1e-5
    assert add_up["half"] > 0.05  # said in the README: soft masks do not add up


def test_synthesis_agrees_with_speechbrain(front_end, wav):
    domain = StftDomain(front_end)
    X, phase = domain.analyse(wav)
    mask = torch.rand(X.shape)
    masked = torch.expm1(mask * X)
    angle = phase.spectrum.angle()
    theirs = ISTFT(**STFT_OPTIONS)(
        torch.stack([masked * angle.cos(), masked * angle.sin()], -1), sig_length=16000
    )
    torch.testing.assert_close(domain.synthesise(mask * X, phase), theirs, rtol=1e-3, atol=1e-4)


def test_masked_features_follow_the_formula(front_end, wav):
    domain = StftDomain(front_end)
    X, _ = domain.analyse(wav)
    mask = torch.rand(X.shape)
    by_hand = (front_end.mel_matrix.t() @ torch.expm1(mask * X).transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(domain.to_features(mask * X), torch.log(1 + by_hand))


def test_gradients_through_features_and_synthesis():
    front_end = FrontEnd(n_fft=64, win_length=4.0, hop_length=2.0, n_mels=8).double()
    domain = StftDomain(front_end)
    X, phase = domain.analyse(torch.randn(1, 300, dtype=torch.float64))
    X = X.requires_grad_()
    assert torch.autograd.gradcheck(domain.to_features, X)
    assert torch.autograd.gradcheck(lambda x: domain.synthesise(x, phase), X)


def test_spreading_keeps_constants_and_gathering_undoes_it(front_end):
    domain = StftDomain(front_end)
    bands = torch.full((2, 7, 80), 0.3)
    torch.testing.assert_close(domain.spread(bands), torch.full((2, 7, 513), 0.3))
    torch.testing.assert_close(domain.gather(domain.spread(bands)), bands)
    # One band reaches only bins that its own filter reaches.
    one = torch.zeros(1, 1, 80)
    one[..., 40] = 1
    reached = domain.spread(one)[0, 0] > 0
    assert (front_end.mel_matrix[reached, 40] > 0).all()


def test_silence_is_no_trouble(front_end):
    domain = StftDomain(front_end)
    X, phase = domain.analyse(torch.zeros(1, 4000))
    X.requires_grad_()
    features = domain.to_features(X)
    assert features.abs().max() == 0
    features.sum().backward()
    assert X.grad.isfinite().all()
    assert domain.synthesise(X, phase).abs().max() == 0


def test_mel_domain_is_the_classifier_s_input_and_has_no_sound(front_end, wav):
    stft, mel = StftDomain(front_end), MelDomain(front_end)
    X, phase = mel.analyse(wav)
    assert X.shape == (3, 87, 80)
    torch.testing.assert_close(
        mel.to_features(X), stft.to_features(stft.analyse(wav)[0]), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(NotImplementedError, match="cannot be listened to"):
        mel.synthesise(X, phase)


def test_a_classifier_on_the_stft_has_no_mel_domain(front_end, wav):
    domain = get_domain("stft", front_end, reads="stft")
    X, _ = domain.analyse(wav)
    assert domain.to_features(X) is X
    with pytest.raises(ValueError, match="no mel domain"):
        get_domain("mel", front_end, reads="stft")
    with pytest.raises(ValueError, match="'cqt': expected one of stft, mel"):
        get_domain("cqt", front_end)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_magnitudes_are_absolute_values_to_the_bit(dtype):
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.randn(2, 50, 513, dtype=dtype, generator=generator)
    spectrum[0, :5] = 0
    spectrum = spectrum * torch.logspace(-12, 6, 513, dtype=spectrum.real.dtype)
    before = spectrum.clone()
    for one in (spectrum, spectrum.transpose(1, 2), spectrum[:, ::3], spectrum[:0]):
        assert torch.equal(magnitude_of(one), one.abs())
    assert torch.equal(spectrum, before)
    odd = [0.0, 1.0, float("inf"), -float("inf"), float("nan")]
    odd = torch.tensor([complex(a, b) for a in odd for b in odd], dtype=dtype).repeat(9)
    torch.testing.assert_close(magnitude_of(odd), odd.abs(), rtol=0, atol=0, equal_nan=True)
    spectrum.requires_grad_()
    magnitude_of(spectrum).sum().backward()
    assert spectrum.grad.isfinite().all()


class Counted(StftDomain):
    """Counts how often features are computed."""

    n = 0

    def _log_mel(self, X):
        self.n += 1
        return super()._log_mel(X)


@pytest.fixture
def counted(front_end):
    return Counted(front_end)


@pytest.fixture
def X():
    return torch.rand(2, 40, 513, generator=torch.Generator().manual_seed(2))


def test_features_of_an_input_are_computed_once_and_forgotten_with_it(counted, X):
    X, before = X.clone(), len(fast._KNOWN)
    first = counted.to_features(X)
    assert counted.to_features(X) is counted.picture(X) is first and counted.n == 1
    assert torch.equal(counted.to_features(X.clone()), first) and counted.n == 2
    del X
    assert len(fast._KNOWN) == before


def test_what_changes_in_place_is_computed_anew(counted, X):
    counted.to_features(X)
    X.mul_(0.5)
    halved = counted.to_features(X)
    assert counted.n == 2 and torch.equal(halved, StftDomain(counted.front_end).to_features(X))
    halved.zero_()  # as a careless network might
    assert counted.to_features(X).any() and counted.n == 3


def test_of_a_gradient_and_of_other_settings_nothing_is_taken_over(counted, X):
    plain = counted.to_features(X)
    other = Counted(FrontEnd(n_mels=40))
    assert other.to_features(X).shape[2] == 40 and counted.to_features(X).shape[2] == 80
    with torch.autocast("cpu", torch.bfloat16):
        low = counted.to_features(X)
        assert low.dtype == torch.bfloat16 and counted.to_features(X) is low
    assert counted.to_features(X).dtype == torch.float32
    with torch.inference_mode():
        assert torch.equal(counted.to_features(X + 0), plain)
    n = counted.n
    X.requires_grad_()
    (gradient,) = torch.autograd.grad(counted.to_features(X).sum(), X)
    assert gradient.any() and counted.n == n + 1
