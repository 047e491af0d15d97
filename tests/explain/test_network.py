"""Any network by lmac.Explainer: what it answers, its own rate, training and mistakes."""

import json
import logging
import math
import re

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import lmac
from lmac.settings.load import settings

LABELS = ["dog", "rain", "bell", "saw"]


class Network(nn.Module):
    """Waveforms to logits, by two convolutions."""

    def __init__(self, n_classes=4):
        super().__init__()
        self.filters = nn.Sequential(nn.Conv1d(1, 8, 64, 32), nn.ReLU())
        self.features = nn.Sequential(nn.Conv1d(8, 16, 8, 4), nn.ReLU())
        self.head = nn.Linear(16, n_classes)

    def forward(self, wav):
        return 20 * self.head(self.features(self.filters(wav.unsqueeze(1))).mean(2))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().train()


def noise(seconds, rate, seed=0):
    n = round(seconds * rate)
    samples = np.random.default_rng(seed).standard_normal(n)
    return 0.2 * samples * np.abs(np.sin(np.arange(n) / rate * 9))


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "recordings"
    (folder / "more").mkdir(parents=True)
    for i, (rate, seconds) in enumerate([(22050, 2.6), (16000, 1.4), (44100, 1.0), (16000, 0.3)]):
        name = f"{i}.wav" if i else "more/0.flac"
        soundfile.write(folder / name, noise(seconds, rate, i), rate)
    return folder


def test_the_answer_is_the_network_s_own(network):
    """p, p_in and p_out against the network itself, on the sounds that are written."""
    explainer = lmac.Explainer(network, 22050, LABELS, ["filters", "features"])
    x = noise(1.5, 22050)
    explanation = explainer((x, 22050), method="GradCAM")
    network.eval()
    sounds = [explanation.wav, explanation.explanation, explanation.removed]
    with torch.no_grad():
        p = network(torch.stack(sounds)).double().softmax(1)
    decision = int(p[0].argmax())
    assert explanation.explained_class == LABELS[decision]
    for value, want in zip((explanation.p, explanation.p_in, explanation.p_out), p, strict=True):
        assert value == pytest.approx(float(want[decision]), abs=1e-4)
    assert 0 < explanation.mask.mean() < 1 and explanation.mask.shape == explanation.X.shape


def test_the_network_is_left_as_it_is(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    lmac.Explainer(network, 16000, layers=["features"])((noise(1, 16000), 16000), "GradCAM")
    assert network.training and all(p.requires_grad for p in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network.features._forward_hooks


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44100, 48000, 96000])
def test_the_front_end_follows_the_rate(network, rate):
    """Window and hop in milliseconds; the FFT is the power of two from twice the window on."""
    front_end = lmac.Explainer(network, rate).explained.domain.front_end
    window = round(0.0232199 * rate)
    assert front_end.sample_rate == rate and front_end.stft.win_length == window
    assert front_end.hop_samples == round(0.0116099 * rate) and front_end.mel_top == rate / 2
    assert 2 * window <= front_end.n_fft < 4 * window and math.log2(front_end.n_fft) % 1 == 0
    if rate == 16000:
        assert (front_end.n_fft, window, front_end.hop_samples) == (1024, 372, 186)


