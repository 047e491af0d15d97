"""Sigmoid outputs: labels of which any number is there, from the formulas by hand."""

import math

import pytest
import torch
from torch import nn

import lmac
from lmac.classifiers.network import Network
from lmac.core.losses import Step, conditional_loss, lmac_loss
from lmac.core.outputs import cross_entropy_of, decides, log_p_of, probabilities
from metrics import Outcome, compute

RATE = 16000


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


LOGITS = torch.tensor([[2.0, 1.0, -3.0], [-1.0, -2.0, -0.5]])


def test_probabilities_and_decisions_by_hand():
    assert probabilities(LOGITS, "sigmoid")[0].tolist() == pytest.approx(
        [sigmoid(2), sigmoid(1), sigmoid(-3)]
    )
    target = torch.tensor([1, 2])
    assert log_p_of(LOGITS, target, "sigmoid").tolist() == pytest.approx(
        [math.log(sigmoid(1)), math.log(sigmoid(-0.5))]
    )
    probs = probabilities(LOGITS, "sigmoid")
    assert decides(probs, target).tolist() == [False, True]  # the largest
    assert decides(probs, target, 0.5).tolist() == [True, False]  # those that are there
    # Softmax is what it was, to the last bit.
    assert torch.equal(probabilities(LOGITS), LOGITS.softmax(1))
    assert torch.equal(
        cross_entropy_of(LOGITS, target), nn.functional.cross_entropy(LOGITS, target)
    )


def test_the_loss_of_several_labels_by_hand():
    mask = torch.full((2, 3, 4), 0.25)
    step = Step(logits_in=LOGITS, logits_out=LOGITS[:1] - 1, target=torch.tensor([1, 2]),
                mask=mask, outputs="sigmoid", threshold=0.5)  # fmt: skip
    found = lmac_loss(step, l_in=2.0, l_out=0.5, l_sparse=3.0)
    inside = -(math.log(sigmoid(1)) + math.log(sigmoid(-0.5))) / 2
    expected = 2 * inside + 0.5 * math.log(sigmoid(0)) + 3 * 0.25
    assert float(found["loss"]) == pytest.approx(expected, rel=1e-6)


def test_a_label_that_is_there_weighs_one_however_many_are():
    """Both labels of the clip are above the threshold; the third is not."""
    mask = torch.full((3, 2, 2), 0.5)
    z = torch.tensor([[2.0, 1.0, -3.0]]).expand(3, 3)
    source = torch.zeros(3, dtype=torch.bool)
    step = Step(logits=z, logits_in=z + 1, logits_out=z, target=torch.arange(3), mask=mask,
                source=source, outputs="sigmoid", threshold=0.5)  # fmt: skip
    found = conditional_loss(step, l_in=1.0, l_out=0.0, l_sparse=0.0, l_absent=2.0)
    w = [1, 1, sigmoid(-3)]
    inside = -sum(w[c] * math.log(sigmoid(float(z[0, c]) + 1)) for c in range(3)) / 3
    more = (1 - w[2]) * (math.log(sigmoid(-2)) - math.log(sigmoid(-3))) / 3
    assert float(found["in"]) == pytest.approx(inside, rel=1e-5)
    assert float(found["absent"]) == pytest.approx(2 * more, rel=1e-5)


def test_fidelity_is_that_the_label_is_still_there():
    probs = torch.tensor([[0.9, 0.8], [0.9, 0.8]]).double()
    probs_in = torch.tensor([[0.95, 0.6], [0.9, 0.4]]).double()
    outcome = Outcome(probs, probs_in, probs, torch.tensor([1, 1]), torch.rand(2, 3, 3),
                      threshold=0.5)  # fmt: skip
    assert compute(outcome, ["Fid-In"])["Fid-In"].tolist() == [1, 0]


class Tagger(nn.Module):
    """Logits of two tones and of a third label that is never there; any number at once."""

    def __init__(self):
        super().__init__()
        t = torch.arange(RATE) / RATE
        waves = [torch.stack([(2 * math.pi * f * t).sin(), (2 * math.pi * f * t).cos()])
                 for f in (500, 3000)]  # fmt: skip
        self.register_buffer("waves", torch.stack(waves))

    def forward(self, wav):
        n = wav.shape[1] // RATE * RATE
        parts = wav[:, :n].reshape(len(wav), -1, RATE)
        levels = torch.einsum("bnl,kcl->bnkc", parts, self.waves).square().sum(3).mean(1)
        z = (levels / RATE**2 * 400).sqrt() * 4 - 4
        return torch.cat([z, torch.full_like(z[:, :1], -5)], 1)


def tone(*frequencies, seconds=2):
    t = torch.arange(seconds * RATE) / RATE
    return sum((2 * math.pi * f * t).sin() for f in frequencies) / len(frequencies)


@pytest.fixture
def explainer():
    return lmac.Explainer(Tagger(), RATE, ["low", "high", "none"], outputs="sigmoid", window_s=2.0)


def test_labels_that_are_there_are_told_and_explained_each(explainer):
    both = explainer.read((tone(500, 3000), RATE))
    assert set(explainer.labels_of(both)) == {"low", "high"}
    assert explainer.labels_of(explainer.read((tone(3000), RATE))) == ["high"]
    assert explainer.labels_of(explainer.read((tone(1300), RATE))) == []
    z = Tagger()(both.wav[None])[0]
    assert both.probabilities.tolist() == pytest.approx(z.sigmoid().tolist(), abs=0.02)
    for name, bins in (("low", slice(0, 100)), ("high", slice(100, 513))):
        found = explainer(both, "Saliency", name)
        assert found.explained_class == name and found.p == pytest.approx(
            float(both.probabilities[explainer.number_of(name)])
        )
        assert found.mask[:, bins].sum() > 0.9 * found.mask.sum()


def test_what_outputs_are_is_said_or_asked_for():
    one = nn.Sequential(nn.Flatten(), nn.Linear(RATE, 1))
    with pytest.raises(ValueError, match='say outputs="sigmoid" where it is the logit of one'):
        lmac.Explainer(one, RATE, ["dog"], input_length=RATE, window_s=1.0)
    explainer = lmac.Explainer(one, RATE, ["dog"], input_length=RATE, window_s=1.0,
                               outputs="sigmoid")  # fmt: skip
    assert 0 < float(explainer.read((tone(500), RATE)).probabilities[0]) < 1
    with pytest.raises(ValueError, match="outputs is 'tanh' and threshold 0.5: expected softmax"):
        Network(Tagger(), outputs="tanh")
    with pytest.raises(ValueError, match="outputs is 'sigmoid' and threshold 1.5"):
        Network(Tagger(), outputs="sigmoid", threshold=1.5)
    told = nn.Sequential(Tagger(), nn.Sigmoid())
    with pytest.raises(ValueError, match="after a sigmoid: give it without its last step, so that "
                       "it answers with logits, and say outputs='sigmoid'"):  # fmt: skip
        lmac.Explainer(told, RATE, ["low", "high", "none"])
