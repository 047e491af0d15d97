"""Which class is asked for, and what a decoder that is told the class is trained on."""

import math
from types import SimpleNamespace

import pytest
import speechbrain as sb
import torch
from conftest import make_explained
from speechbrain.dataio.batch import PaddedBatch
from torch import nn

from lmac.core.losses import Step, conditional_loss
from lmac.training.augment import ClipMixer, WaveformAugment
from lmac.training.conditional import ConditionalBrain
from lmac.training.target_classes import TargetClasses

N_SAMPLES = 6000


def test_the_shares_of_what_is_asked_for():
    torch.manual_seed(1)
    n = 8000
    logits = torch.tensor([[9.0, 7, 1, 0, 0, 0, 0, 0]]).repeat(n, 1)
    sources = torch.tensor([[2, 3]]).repeat(n, 1)
    asked = TargetClasses(0.4, 0.2, 0.1)(logits, sources)
    counts = torch.bincount(asked, minlength=8) / n
    # Every class gets an eighth of the 0.3 that is left, beside its own share.
    expected = torch.tensor([0.4, 0.1, 0.1, 0.1, 0, 0, 0, 0]) + 0.3 / 8
    assert bool((counts - expected).abs().max() < 0.02), counts
    assert set(TargetClasses(1, 0, 0)(logits, sources).tolist()) == {0}
    assert set(TargetClasses(0, 1, 0)(logits, sources).tolist()) == {2, 3}
    assert set(TargetClasses(0, 0, 1)(logits, sources).tolist()) == {1}


@pytest.mark.parametrize("shares", [(-0.1, 0.5, 0.1), (0.5, 0.5, 0.1)])
def test_impossible_shares(shares):
    with pytest.raises(ValueError, match="shares of asked classes .* at most 1"):
        TargetClasses(*shares)


class Told(nn.Module):
    """A decoder that remembers what it was told."""

    def __init__(self):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(0.3))
        self.told = []

    def forward(self, representations, X, target, domain):
        self.told.append(target)
        return self.logit.expand_as(X)


def brain_with(ask, probability=1.0):
    mixer = ClipMixer(probability=probability, snr_db=(0, 0))
    hparams = {
        "augment": WaveformAugment(mixer=mixer),
        "out_share": 1.0,
        "seed": 1,
        "lmac_loss": conditional_loss,
        "target_classes": ask,
        "presence_threshold": 0.3,
    }
    brain = ConditionalBrain(make_explained(), modules={"decoder": Told()}, hparams=hparams)
    brain.on_stage_start(sb.Stage.VALID)
    return brain


@pytest.fixture
def batch():
    torch.manual_seed(3)
    time = torch.arange(N_SAMPLES) / 16000
    wavs = torch.stack([torch.sin(6.28 * f * time) for f in (200.0, 900.0, 2500.0, 6000.0)])
    wavs = wavs * torch.rand(4, N_SAMPLES)
    return PaddedBatch([{"id": str(i), "sig": w, "class": 0} for i, w in enumerate(wavs)])


def test_the_decoder_is_told_what_the_loss_is_of(batch):
    brain = brain_with(TargetClasses(0.25, 0.25, 0.25))
    given = []

    def loss(step):
        given.append((step.logits, step.silence, step.target))
        return conditional_loss(step)

    brain.hparams.lmac_loss = loss
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    _, silence, asked = given[0]
    told = brain.explained.condition(asked, given[0][0])
    assert torch.equal(brain.modules.decoder.told[0], told)
    assert torch.equal(told[:, :-1].argmax(1), asked)
    zeros = torch.zeros_like(brain.explained.domain.analyse(batch.sig.data)[0][:1])
    assert torch.equal(silence, brain.explained.logits(zeros))


def test_the_mask_in_training_is_that_of_the_interpreter(batch):
    """Multiplied by p / threshold below that, but for the decision and the class of silence."""
    brain = brain_with(TargetClasses(0.25, 0.0, 0.25))
    step = brain.compute_forward(batch, sb.Stage.VALID)
    logits, asked, mask = step.logits, step.target, step.mask
    p = logits.softmax(1).gather(1, asked[:, None]).squeeze(1)
    whole = (asked == logits.argmax(1)) | brain.explained.silent_classes[asked]
    presence = torch.where(whole, 1.0, p / 0.3)
    assert float(presence.min()) < 1, "at least one is hardly there"
    expected = presence[:, None, None] * torch.tensor(0.3).sigmoid()
    torch.testing.assert_close(mask, expected.expand_as(mask))


def test_what_a_decoder_is_told_of_a_class():
    """Which one it is, and how probable: 0 at 0.05, 1 at 1, and no less than -4."""
    explained = make_explained(n_classes=3)
    p = torch.tensor([[0.05, 0.9, 0.05], [1 - 2e-9, 1e-9, 1e-9], [0.2, 0.3, 0.5]])
    told = explained.condition(torch.tensor([0, 1, 2]), p.log())
    assert torch.equal(told[:, :3], torch.eye(3))
    expected = [0.0, -4.0, math.log(0.5 / 0.05) / 3]
    assert told[:, 3].tolist() == pytest.approx(expected, abs=1e-6)
    assert explained.condition(torch.tensor([0]), torch.tensor([[99.0, 0, 0]]))[0, 3] == (
        pytest.approx(math.log(20) / 3)
    )


