"""Brains: what L-MAC is trained on and validated on, and the rate that follows a plateau."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import speechbrain as sb
import torch
from conftest import make_explained
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn

from lmac.core.losses import Step, lmac_loss
from lmac.training.augment import ClipMixer, WaveformAugment
from lmac.training.brain import TrainingBrain, _plain
from lmac.training.checkpointer import Checkpointer
from lmac.training.lmac import DecoderBrain
from lmac.training.schedules import one_cycle
from lmac.transfer import TransferClassifier

N_SAMPLES = 6000


class FixedMask(nn.Module):
    """A decoder whose logit is the same everywhere."""

    def __init__(self, logit):
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(float(logit)))

    def forward(self, representations, X, target, domain):
        return self.logit.expand_as(X)


def brain_with(l_guidance=4.0, logit=0.0, mixer=None, **options):
    mixer = mixer or ClipMixer(probability=1.0, snr_db=(0, 0))
    hparams = {"augment": WaveformAugment(mixer=mixer), "out_share": 1.0, "seed": 1}
    hparams["lmac_loss"] = partial(lmac_loss, l_guidance=l_guidance, **options)
    brain = DecoderBrain(make_explained(), modules={"decoder": FixedMask(logit)}, hparams=hparams)
    brain.on_stage_start(sb.Stage.VALID)
    return brain


@pytest.fixture
def batch():
    torch.manual_seed(3)
    wavs = torch.randn(4, N_SAMPLES) * torch.linspace(0, 12, N_SAMPLES).sin().abs() ** 4
    wavs = wavs / wavs.abs().amax(1, keepdim=True)
    return PaddedBatch(
        [{"id": str(i), "sig": w, "class": 0} for i, w in enumerate(wavs)],
    )


def test_it_is_trained_on_the_decision_of_the_classifier_not_on_the_label(batch):
    brain = brain_with(l_guidance=0.0)
    brain.hparams.augment = None
    X, _ = brain.explained.domain.analyse(batch.sig.data)
    decision = brain.explained.logits(X).argmax(1)
    wrong = (decision + 1) % 5
    labelled = PaddedBatch(
        [{"sig": s, "class": int(c)} for s, c in zip(batch.sig.data, wrong, strict=True)]
    )
    assert torch.equal(labelled["class"], wrong)
    given = []

    def loss(step):
        given.append(step.target)
        return lmac_loss(step)

    brain.hparams.lmac_loss = loss
    for stage in (sb.Stage.TRAIN, sb.Stage.VALID):
        brain.compute_objectives(brain.compute_forward(labelled, stage), labelled, stage)
        assert torch.equal(given[-1], decision)


def test_without_augmentation_the_clips_are_validated_as_they_are(batch):
    brain = brain_with(l_guidance=0.0)
    brain.hparams.augment = None
    step = brain.compute_forward(batch, sb.Stage.VALID)
    expected, _ = brain.explained.domain.analyse(batch.sig.data)
    assert torch.equal(step.X, expected) and torch.equal(step.clean_X, expected)


@pytest.mark.parametrize("share, n", [(1.0, 4), (0.5, 2), (0.3, 2), (0.25, 1), (0.01, 1)])
def test_the_masked_out_part_of_a_share_of_the_batch(batch, share, n):
    """In training; in validation of all. What is masked in is the same."""
    brain = brain_with(l_guidance=0.0, logit=1.0)
    brain.hparams.out_share = share
    brain.hparams.augment = None
    step = brain.compute_forward(batch, sb.Stage.TRAIN)
    mask, X = step.mask, step.X
    assert len(step.logits_out) == n
    torch.testing.assert_close(step.logits_in, brain.explained.logits(mask * X))
    torch.testing.assert_close(step.logits_out, brain.explained.logits((1 - mask[:n]) * X[:n]))
    assert len(brain.compute_forward(batch, sb.Stage.VALID).logits_out) == 4


class Other:
    """A classifier that has the answers to the input and to what is kept in a table."""

    def __init__(self, on_input, on_kept):
        self.answers = [on_input, on_kept]

    def logits(self, X, phase):
        return self.answers.pop(0)


def test_transfer_classifiers_have_to_be_convinced_of_what_they_decide_themselves(batch):
    brain = brain_with(l_guidance=0.0)
    brain.hparams.augment, brain.hparams.l_transfer = None, 0.5
    decision = brain.compute_forward(batch, sb.Stage.VALID).target
    alone = brain.compute_objectives(
        brain.compute_forward(batch, sb.Stage.VALID), batch, sb.Stage.VALID
    )
    torch.manual_seed(0)
    kept = torch.randn(2, 4, 5)
    agrees = nn.functional.one_hot(decision, 5).float()
    partly = agrees.clone()
    partly[:3] = partly[:3].roll(1, 1)  # decides so for the last clip alone
    brain.transfer = [Other(agrees, kept[0]), Other(partly, kept[1])]
    predictions = brain.compute_forward(batch, sb.Stage.VALID)
    loss = brain.compute_objectives(predictions, batch, sb.Stage.VALID)
    p = kept.softmax(2)
    first = -sum(float(p[0, i, decision[i]].log()) for i in range(4)) / 4
    last = -float(p[1, 3, decision[3]].log())
    assert float((loss - alone).detach()) == pytest.approx(0.5 * (first + last) / 2, rel=1e-5)
    assert float(brain.parts[-1]["transfer"]) == pytest.approx(0.5 * (first + last) / 2, rel=1e-5)
    # Nobody decides alike: nothing is asked of the mask.
    brain.transfer = [Other(agrees.roll(1, 1), kept[0])]
    assert float(brain.loss_of_transfer(None, Step(target=decision))) == 0


class Loud(nn.Module):
    """A decoder whose mask is what X is, over that of full scale: it knows place and level."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, representations, X, target, domain):
        return self.scale * X.detach()


