"""The one way to explain and score: against the formulas, written out with the network itself."""

import itertools
from dataclasses import replace

import pytest
import torch
from conftest import make_explained

from interpreters.base import Interpreter
from interpreters.constant import AllOnes, Oracle, Random
from interpreters.saliency import Saliency
from lmac.core.scoring import (
    Clips,
    analyse_clips,
    classify,
    explain,
    explain_and_score,
    get_interpreters,
    judge,
    probabilities,
)
from metrics import METRICS, paper_metrics

PATHS = ["direct", "waveform"]


@pytest.fixture(params=PATHS)
def explained(request, wav):
    return sensitive(make_explained(signal_path=request.param), wav)


@torch.no_grad()
def sensitive(explained, wav):
    """With a head for which these clips and their random halves are as different as can be."""
    X, phase = explained.domain.analyse(wav)
    mask = torch.rand(X.shape, generator=torch.Generator().manual_seed(1))
    logits = torch.cat([explained.logits(x, phase) for x in (X, mask * X)])
    head = explained.classifier.classifier
    scale = 2 / logits.std(0)
    head.weight.mul_(scale.unsqueeze(1))
    head.bias.copy_(scale * (head.bias - logits.mean(0)))
    return explained


def close(one, other):
    """Up to the rounding of float32, which the head has made larger."""
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.fixture
def clean(wav):
    return 0.8 * wav.roll(1, 0)


def by_hand(explained, X, phase, n_samples):
    """f of X, through the modules of the network and torch's own STFT."""
    front_end = explained.domain.front_end
    magnitude = torch.expm1(X)
    if explained.domain.needs_phase:
        sound = front_end.inverse(magnitude * phase.spectrum.sgn(), n_samples)
        magnitude = torch.expm1(torch.log1p(front_end(sound).abs()))
    features = front_end.log_mel(magnitude)
    embedding, _ = explained.classifier.embedding_model(features)
    return explained.classifier.classifier(embedding).squeeze(1).double().softmax(1)


@torch.no_grad()
def test_scores_are_the_formulas(explained, wav, clean):
    clips = analyse_clips(explained, wav, clean)
    front_end = explained.domain.front_end
    X = torch.log1p(front_end(wav).abs())
    assert torch.equal(clips.X, X)
    p_all = by_hand(explained, X, clips.phase, wav.shape[1])
    close(clips.probs, p_all)
    target = clips.decision
    assert torch.equal(target, p_all.argmax(1))

    scored = explain_and_score(explained, Random(explained), clips, target, seed=5)
    mask = scored.mask
    kept = by_hand(explained, mask * X, clips.phase, wav.shape[1])
    removed = by_hand(explained, (1 - mask) * X, clips.phase, wav.shape[1])
    rows = torch.arange(len(wav))
    p, p_in, p_out = (x[rows, target] for x in (p_all, kept, removed))
    expected = {
        "AI": 100 * (p_in > p).double(),
        "AD": 100 * (p - p_in).clamp(min=0) / p,
        "AG": 100 * (p_in - p).clamp(min=0) / (1 - p),
        "FF": p - p_out,
        "Fid-In": (kept.argmax(1) == target).double(),
        "MM": mask.double().mean((1, 2)),
    }
    for name, value in expected.items():
        close(scored.scores[name], value)
    sound = front_end.inverse(torch.expm1(mask * X) * front_end(wav).sgn(), wav.shape[1])
    torch.testing.assert_close(scored.outcome.audio, sound)
    distance = (mask * X - torch.log1p(front_end(clean).abs())).double()
    torch.testing.assert_close(
        scored.scores["distance to source"], distance.square().mean((1, 2)).sqrt()
    )
    assert list(scored.scores) == list(METRICS)


