"""The weight-randomisation check: planted methods of known correlation, nothing touched."""

import pandas as pd
import pytest
import torch
from conftest import make_explained
from tones import check_of
from torch import nn

from interpreters.base import Interpreter
from interpreters.constant import AllOnes, Random
from interpreters.gradcam import GradCAM
from interpreters.guided import GuidedGradCAM
from interpreters.integrated_gradients import IntegratedGradients
from interpreters.lmac import LMAC
from interpreters.saliency import Saliency
from interpreters.shap import SHAP
from interpreters.smoothgrad import SmoothGrad
from lmac.checkpoints import weights_digest
from lmac.core.decoder import TopDownDecoder
from lmac.core.scoring import analyse_clips
from lmac.evaluation.checks import randomisation
from lmac.evaluation.checks.randomisation import (
    Randomisation,
    correlations,
    for_classifier,
    randomised,
    report,
)
from lmac.evaluation.folder import EvaluationFolder
from metrics.ranks import RANK_CORRELATION


@pytest.fixture
def batches(explained):
    generator = torch.Generator().manual_seed(3)
    wavs = [0.3 * torch.randn(n, 8000, generator=generator) for n in (3, 2)]
    return [analyse_clips(explained, wav, wav) for wav in wavs]


@pytest.fixture
def other(explained, batches):
    return randomised(explained, batches, seed=5)


def test_every_weight_is_new_and_the_original_untouched(explained, batches):
    before = {k: v.clone() for k, v in explained.state_dict().items()}
    random_state = torch.get_rng_state()
    other = randomised(explained, batches, seed=5)
    assert torch.equal(torch.get_rng_state(), random_state)
    for name, value in explained.state_dict().items():
        assert torch.equal(value, before[name]), name
    again = randomised(explained, batches, seed=5)
    another = randomised(explained, batches, seed=6)
    same, changed = 0, 0
    for name, value in other.classifier.named_parameters():
        old = dict(explained.classifier.named_parameters())[name]
        if value.dim() > 1:
            assert not torch.isclose(value, old).any(), name
            changed += 1
        assert torch.equal(value, dict(again.classifier.named_parameters())[name])
        same += torch.equal(value, dict(another.classifier.named_parameters())[name])
    assert changed == 13  # twelve convolutions and the head
    assert same < len(list(other.classifier.named_parameters())) / 2 + 14  # norms: 1 and 0
    assert not any(m.training for m in other.modules())
    assert not any(p.requires_grad for p in other.parameters())


def test_statistics_are_those_of_the_clips(explained, batches):
    """So normalised channels have mean 0 and variance 1, whatever the weights."""
    clips = batches[0]
    other = randomised(explained, [clips], seed=0)
    model = other.classifier.embedding_model
    seen = {}

    def forward():
        for name in ("norm0", "conv_block2.norm2"):
            layer = model.get_submodule(name)
            layer.register_forward_hook(lambda m, i, o, name=name: seen.update({name: o}))
        return other.logits(clips.X)

    assert forward().std() > 1e-3
    moments = {n: (o.mean((0, 2, 3)), o.var((0, 2, 3))) for n, o in seen.items()}
    assert moments["norm0"][0].abs().max() < 1e-4
    assert (moments["norm0"][1] - 1).abs().max() < 1e-3
    # Deeper, biased and unbiased variances of the layers before it add up.
    assert moments["conv_block2.norm2"][0].abs().max() < 0.05
    assert (moments["conv_block2.norm2"][1] - 1).abs().max() < 0.05
    assert model.norm0.momentum == 0.1
    # The check can fail: the statistics that a new network starts with.
    model.conv_block2.norm2.reset_running_stats()
    forward()
    assert (seen["conv_block2.norm2"].var((0, 2, 3)) - 1).abs().max() > 0.2


def test_parameters_without_a_way_to_start_anew_are_permuted():
    explained = make_explained()
    explained.classifier.scale = nn.Parameter(torch.arange(100.0))
    scale = randomised(explained, [], seed=0).classifier.scale
    assert not torch.equal(scale, explained.classifier.scale)
    assert torch.equal(scale.sort().values, torch.arange(100.0))


def test_a_method_that_ignores_the_classifier_gets_exactly_one(explained, other, batches):
    value = correlations(Random(explained), Random(other), batches, 7)
    assert value.tolist() == [1.0] * 5


@pytest.mark.parametrize("method", [Saliency, Random])
def test_identical_weights_get_exactly_one(method, explained, batches):
    pair = method(explained), method(make_explained())
    assert correlations(*pair, batches, 0).tolist() == [1.0] * 5


def test_a_method_that_looks_at_the_classifier_gets_less(explained, other, batches):
    value = correlations(Saliency(explained), Saliency(other), batches, 0)
    assert value.isfinite().all() and value.max() < 0.9