def test_masks_are_compared_on_the_same_frames_of_the_sound(batch):
    """A mask that goes with the sound changes by its level alone."""
    brain = brain_with(l_guidance=0.0, l_consistency=1.0)
    brain.hparams.augment, brain.step = None, 1
    step = brain.compute_forward(batch, sb.Stage.VALID)
    assert torch.equal(step.moved[0], step.moved[1])  # of the fixed mask
    brain.modules["decoder"] = Loud()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lmac.training.lmac.SOFTER_DB", 0.0)
        step = brain.compute_forward(batch, sb.Stage.VALID)
    mask, moved, alike = step.moved
    shift = step.mask.shape[1] - mask.shape[1]
    assert 1 <= shift <= 9 and alike.dtype == torch.bool
    # All but the end, where the clip is cut off, to the bit.
    torch.testing.assert_close(mask[:, :-2], moved[:, :-2], rtol=1e-4, atol=1e-5)
    still = step.mask[:, shift:]
    assert float((still - mask).detach().abs().mean()) > 0.01  # it does move
    softer = brain.compute_forward(batch, sb.Stage.VALID).moved
    less = (softer[0] - softer[1]).detach()[:, :-2]  # as the level
    assert float(less.min()) > -1e-4 and float(less.mean()) > 1e-3
    assert torch.equal(brain.compute_forward(batch, sb.Stage.VALID).moved[1], softer[1])


def test_consistency_is_trained_and_costs_nothing_without_its_weight(batch):
    brain = brain_with(l_guidance=0.0)
    assert brain.compute_forward(batch, sb.Stage.TRAIN).moved is None
    brain = brain_with(l_guidance=0.0, l_in=0.0, l_out=0.0, l_sparse=0.0, l_consistency=1.0)
    brain.modules["decoder"] = decoder = Loud()
    step = brain.compute_forward(batch, sb.Stage.TRAIN)
    step.moved = (*step.moved[:2], torch.ones(4, dtype=torch.bool))
    brain.compute_objectives(step, batch, sb.Stage.TRAIN).backward()
    assert float(decoder.scale.grad) != 0