def test_sources_are_the_decisions_on_the_two_sounds_heard_alone(batch):
    brain = brain_with(TargetClasses(0, 1, 0))
    wav, clean = brain.sounds(batch, sb.Stage.VALID)
    assert not torch.equal(wav, clean), "validation clips are mixed"
    explained = brain.explained
    found, both_X = brain.sources(wav, clean)
    for i, sound in enumerate((clean, wav - clean)):
        X = explained.domain.analyse(sound)[0]
        assert torch.equal(found[:, i], explained.logits(X).argmax(1))
        assert torch.equal(both_X[i], X)
    step = brain.compute_forward(batch, sb.Stage.VALID)
    assert bool(step.source.all()) and torch.equal(step.X, explained.domain.analyse(wav)[0])
    for i, c in enumerate(step.target.tolist()):
        own = [both_X[k, i] for k in (0, 1) if found[i, k] == c]
        assert torch.equal(step.source_X[i], own[0] if len(own) == 1 else torch.maximum(*own))


def test_an_unmixed_clip_has_one_source_and_no_silence(batch):
    brain = brain_with(TargetClasses(), probability=0.0)
    wav = batch.sig.data
    decisions, X = brain.sources(wav, wav)
    assert torch.equal(*decisions.T) and torch.equal(*X)


def test_validation_asks_the_same_in_every_epoch_and_training_does_not(batch):
    brain = brain_with(TargetClasses(0, 0, 0))
    brain.step = 1
    state = torch.get_rng_state()
    for stage in (sb.Stage.VALID, sb.Stage.VALID):
        brain.compute_forward(batch, stage)
    one, two = brain.modules.decoder.told
    assert torch.equal(one, two) and torch.equal(torch.get_rng_state(), state)
    drawn = {tuple(brain.compute_forward(batch, sb.Stage.TRAIN).target.tolist()) for _ in range(4)}
    assert len(drawn) > 1


def test_false_explanations_are_of_absent_classes_and_metrics_of_the_decision(batch):
    brain = brain_with(TargetClasses())
    probs = torch.tensor([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]).double()
    probs_in = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.0, 0.9]]).double()
    step = Step(source=torch.tensor([True, True, False]))
    outcome = SimpleNamespace(
        probs=probs, probs_in=probs_in, probs_out=probs, target=torch.tensor([0, 1, 2]),
        mask=torch.tensor([0.5, 0.25, 0.125])[:, None, None].expand(3, 2, 2),
    )  # fmt: skip
    outcome.p, outcome.p_in, outcome.p_out = (
        x.gather(1, outcome.target[:, None]).squeeze(1) for x in (probs, probs_in, probs)
    )
    for field in ("masked", "clean_X", "audio", "clean_audio", "probs_resynthesised", "threshold"):
        setattr(outcome, field, None)
    scores = brain.score(outcome, step)
    assert (
        scores["false_explanation"].isnan().tolist() == [True, True, False]
        and scores["false_explanation"][2] == 1
    )
    assert scores["MM absent"][2] == 0.125
    assert scores["AI"].isnan().tolist() == [False, True, True] and scores["AI"][0] == 100


class Network:
    """A transfer classifier that decides as told on the input and answers from what is kept."""

    def __init__(self, decisions):
        self.decisions, self.seen = decisions, []

    def logits(self, X, phase):
        self.seen.append(X)
        if len(self.seen) == 1:
            return nn.functional.one_hot(self.decisions, 5).float()
        return X.mean((1, 2))[:, None] * torch.arange(5.0)


def test_transfer_classifiers_have_to_decide_the_target_where_they_do_so_themselves(batch):
    brain = brain_with(TargetClasses(0.0, 0.0, 0.0))
    brain.step = 1
    target = brain.compute_forward(batch, sb.Stage.VALID).target
    alone = brain.compute_objectives(
        brain.compute_forward(batch, sb.Stage.VALID), batch, sb.Stage.VALID
    )
    decisions = target.clone()
    decisions[1:] = (target[1:] + 1) % 5  # the target of the first clip alone is there for it
    brain.transfer, brain.hparams.l_transfer = [Network(decisions)], 3.0
    step = brain.compute_forward(batch, sb.Stage.VALID)
    loss = brain.compute_objectives(step, batch, sb.Stage.VALID)
    kept = step.mask * step.X  # faded as in the explanation
    assert torch.equal(brain.transfer[0].seen[1], kept)
    logits = [float(kept[0].mean()) * k for k in range(5)]
    log_p = logits[int(target[0])] - math.log(sum(math.exp(x) for x in logits))
    assert float((loss - alone).detach()) == pytest.approx(-3 * log_p, rel=1e-4)