def test_both_explain_the_class_of_the_trained_classifier(explained, other, batches):
    asked = []

    class Spy(Interpreter):
        def explain(self, X, target):
            asked.append(target)
            return X

    decided = [clips.decision for clips in batches]
    correlations(Spy(explained), Spy(other), batches, 0)
    for number in range(2):
        assert torch.equal(asked[2 * number], decided[number])
        assert torch.equal(asked[2 * number + 1], decided[number])


def test_a_trained_decoder_reads_the_random_representations(explained, other, batches, tmp_path):
    decoder = TopDownDecoder(*explained.output_sizes(), hidden=8)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    torch.save(decoder.state_dict(), tmp_path / "decoder.ckpt")

    def build(*shape):
        return TopDownDecoder(*shape, hidden=8)

    trained = LMAC(explained, build, tmp_path)
    pair = trained, for_classifier(trained, other)
    value = correlations(*pair, batches, 0)
    assert value.isfinite().all() and (value < 0.999).all()


@pytest.mark.parametrize(
    "method", [Saliency, GuidedGradCAM, GradCAM, SmoothGrad, SHAP, IntegratedGradients]
)
def test_a_twin_sees_the_other_classifier_in_every_part(method, explained, other, batches):
    X = batches[0].X
    target = explained.probabilities(X).argmax(1)
    one = method(explained)
    before = one.explain(X, target)
    copied = for_classifier(one, other)
    assert torch.equal(copied.explain(X, target), method(other).explain(X, target))
    assert torch.equal(one.explain(X, target), before)


WAVS = 0.3 * torch.randn(5, 8000, generator=torch.Generator().manual_seed(3))
METHODS = {"Saliency": Saliency, "Random": Random, "All-ones": AllOnes}


def clips():
    return pd.DataFrame(
        {
            "scenario": "mixtures",
            "domain": "stft",
            "ID": list("abcde"),
            "target_id": list("aabbc"),
        }
    )


def test_rows_a_constant_mask_is_counted_and_what_is_there_is_kept(
    explained, other, batches, tmp_path, monkeypatch
):
    folder = EvaluationFolder(tmp_path)
    path = tmp_path / "randomisation.csv"
    digest = weights_digest(explained)

    def check(explained, other, available, methods, batches, clips, folder, seed):
        """The rows of the check, for batches and a random network that are given."""
        rows = clips.rename(columns={"target_id": "target"})
        sounds = [{"sig": wav, "clean": wav} for wav in WAVS]
        made = {m: available[m](explained) for m in methods}
        found = check_of(
            Randomisation, explained, folder.path, made, rows, sounds, seed=seed, batch_size=3,
            randomisation_clips=5,
        )  # fmt: skip
        found.hparams["interpreters"] = available
        found.other = other
        return found.rows()

    rows = check(explained, other, METHODS, ["All-ones", "Random"], batches, clips(), folder, 1)
    assert weights_digest(explained) == digest
    assert list(rows["method"]) == ["Random"] * 5 + ["All-ones"] * 5
    assert (rows[rows["method"] == "Random"][RANK_CORRELATION] == 1).all()
    assert rows[rows["method"] == "All-ones"][RANK_CORRELATION].isna().all()
    text = report(rows, 50, "Sane.")
    assert "| Random | 5 | 1.00 [1.00, 1.00] | 0 |" in text
    assert "| All-ones | 5 |  | 5 |" in text and "Sane." in text and "mixtures, stft" in text

    computed = []
    monkeypatch.setattr(
        randomisation,
        "correlations",
        lambda one, *rest: computed.append(type(one)) or correlations(one, *rest),
    )
    before = path.read_text()
    check(explained, other, METHODS, ["Random"], batches, clips(), folder, 1)
    assert computed == [] and path.read_text() == before
    rows = check(explained, other, METHODS, ["Saliency", "Random"], batches, clips(), folder, 1)
    assert computed == [Saliency] * 2  # batches
    assert list(rows["method"].unique()) == ["Saliency", "Random", "All-ones"]
    by_hand = rows[rows["method"] == "Saliency"][RANK_CORRELATION].mean()
    assert f"| Saliency | 5 | {by_hand:.2f} [" in report(rows, 50, "")
    # Rows of another seed, classifier or other clips do not mix with these.
    rows = check(explained, other, METHODS, ["Random"], batches, clips(), folder, 2)
    assert list(rows["method"].unique()) == ["Random"] and computed[2:] == [Random] * 2
    foreign = clips().assign(ID=list("vwxyz"))
    rows = check(explained, other, METHODS, ["All-ones"], batches, foreign, folder, 2)
    assert list(rows["method"].unique()) == ["All-ones"]