def test_the_sound_for_another_network_has_a_gradient(tmp_path):
    """Against finite differences, through synthesis and resampling."""
    explained = make_explained()
    wav = 0.1 * torch.randn(1, 2000)
    X, phase = explained.domain.analyse(wav)
    net = nn.Linear(500, 5)
    other = TransferClassifier.__new__(TransferClassifier)
    other.direct, other.explained, other._columns = False, explained, torch.arange(5)
    other._network = SimpleNamespace(
        domain=SimpleNamespace(
            front_end=SimpleNamespace(sample_rate=4000), features=lambda sound: sound
        ),
        classifier=lambda sound: (net(sound), None),
    )
    mask = torch.full_like(X, 0.5).requires_grad_()
    other.logits(mask * X, phase)[0, 1].backward()
    direction = torch.randn_like(X)
    with torch.no_grad():
        up, down = (
            other.logits((mask + sign * 1e-2 * direction) * X, phase)[0, 1] for sign in (1, -1)
        )
    slope = float((mask.grad * direction).sum())
    assert abs(slope) > 1e-3 and slope == pytest.approx(float(up - down) / 2e-2, rel=0.02)


@pytest.mark.parametrize("l_guidance", [0.0, 4.0])
def test_it_validates_on_mixtures_with_their_clean_part(batch, l_guidance):
    brain = brain_with(l_guidance)
    wav, clean = brain.mix_for_validation(batch.sig.data)
    # At 0 dB; the clips' own part is the clip at another gain, not shifted.
    gain = clean.norm(dim=1, keepdim=True) / batch.sig.data.norm(dim=1, keepdim=True)
    torch.testing.assert_close(clean, gain * batch.sig.data)
    torch.testing.assert_close((wav - clean).norm(dim=1), clean.norm(dim=1))
    torch.testing.assert_close(wav.abs().amax(1), torch.ones(4))
    step = brain.compute_forward(batch, sb.Stage.VALID)
    torch.testing.assert_close(step.X, brain.explained.domain.analyse(wav)[0])
    torch.testing.assert_close(step.clean_X, brain.explained.domain.analyse(clean)[0])


@pytest.mark.parametrize("guidance", ["bce", "mse"])
def test_a_mask_of_ones_is_not_the_best_of_the_validation_of_stage_2(batch, guidance):
    """Against the mask that keeps the share of the clean source; every clip is selected."""
    options = {"cc_th": -1.0, "guidance": guidance}
    brain = brain_with(**options)

    def loss(mask_of):
        step = brain.compute_forward(batch, sb.Stage.VALID)
        mask, X = mask_of(step.X, step.clean_X), step.X
        logits = brain.explained.logits(mask * X), brain.explained.logits((1 - mask) * X)
        step = replace(step, logits_in=logits[0], logits_out=logits[1], mask=mask)
        parts = brain.hparams.lmac_loss(step)
        return float(parts["loss"]), float(parts["guidance"])

    ones = loss(lambda X, clean_X: torch.ones_like(X))
    if guidance == "bce":
        source = loss(lambda X, clean_X: (clean_X >= 0.35 * clean_X.amax((1, 2), True)).float())
    else:
        source = loss(lambda X, clean_X: (clean_X / X.clamp_min(1e-6)).clamp(0, 1))
    assert source[0] < ones[0] and source[1] < 0.5 * ones[1]
    assert ones[1] > 1e-3  # against X itself, mse would be exactly 0


def test_validation_draws_the_same_every_time_and_nothing_from_training(batch):
    brain = brain_with(mixer=ClipMixer(probability=0.5, snr_db=(0, 15)))

    def validated(step):
        brain.step = step
        return brain.compute_forward(batch, sb.Stage.VALID).X

    torch.manual_seed(11)
    first, state = validated(1), torch.get_rng_state()
    torch.manual_seed(11)
    assert torch.equal(torch.get_rng_state(), state)  # training goes on as if there were none
    torch.manual_seed(12)
    torch.rand(5)
    assert torch.equal(validated(1), first)
    assert not torch.equal(validated(2), first)  # another batch, other numbers
    brain.hparams.seed = 2
    assert not torch.equal(validated(1), first)