@torch.no_grad()
def test_the_resynthesised_explanation_is_really_analysed_again(explained, wav):
    """A masked STFT is the STFT of no signal, so what is read from its sound differs."""
    clips = analyse_clips(explained, wav)
    mask = explain(explained, Random(explained), clips, clips.decision, seed=1)
    outcome = judge(explained, clips, clips.decision, mask)
    front_end = explained.domain.front_end
    sound = front_end.inverse(torch.expm1(mask * clips.X) * front_end(wav).sgn(), wav.shape[1])
    again, phase = explained.domain.analyse(sound)
    expected = by_hand(explained, again, phase, wav.shape[1])
    close(outcome.probs_resynthesised, expected)
    if not explained.domain.needs_phase:  # there it was scored as sound to begin with
        assert (outcome.probs_resynthesised - outcome.probs_in).abs().max() > 0.01
    # A recording that is read as it is gets the same, but for the rounding of the way back.
    torch.testing.assert_close(classify(explained, sound), expected, atol=0.02, rtol=0)


def test_a_mask_of_ones_changes_no_bit_in_any_batches(explained, wav):
    for batch_size in (None, 2):
        clips = analyse_clips(explained, wav, batch_size=batch_size)
        scored = explain_and_score(explained, AllOnes(explained), clips, clips.decision, 0)
        assert torch.equal(scored.outcome.probs_in, clips.probs)
        for name in ("AI", "AD", "AG"):
            assert (scored.scores[name] == 0).all()


def test_batches_are_those_that_are_asked_for(wav):
    explained = make_explained()
    sizes = []

    class Spy(Interpreter):
        def explain(self, X, target):  # as users write it
            sizes.append((len(X), target.tolist()))
            return torch.ones_like(X)

    clips = analyse_clips(explained, wav, batch_size=2)
    target = torch.tensor([2, 1, 0])
    mask = explain(explained, Spy(explained), clips, target, 0)
    assert sizes == [(2, [2, 1]), (1, [0])] and mask.shape == clips.X.shape
    whole = analyse_clips(explained, wav)
    torch.testing.assert_close(clips.probs, whole.probs)
    torch.testing.assert_close(
        probabilities(explained, clips, 0.5 * clips.X),
        probabilities(explained, whole, 0.5 * whole.X),
    )


def test_each_batch_gets_the_phase_of_its_own_clips(wav):
    explained = make_explained(signal_path="waveform")
    alone = torch.cat(
        [
            explain(explained, Saliency(explained), one, one.decision, 0)
            for one in (analyse_clips(explained, w[None]) for w in wav)
        ]
    )
    clips = analyse_clips(explained, wav, batch_size=2)
    batched = explain(explained, Saliency(explained), clips, clips.decision, 0)
    # |gradient| over its maximum: rounding moves it a little, another phase altogether.
    assert (alone - batched).abs().mean() < 1e-3
    swapped = analyse_clips(explained, wav.roll(1, 0))
    wrong = type(clips)(clips.X, swapped.phase, clips.probs)
    other = explain(explained, Saliency(explained), wrong, clips.decision, 0)
    assert (alone - other).abs().mean() > 1e-2


def test_random_numbers_start_from_the_seed(explained, wav):
    clips = analyse_clips(explained, wav)
    method = Random(explained)
    first, again, another = (
        explain(explained, method, clips, clips.decision, seed) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again) and not torch.equal(first, another)


def test_what_needs_the_clean_part_gets_it_or_is_refused(explained, wav, clean):
    clips = analyse_clips(explained, wav, clean)
    mask = explain(explained, Oracle(explained), clips, clips.decision, 0)
    torch.testing.assert_close(mask, (clips.clean_X / clips.X.clamp_min(1e-12)).clamp(0, 1))
    alone = analyse_clips(explained, wav)
    with pytest.raises(ValueError, match="^Oracle needs the target's own part .* leave the method"):
        explain(explained, Oracle(explained), alone, alone.decision, 0)


def test_without_sound_or_clean_part_the_metrics_of_the_paper_remain(wav):
    explained = make_explained(domain="mel")
    clips = analyse_clips(explained, wav)
    scored = explain_and_score(explained, Random(explained), clips, clips.decision, 0)
    assert list(scored.scores) == paper_metrics() and scored.outcome.audio is None


