"""Networks that work in place change neither X nor the representations that are handed out."""

import pytest
import torch
from conftest import make_explained
from torch import nn

from interpreters.constant import AllOnes
from interpreters.gradcam import GradCAM
from lmac.classifiers import AudioClassifier, Network
from lmac.core.domain import get_domain
from lmac.core.explained import ExplainedClassifier
from lmac.core.scoring import analyse_clips, classify, explain_and_score


class Careless(nn.Module):
    """Logits of features [B, T, F] or waveforms, in place or not, by way of maps BCTF or BCFT."""

    def __init__(self, in_place, axes="BCTF", centres=False):
        super().__init__()
        self.in_place, self.axes, self.centres = in_place, axes, centres
        self.conv = nn.Conv2d(1, 6, 3, stride=2)
        self.act = nn.ReLU(inplace=in_place)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        if self.centres and self.in_place:
            x -= x.mean(1, keepdim=True)
        elif self.centres:
            x = x - x.mean(1, keepdim=True)
        if x.dim() == 2:
            x = x.unfold(1, 400, 200)
        x = x.unsqueeze(1)
        if self.axes == "BCFT":
            x = x.transpose(2, 3)
        return self.head(self.act(self.conv(x)).mean((2, 3)))


def explained_by(in_place, axes="BCTF", reads="stft", domain="stft", centres=False):
    torch.manual_seed(0)
    network = Network(Careless(in_place, axes, centres), reads=reads, layers={"conv": axes})
    domain = get_domain(domain, make_explained().domain.front_end, reads=reads)
    torch.manual_seed(1)
    nn.init.normal_(network.network.conv.weight)
    return ExplainedClassifier(domain, AudioClassifier(network, nn.Identity()))


@pytest.mark.parametrize("axes", ["BCTF", "BCFT"])
def test_gradcam_of_a_layer_before_a_relu_in_place(wav, axes):
    masks = []
    for in_place in (False, True):
        explained = explained_by(in_place, axes)
        X, _ = explained.domain.analyse(wav)
        masks.append(GradCAM(explained).explain(X, explained.logits(X).argmax(1)))
        _, (maps,) = explained(X)
        assert (maps < 0).any()  # of the convolution, not of the ReLU behind it
    assert masks[0].any() and torch.equal(*masks)


@pytest.mark.parametrize("reads,domain", [("stft", "stft"), ("mel", "stft"), ("mel", "mel")])
def test_a_network_that_centres_its_input_in_place_leaves_x_alone(wav, reads, domain):
    found = []
    for in_place in (False, True):
        explained = explained_by(in_place, reads=reads, domain=domain, centres=True)
        clips = analyse_clips(explained, wav)
        assert torch.equal(clips.X, explained.domain.analyse(wav)[0])
        scored = explain_and_score(explained, AllOnes(explained), clips, clips.decision, 0)
        assert (scored.scores["AI"] == 0).all() and (scored.scores["AD"] == 0).all()
        X = clips.X.clone().requires_grad_()  # a leaf, which nobody may change in place
        (gradient,) = torch.autograd.grad(explained.logits(X).sum(), X)
        found.append((clips.probs, gradient))
    for plain, careless in zip(*found, strict=True):
        assert torch.equal(plain, careless)


def test_recordings_stay_as_they_are(wav):
    explained = explained_by(True, reads="waveform", centres=True)
    before = wav.clone()
    classify(explained, wav)
    assert torch.equal(wav, before)
