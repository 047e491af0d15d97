"""GradCAM puts a map where the classifier says that its frequencies are."""

import math

import pytest
import torch
import torchaudio
from torch import nn

from interpreters.gradcam import GradCAM
from interpreters.guided import GuidedGradCAM
from lmac.checkpoints import classifier_domain
from lmac.classifiers import AudioClassifier, Network
from lmac.core.domain import FrontEnd, StftDomain, WaveformDomain, get_domain
from lmac.core.explained import ExplainedClassifier
from lmac.settings.load import load

CELL = 8  # bins in a cell of the map


class Spectral(nn.Module):
    """A spectrogram inside a network on waveforms, pooled to a map [B, 1, T', F']."""

    def __init__(self, filters=None):
        super().__init__()
        self.filters = filters  # [257, bands] of a mel spectrogram
        self.pool = nn.Sequential(nn.AvgPool2d((4, CELL if filters is None else 2)), nn.ReLU())

    def forward(self, wav):
        window = torch.hann_window(512, dtype=wav.dtype)
        spectrum = torch.stft(wav, 512, 128, window=window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        bands = power.transpose(1, 2)
        if self.filters is not None:
            bands = bands @ self.filters
        level = self.pool(bands.unsqueeze(1)).mean((2, 3))
        return torch.cat([level, -level], 1)


def peak(method, axis, tone, rate=16000, filters=None):
    """Frequency (Hz) where the mask for a tone at 16 kHz is the largest, on average over time."""
    front_end = FrontEnd()
    network = Network(
        Spectral(filters), sample_rate=rate, layers={"pool": "BCTF"}, frequency_axis=axis
    )
    domain = get_domain("stft", front_end, network.reads, input_rate=network.sample_rate,
                        frequency_axis=network.frequency_axis)  # fmt: skip
    explained = ExplainedClassifier(domain, AudioClassifier(network, nn.Identity()))
    wav = torch.sin(2 * math.pi * tone * torch.arange(16000) / 16000)[None]
    X, phase = explained.domain.analyse(wav)
    mask = method(explained).explain(X, torch.tensor([0]), phase)
    assert mask.shape == X.shape and mask.max() == 1
    profile = mask[0].mean(0)
    top = torch.nonzero(profile > 0.99 * profile.max()).flatten().double()
    return float(top.mean()) * 16000 / front_end.n_fft


def mel_filters(rate):
    """Triangular mel filters of a network with an STFT of 512 samples."""
    return torchaudio.functional.melscale_fbanks(257, 0.0, rate / 2, 64, rate)


@pytest.mark.parametrize("tone", [500, 1500, 4000, 6500])
@pytest.mark.parametrize("rate", [16000, 22050, 32000])
def test_a_tone_on_a_linear_axis_is_found_where_it_is(tone, rate):
    cell = CELL * rate / 512
    assert peak(GradCAM, "linear", tone, rate) == pytest.approx(tone, abs=cell)


@pytest.mark.parametrize("tone", [500, 1500, 3000])
def test_a_tone_below_the_highest_frequency_of_a_slower_network(tone):
    assert peak(GradCAM, "linear", tone, 8000) == pytest.approx(tone, abs=CELL * 8000 / 512)


def test_taken_for_mel_bands_the_tone_would_be_elsewhere():
    """The fault that this axis is for: 4 kHz found at 1.8 kHz."""
    assert peak(GradCAM, "mel", 4000) == pytest.approx(1770, abs=150)


@pytest.mark.parametrize("tone", [500, 1500, 4000])
@pytest.mark.parametrize("rate", [16000, 32000])
def test_a_tone_on_a_mel_axis(tone, rate):
    found = peak(GradCAM, "mel", tone, rate, mel_filters(rate))
    assert found == pytest.approx(tone, rel=0.12, abs=80)


def test_guided_gradcam_uses_the_same_map():
    cell = CELL * 16000 / 512
    assert peak(GuidedGradCAM, "linear", 4000) == pytest.approx(4000, abs=cell)


@pytest.mark.parametrize("method", [GradCAM, GuidedGradCAM])
def test_a_map_of_unknown_frequencies_is_refused(method):
    match = "GradCAM: the layer has a frequency axis.*frequency_axis: mel or frequency_axis: linear"
    with pytest.raises(ValueError, match=match) as error:
        peak(method, None, 4000)
    assert "\n" not in str(error.value)


def test_above_the_network_s_highest_frequency_there_is_nothing():
    for axis in ("mel", "linear"):
        domain = WaveformDomain(FrontEnd(), input_rate=8000, frequency_axis=axis)
        grid = domain.upsample(torch.ones(2, 5, 6), 30)
        assert grid.shape == (2, 30, 513)
        assert (grid[..., :240] > 0.99).all() and (grid[..., 275:] == 0).all()


def test_by_default_the_axis_is_that_of_what_is_read():
    front_end = FrontEnd()
    said = {
        ("mel", "direct"): "mel", ("mel", "waveform"): "mel", ("stft", "direct"): "linear",
        ("stft", "waveform"): "linear", ("waveform", "direct"): None,
    }  # fmt: skip
    for (reads, path), axis in said.items():
        assert get_domain("stft", front_end, reads, path).frequency_axis == axis
    # A network that reads the STFT and computes mel bands of it may say so.
    domain = StftDomain(front_end, "stft", frequency_axis="mel")
    maps = torch.rand(1, 4, 80)
    torch.testing.assert_close(domain.upsample(maps, 4), maps @ front_end.band_matrix)


def test_the_yaml_says_it(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "classifier_name: mine\n"
        "embedding_model: !new:lmac.classifiers.Network\n"
        "    network: !new:torch.nn.Linear {in_features: 100, out_features: 2}\n"
        "    frequency_axis: linear\n"
        "classifier: !new:torch.nn.Identity\n"
    )
    hparams, _ = load("hparams/evaluation.yaml",
                      {"data_folder": "x", "classifier_yaml": f"{tmp_path}/mine.yaml"})  # fmt: skip
    assert classifier_domain(hparams).frequency_axis == "linear"