def test_interpreters_are_built_in_the_order_of_their_names_for_the_classifier(wav):
    explained = make_explained()
    available = {"Saliency": Saliency, "Random": Random, "All-ones": AllOnes}
    built = get_interpreters(available, ["Random", "Saliency"], explained)
    assert [(name, type(method)) for name, method in built.items()] == [
        ("Random", Random), ("Saliency", Saliency)
    ]  # fmt: skip
    assert all(method.explained is explained for method in built.values())
    message = "unknown interpreter 'IG', 'SHAP'; expected some of Saliency, Random, All-ones"
    with pytest.raises(ValueError, match=message):
        get_interpreters(available, ["IG", "Random", "SHAP"], explained)


def test_clips_know_nothing_but_their_x_unless_it_is_said():
    clips = Clips(torch.rand(3, 4, 5))
    others = (clips.phase, clips.probs, clips.clean_X, clips.clean_audio, clips.batch_size)
    assert others == (None,) * 5
    assert [len(clips.X[part]) for part in clips.batches()] == [3]
    parts = Clips(clips.X, batch_size=2).batches()
    assert [len(clips.X[part]) for part in parts] == [2, 1]


def test_the_classifier_never_reads_more_than_a_batch(explained, wav, monkeypatch):
    clips = analyse_clips(explained, wav, batch_size=2)
    read, sizes = explained.probabilities, []

    def spy(X, phase=None):
        sizes.append(len(X))
        return read(X, phase)

    monkeypatch.setattr(explained, "probabilities", spy)
    explain_and_score(explained, AllOnes(explained), clips, clips.decision, 0)
    assert sizes == [2, 1] * 3  # what is kept, what is removed, and the sound


def test_seconds_are_those_of_explaining_a_clip(wav, monkeypatch):
    explained = make_explained()
    clips = analyse_clips(explained, wav)
    ticks = itertools.chain([100.0, 106.0], itertools.repeat(200.0))
    monkeypatch.setattr("lmac.core.scoring.time.perf_counter", lambda: next(ticks))
    scored = explain_and_score(explained, AllOnes(explained), clips, clips.decision, 0)
    assert scored.seconds == 2  # 6 s for 3 clips


class Asking(Interpreter):
    """Notes what it is given; its mask is made of the classifier's answer."""

    takes_answer = True

    def explain(self, X, target, phase=None, *, answer=None):
        self.given = answer is not None
        logits, representations = answer or self.explained(X, phase)
        factor = representations[0].mean((1, 2, 3)) + 0.1 * logits.tanh().sum(1)
        return (X * factor[:, None, None]).sigmoid()


def test_what_reads_the_answer_is_given_it_and_makes_the_same_of_it(explained, wav):
    clips, small = (analyse_clips(explained, wav, batch_size=n) for n in (None, 2))
    method, masks = Asking(explained), []
    for batch in (clips, replace(clips, answer=None), small):
        masks.append(explain(explained, method, batch, clips.decision, 0))
        assert method.given == (batch is clips)
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(clips.probs, probabilities(explained, clips, clips.X))
    close(masks[2], masks[0])


def test_the_answer_of_another_classifier_is_not_given(wav):
    explained, other = make_explained(), make_explained(seed=1)
    clips, method = analyse_clips(explained, wav), Asking(other)
    explain(other, method, clips, clips.decision, 0)
    assert not method.given


def test_seconds_include_the_answer_that_was_given(wav, monkeypatch):
    explained = make_explained()
    clips = analyse_clips(explained, wav)
    clips = replace(clips, answer=replace(clips.answer, seconds=9.0))
    for method, seconds in ((Asking(explained), 5), (AllOnes(explained), 2)):
        ticks = itertools.chain([100.0, 106.0], itertools.repeat(200.0))
        monkeypatch.setattr("lmac.core.scoring.time.perf_counter", lambda t=ticks: next(t))
        scored = explain_and_score(explained, method, clips, clips.decision, 0)
        assert scored.seconds == seconds