def test_the_noise_of_training_is_mixed_in_where_there_is_some(batch):
    noise = torch.randn(4, N_SAMPLES)
    brain = brain_with(mixer=ClipMixer(noise=lambda n, length: noise))
    wav, clean = brain.mix_for_validation(batch.sig.data)
    cosine = nn.functional.cosine_similarity(wav - clean, noise, dim=1)
    torch.testing.assert_close(cosine, torch.ones(4))


# Losses of eight epochs: better, worse four times (halved), better, worse.
LOSSES = [5.0, 4.0, 4.5, 4.4, 4.3, 4.2, 3.0, 3.5]


class Scripted(TrainingBrain):
    """Trains one number; the losses of its validation are LOSSES."""

    def compute_forward(self, batch, stage):
        return self.modules.model(batch["x"].data)

    def compute_objectives(self, predictions, batch, stage):
        return predictions.square().mean()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.TRAIN:
            self.rates.append(self.optimizer.param_groups[0]["lr"])
        stats = {"loss": LOSSES[epoch - 1]}
        self.finish_stage(stage, stats, epoch)


def scripted(folder, schedule, epochs):
    """Rates that the epochs were trained with, by a run that goes on from ``folder``."""
    torch.manual_seed(0)
    counter = EpochCounter(epochs)
    brain = Scripted(
        modules={"model": nn.Linear(1, 1)},
        opt_class=lambda parameters: torch.optim.Adam(parameters, lr=0.1),
        hparams={
            "lr_schedule": schedule, "steps_per_epoch": 2, "number_of_epochs": len(LOSSES),
            "epoch_counter": counter, "train_logger": SimpleNamespace(log_stats=lambda *a, **k: 0),
        },
        checkpointer=Checkpointer(folder, {"counter": counter}),
    )  # fmt: skip
    brain.checkpointer.add_recoverable("model", brain.modules.model)
    brain.rates = []
    data = DynamicItemDataset(
        {str(i): {"x": torch.ones(1)} for i in range(4)}, output_keys=["id", "x"]
    )
    loader = {"batch_size": 2}
    brain.fit(counter, data, data, train_loader_kwargs=loader, valid_loader_kwargs=loader)
    return brain.rates, brain.modules.model.weight.item()


def plateau():
    return ReduceLROnPlateau(factor=0.5, patience=1, dont_halve_until_epoch=1)


@pytest.mark.parametrize("stop", range(1, len(LOSSES)))
def test_the_rate_follows_speechbrain_s_plateau_also_when_resumed(tmp_path, stop):
    theirs, rate, expected = plateau(), 0.1, []
    for epoch, loss in enumerate(LOSSES, 1):
        expected.append(rate)
        optimiser = SimpleNamespace(param_groups=[{"lr": rate}])
        _, rate = theirs([optimiser], current_epoch=epoch, current_loss=loss)
    assert len(set(expected)) == 3  # halved twice: both parts of its state matter
    rates, weight = scripted(tmp_path / "whole", plateau(), len(LOSSES))
    assert rates == expected
    before, _ = scripted(tmp_path / "parts", plateau(), stop)
    after, resumed = scripted(tmp_path / "parts", plateau(), len(LOSSES))
    assert before + after == expected and resumed == weight


def test_a_rate_of_progress_is_set_at_every_step(tmp_path):
    rates, _ = scripted(tmp_path, lambda progress: one_cycle(progress, 0.1), len(LOSSES))
    # The last step of each epoch: 1, 3, 5 … of 16 are done.
    assert rates == [one_cycle((2 * i + 1) / 16, 0.1) for i in range(len(LOSSES))]


def test_compiled_modules_are_exported_under_their_own_names():
    layer = torch.nn.Linear(2, 2)
    compiled = torch.compile(layer, backend="eager")
    assert list(compiled.state_dict()) != list(layer.state_dict())
    assert _plain(compiled) is layer