def test_a_yaml_s_own_rate_is_the_method_s(tmp_path):
    """Of a network that says it in its YAML; what is said of n_fft stays."""
    text = (
        "embedding_model: !new:lmac.classifiers.Network\n    network: !new:torch.nn.Identity\n"
        "    sample_rate: 48000\nclassifier: !new:torch.nn.Identity\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    found = settings("hparams/explain.yaml", {"classifier_yaml": tmp_path / "mine.yaml"})
    assert (found["sample_rate"], found["n_fft"], found["win_length"]) == (48000, 4096, 23.2199)
    (tmp_path / "mine.yaml").write_text(text + "n_fft: 2048\n")
    found = settings("hparams/explain.yaml", {"classifier_yaml": tmp_path / "mine.yaml"})
    assert (found["sample_rate"], found["n_fft"]) == (48000, 2048)
    assert settings("hparams/explain.yaml")["n_fft"] == 1024


def test_what_it_does_not_hear_is_said(network, caplog):
    t = np.arange(96000) / 48000
    explainer = lmac.Explainer(network, 16000)
    with caplog.at_level(logging.WARNING):
        explanation = explainer((np.sin(2 * np.pi * 12000 * t), 48000), method="Saliency")
    assert "nearly all of its energy lies above 8000 Hz" in caplog.text
    assert explanation.warning in caplog.text and explanation.warning in explanation._repr_html_()


def test_how_it_shows_itself(network, tmp_path):
    explainer = lmac.Explainer(network, 16000, ["<b>", *LABELS[1:]])
    assert repr(explainer) == "<Explainer: 4 classes, 16000 Hz>"
    explanation = explainer((noise(1, 16000), 16000), "Saliency", "<b>")
    assert re.fullmatch(
        r"<waveform: Saliency for <b>, p = [\d.]+, p_in = [\d.]+, p_out = [\d.]+>",
        repr(explanation),
    )
    page = explanation._repr_html_()
    assert page.count("<audio controls") == 3 and "<b>" not in page and "&lt;b&gt;" in page
    assert sorted(explanation.save(tmp_path)) == sorted(p.name for p in tmp_path.iterdir())


def test_training_needs_no_labels_and_goes_on(network, recordings, tmp_path, capsys):
    options = {"decoder_hidden": 8, "batch_size": 2, "num_workers": 0}
    options["results_folder"] = str(tmp_path)
    made = lmac.Explainer(network, 16000, LABELS, ["filters", "features"], window_s=1.0)
    assert made.fit(recordings, epochs=2, output_folder=tmp_path / "out", **options) is made
    told = capsys.readouterr().out
    # 2.6 s are three clips, for 0.6 s are more than half of one; 1.4 s are one; each other one.
    assert re.search(r"clips of 1 s to train on, \d to validate", told)
    assert re.search(r"2 epochs of \d steps: about \d+ seconds", told)
    rows = (tmp_path / "out" / "manifest.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in rows[1:]] == [
        "1.wav@0", "2.wav@0", "3.wav@0", "more/0.flac@0", "more/0.flac@1", "more/0.flac@2",
    ]  # fmt: skip
    folds = {line.split(",")[2]: line.split(",")[3] for line in rows[1:]}
    assert sorted(folds.values()).count("2") == 1  # a file is in one of the two alone
    info = json.loads((tmp_path / "out" / "best" / "info.json").read_text())
    assert info["network"] == {
        "sample_rate": 16000, "layers": ["filters", "features"], "window_s": 1.0, "labels": LABELS,
    }  # fmt: skip
    x = noise(2, 16000, 7)
    first = made((x, 16000))
    assert first.method == "L-MAC" and 0 < first.mask.mean() < 1

    state = torch.load(tmp_path / "out" / "best" / "decoder.ckpt", weights_only=True)
    made.fit(recordings, epochs=2, output_folder=tmp_path / "out", **options)  # it is done already
    again = torch.load(tmp_path / "out" / "best" / "decoder.ckpt", weights_only=True)
    assert all(torch.equal(value, again[name]) for name, value in state.items())
    made.fit(recordings, epochs=3, output_folder=tmp_path / "out", **options)
    log = (tmp_path / "out" / "train_log.txt").read_text()
    assert re.findall(r"epoch: (\d)", log) == ["1", "2", "3"]

    for loaded in (
        lmac.Explainer.load(tmp_path / "out" / "best", network),
        lmac.Explainer(network, 16000, LABELS, ["filters", "features"], window_s=1.0,
                       lmac_checkpoint=str(tmp_path / "out" / "best")),
    ):  # fmt: skip
        assert torch.equal(loaded((x, 16000)).mask, made((x, 16000)).mask)
        assert loaded.labels == LABELS
    with pytest.raises(ValueError, match="give the network, lmac.Explainer.load"):
        lmac.Explainer.load(tmp_path / "out" / "best")

    torch.manual_seed(1)
    other = Network()
    with pytest.raises(ValueError, match="was trained for classifier_weights"):
        lmac.Explainer.load(tmp_path / "out" / "best", other)((x, 16000))
    stranger = lmac.Explainer(other, 16000, LABELS, ["filters", "features"], window_s=1.0)
    with pytest.raises(ValueError, match="holds a run with classifier_name"):
        stranger.fit(recordings, epochs=3, output_folder=tmp_path / "out", **options)
    fewer = lmac.Explainer(network, 16000, LABELS, ["features"], window_s=1.0)
    with pytest.raises(ValueError, match="holds a run with classifier_name"):
        fewer.fit(recordings, epochs=3, output_folder=tmp_path / "out", **options)
    with pytest.raises(ValueError, match="was trained with sample_rate 16000"):
        load = {"sample_rate": 22050}
        lmac.Explainer.load(tmp_path / "out" / "best", network, **load)((x, 16000))


def test_random_numbers_go_on_as_without_it(network):
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    lmac.Explainer(network, 16000, layers=["features"])((noise(1, 16000), 16000), "GradCAM")
    assert torch.equal(torch.rand(3), want)


def test_without_layers_the_decoder_has_an_encoder(network, recordings, tmp_path):
    explainer = lmac.Explainer(network, 16000, LABELS, window_s=1.0)
    files = [recordings / "1.wav", recordings / "2.wav"]
    more = {"results_folder": str(tmp_path), "decoder_hidden": 8}
    explainer.fit(files, epochs=1, output_folder=tmp_path / "out", **more)
    info = json.loads((tmp_path / "out" / "best" / "info.json").read_text())
    assert info["decoder"]["class"] == "EncoderDecoder"
    assert explainer(files[0]).mask.shape[1] == 513
    again = lmac.Explainer.load(tmp_path / "out" / "best", network)
    assert torch.equal(again(files[0]).mask, explainer(files[0]).mask)
    with pytest.raises(ValueError, match="GradCAM needs a classifier with spatial repres"):
        explainer(files[0], method="GradCAM")


class Detached(nn.Module):
    def forward(self, z):
        return z.detach()


@pytest.mark.parametrize("last,classes,message", [
    (nn.Sigmoid(), 4, "lie in .0, 1. already, as after a sigmoid"),
    (nn.Sigmoid(), 20, "lie in .0, 1. already, as after a sigmoid"),
    (nn.Softmax(1), 4, "lie in .0, 1. already, as after a softmax"),
    (nn.Unflatten(1, (2, 2)), 4, "must answer with logits .batch, classes., not .4, 2, 2."),
    (nn.Linear(4, 1), 4, "answers with one number: say outputs=.sigmoid. where it is the logit"),
    (Detached(), 4, "answers without a gradient .float32.: take out no_grad, detach, rounding or"),
    (nn.Linear(5, 2), 4, "cannot take a batch .4, 32000. of what it reads at 16000 Hz"),
])  # fmt: skip
def test_networks_that_do_not_fit_are_refused(last, classes, message):
    with pytest.raises(ValueError, match=message) as error:
        lmac.Explainer(nn.Sequential(Network(classes), last))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("more", [nn.Identity(), nn.LogSoftmax(1), nn.ReLU()])
def test_other_last_steps_are_none_of_these(more):
    torch.manual_seed(0)
    assert lmac.Explainer(nn.Sequential(Network(), more)).labels[3] == "class 3"


@pytest.mark.parametrize("arguments,message", [
    ({"model": "resnet"}, "model is of type str: expected a torch.nn.Module"),
    ({"layers": ["feature"]}, "no layer 'feature'; it has features"),
    ({"labels": ["dog"]}, "names 1 classes, but the classifier has 4"),
    ({"labels": ["dog", "dog", "cat", "cow"]}, "a different text for each class"),
    ({"sample_rate": 0}, "sample_rate=0: expected a whole number from 1000"),
    ({"window": 3}, "Unknown override --window"),
    ({"frequency_axis": "log"}, "frequency_axis: expected mel or linear"),
])  # fmt: skip
def test_mistakes_get_one_sentence(network, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        lmac.Explainer(**{"model": network, **arguments})
    assert "\n" not in str(error.value)


def test_mistakes_in_the_call(network, tmp_path):
    explainer = lmac.Explainer(network, 16000, LABELS, ["features"])
    sound = (noise(1, 16000), 16000)
    for arguments, message in [
        ({"method": "Gradcam"}, "unknown interpreter 'Gradcam'; expected some of L-MAC"),
        ({"method": "GradCAM", "target_class": "cow"}, "unknown class 'cow'; expected one of dog"),
        ({}, "lmac_checkpoint is not set: give .* of train_lmac.py or lmac.Explainer.fit"),
    ]:
        with pytest.raises(ValueError, match=message):
            explainer(sound, **arguments)
    with pytest.raises(ValueError, match="no audio files"):
        explainer.fit(tmp_path)
    with pytest.raises(ValueError, match="is an empty list"):
        explainer.fit([])
    soundfile.write(tmp_path / "short.wav", noise(1, 16000), 16000)
    with pytest.raises(ValueError, match="1 clip of 5 s is too little to train on"):
        explainer.fit(tmp_path, output_folder=tmp_path / "out")
    with pytest.raises(AttributeError, match="module 'lmac' has no attribute 'explain_all'"):
        _ = lmac.explain_all
