"""Losses, re-derived from their formulas in float64."""

import math

import pytest
import torch
from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

from lmac.core import losses
from lmac.core.losses import Step, angular_margin, cross_entropy, inconsistency


def lmac_loss(*case, moved=None, **options):
    """Of outputs, target, mask, X and clean X."""
    return losses.lmac_loss(Step(*case, moved=moved), **options)


def conditional_loss(logits, logits_in, logits_out, silence, target, mask, source, X=None,
                     source_X=None, moved=None, **options):  # fmt: skip
    step = Step(logits_in, logits_out, target, mask, X, logits=logits, silence=silence,
                source=source, source_X=source_X, moved=moved)  # fmt: skip
    return losses.conditional_loss(step, **options)


def log_probability(logits, target):
    """log softmax, written out."""
    return [
        float(row[c]) - math.log(sum(math.exp(float(v)) for v in row))
        for row, c in zip(logits, target, strict=True)
    ]


def test_lmac_loss_is_the_formula():
    torch.manual_seed(0)
    logits_in, logits_out = torch.randn(2, 3, 4, dtype=torch.float64) * 3
    target = torch.tensor([1, 3, 0])
    mask = torch.rand(3, 5, 6, dtype=torch.float64)
    parts = lmac_loss(logits_in, logits_out, target, mask, l_in=4, l_out=0.2, l_sparse=6.4)
    ce_in = -sum(log_probability(logits_in, target)) / 3
    ce_out = -sum(log_probability(logits_out, target)) / 3
    l1 = sum(float(m) for m in mask.flatten()) / mask.numel()
    assert float(parts["loss"]) == pytest.approx(4 * ce_in - 0.2 * ce_out + 6.4 * l1, abs=1e-12)
    assert float(parts["out"]) == pytest.approx(-0.2 * ce_out)
    # The masked-out part of the first clips alone: the mean over these.
    fewer = lmac_loss(logits_in, logits_out[:2], target, mask, l_in=4, l_out=0.2, l_sparse=6.4)
    ce_out = -sum(log_probability(logits_out, target)[:2]) / 2
    assert float(fewer["out"]) == pytest.approx(-0.2 * ce_out)
    assert float(fewer["loss"]) == pytest.approx(4 * ce_in - 0.2 * ce_out + 6.4 * l1, abs=1e-12)


def test_sparsity_does_not_depend_on_the_batch_size():
    mask = torch.rand(1, 5, 6)
    logits, target = torch.randn(1, 4), torch.tensor([2])
    one = lmac_loss(logits, logits, target, mask)
    four = lmac_loss(*(logits.repeat(4, 1),) * 2, target.repeat(4), mask.repeat(4, 1, 1))
    for name in one:
        torch.testing.assert_close(one[name], four[name])


def test_lmac_loss_gradients():
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    mask = torch.rand(2, 4, 5, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 2])
    assert torch.autograd.gradcheck(
        lambda i, o, m: lmac_loss(i, o, target, m)["loss"], (*inputs, mask)
    )


def finetuning_case():
    """Three clips: the mask of the first keeps the source, of the second half, of the third none.

    The correlations of M X with the clean X are 1, 1/sqrt(2) and 0.
    """
    clean = torch.tensor([[[4.0, 0.0, 1.0]], [[2.0, 2.0, 0.0]], [[0.0, 0.0, 3.0]]])
    X = torch.tensor([[[8.0, 5.0, 2.0]], [[2.0, 2.0, 1.0]], [[1.0, 1.0, 3.0]]])
    mask = torch.tensor([[[0.5, 0.0, 0.5]], [[1.0, 0.0, 0.0]], [[0.5, 0.25, 0.0]]])
    torch.manual_seed(0)
    logits_in, logits_out = torch.randn(2, 3, 4, dtype=torch.float64)
    target = torch.tensor([1, 3, 0])
    return logits_in, logits_out, target, mask.double(), X.double(), clean.double()


def finetuning_loss(*case, **options):
    return lmac_loss(*case, l_in=4, l_out=0.2, l_sparse=6.4, l_guidance=4, **options)


@pytest.mark.parametrize("cc_th, n_selected", [(0.6, 2), (0.8, 1), (1.1, 0), (0.0, 3)])
def test_selected_clips_get_guidance_in_place_of_sparsity(cc_th, n_selected):
    case = finetuning_case()
    mask, X, clean = (x.tolist() for x in case[3:])
    parts = finetuning_loss(*case, cc_th=cc_th, guidance="mse")
    guided = [
        sum((m * x - s) ** 2 for m, x, s in zip(mask[i][0], X[i][0], clean[i][0], strict=True)) / 3
        for i in range(n_selected)
    ]
    sparse = [sum(mask[i][0]) / 3 for i in range(n_selected, 3)]
    assert int(parts["selected"]) == n_selected
    assert float(parts["guidance"]) == pytest.approx(4 * sum(guided) / 3)
    assert float(parts["sparse"]) == pytest.approx(6.4 * sum(sparse) / 3)
    first = lmac_loss(*case[:4], l_in=4, l_out=0.2, l_sparse=0)["loss"]
    regulariser = parts["guidance"] + parts["sparse"]
    assert float(parts["loss"]) == pytest.approx(float(first + regulariser))


def test_binary_guidance_by_hand():
    case = finetuning_case()
    mask = torch.tensor([[[0.9, 0.2, 0.6]]]).double().repeat(3, 1, 1)
    parts = finetuning_loss(*case[:3], mask, *case[4:], cc_th=-1, bin_th=0.35, guidance="bce")
    # Cells at or above 0.35 of the clip's own maximum: 1 0 0; 1 1 0; 0 0 1.
    keep, drop = [math.log(m) for m in (0.9, 0.2, 0.6)], [math.log(m) for m in (0.1, 0.8, 0.4)]
    likelihood = (
        (keep[0] + drop[1] + drop[2])
        + (keep[0] + keep[1] + drop[2])
        + (drop[0] + drop[1] + keep[2])
    )
    assert float(parts["guidance"]) == pytest.approx(-4 * likelihood / 9)
    quarter = finetuning_loss(*case[:3], mask, *case[4:], cc_th=-1, bin_th=0.25, guidance="bce")
    assert float(quarter["guidance"]) != pytest.approx(float(parts["guidance"]))  # 1 >= 4 / 4
    with pytest.raises(ValueError, match="guidance: expected one of bce, mse, got 'l2'"):
        finetuning_loss(*case, guidance="l2")


@pytest.mark.parametrize("guidance", ["bce", "mse"])
def test_finetuning_gradients(guidance):
    logits_in, logits_out, target, _, X, clean = finetuning_case()
    mask = (0.1 + 0.8 * torch.rand(3, 1, 3, dtype=torch.float64)).requires_grad_()
    logits_in.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda i, m: finetuning_loss(i, logits_out, target, m, X, clean, guidance=guidance)["loss"],
        (logits_in, mask),
    )


def test_empty_and_saturated_masks_give_finite_losses():
    *case, X, clean = finetuning_case()
    for mask in (torch.zeros_like(X), torch.ones_like(X)):
        for guidance in ("bce", "mse"):
            mask = mask.detach().clone().requires_grad_()
            loss = finetuning_loss(*case[:3], mask, X, clean, cc_th=-1, guidance=guidance)["loss"]
            loss.backward()
            assert loss.isfinite() and mask.grad.isfinite().all()


def test_angular_margin_is_speechbrain_s():
    cosines = torch.rand(6, 5) * 1.8 - 0.9
    target = torch.tensor([0, 1, 2, 3, 4, 0])
    theirs = LogSoftmaxWrapper(AdditiveAngularMargin(0.2, 30))(
        cosines.unsqueeze(1), target.unsqueeze(1)
    )
    torch.testing.assert_close(angular_margin(cosines, target), theirs)
    assert angular_margin(cosines, target) > cross_entropy(30 * cosines, target)
    # Also in a batch without clips of the last classes.
    theirs = LogSoftmaxWrapper(AdditiveAngularMargin(0.2, 30))(
        cosines[:3].unsqueeze(1), target[:3].unsqueeze(1)
    )
    torch.testing.assert_close(angular_margin(cosines[:3], target[:3]), theirs)


def test_cross_entropy_by_hand():
    """Smoothing takes its share of the target's weight and spreads it over all classes alike."""
    logits, target = torch.tensor([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0]]).double(), [2, 0]
    plain = -sum(log_probability(logits, target)) / 2
    even = -sum(sum(log_probability(logits, [c, c])) for c in range(3)) / 6
    targets = torch.tensor(target)
    assert float(cross_entropy(logits, targets)) == pytest.approx(plain)
    smoothed = cross_entropy(logits, targets, label_smoothing=0.2)
    assert float(smoothed) == pytest.approx(0.8 * plain + 0.2 * even)


def test_the_defaults_are_those_of_the_paper():
    """Both stages: 4, 0.2, the sparsity, thresholds 0.6 and 0.35, binary guidance."""
    case = finetuning_case()
    first = lmac_loss(*case[:4])
    written = lmac_loss(*case[:4], l_in=4, l_out=0.2, l_sparse=4, l_guidance=0)
    assert first.keys() == written.keys() and "guidance" not in first
    assert float(first["loss"]) == float(written["loss"])
    assert list(first) == ["loss", "in", "out", "sparse"]
    mask = torch.tensor([[[0.9, 0.2, 0.6]]]).double().repeat(3, 1, 1)
    second = lmac_loss(*case[:3], mask, *case[4:], l_guidance=4)
    written = finetuning_loss(*case[:3], mask, *case[4:], cc_th=0.6, bin_th=0.35, guidance="bce")
    assert list(second) == ["loss", "in", "out", "sparse", "guidance", "selected"]
    assert int(second["selected"]) == int(written["selected"]) > 0
    assert float(second["guidance"]) == float(written["guidance"])


def test_binary_guidance_is_each_clip_s_own():
    """A loud clip with little in its mask, not selected, beside a soft one, selected; T = 2."""
    clean = torch.tensor([[[100.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[1.0, 0.5, 0.2], [0.0, 0.0, 0.8]]])
    X = torch.tensor([[[0.0, 50.0, 9.0], [7.0, 80.0, 3.0]], [[1.0, 0.5, 0.2], [0.1, 0.2, 0.8]]])
    mask = torch.tensor([[[0.3, 0.2, 0.1], [0.4, 0.3, 0.2]], [[0.9, 0.7, 0.4], [0.2, 0.3, 0.8]]])
    logits, target = torch.zeros(2, 4).double(), torch.tensor([0, 1])
    parts = lmac_loss(
        logits, logits, target, mask.double(), X.double(), clean.double(), l_guidance=4, bin_th=0.35
    )
    assert int(parts["selected"]) == 1
    # At or above 0.35 of the soft clip's maximum, 1: its cells 1, 2 and 6.
    likelihood = [0.9, 0.7, 1 - 0.4, 1 - 0.2, 1 - 0.3, 0.8]
    expected = -sum(math.log(p) for p in likelihood) / 6
    assert float(parts["guidance"]) == pytest.approx(4 * expected / 2, rel=1e-6)


def asked_case(asked, source, dtype=torch.float64):
    """One clip each: X, its halves, silence, the asked class, a mask and whether it is a source."""
    torch.manual_seed(4)
    n = len(asked)
    logits = torch.tensor([[2.0, 0.5, -1.0, -3.0]], dtype=dtype).repeat(n, 1)
    halves = torch.randn(2, n, 4, dtype=dtype) * 2
    silence = torch.tensor([[-1.0, 0.0, 0.5, -4.0]], dtype=dtype)
    mask = torch.rand(n, 3, 5, dtype=dtype)
    return logits, *halves, silence, torch.tensor(asked), mask, torch.tensor(source)


def by_hand(logits, logits_in, logits_out, silence, asked, mask, source, presence_threshold):
    """METHOD, section 8, clip by clip with plain floats."""
    parts = {"in": 0.0, "absent": 0.0, "out": 0.0, "sparse": 0.0}
    for i, c in enumerate(asked.tolist()):
        of = {
            name: log_probability(x[min(i, len(x) - 1)][None], [c])[0]
            for name, x in (("X", logits), ("in", logits_in), ("out", logits_out), ("0", silence))
        }
        p = math.exp(of["X"])
        w = min(1.0, p / presence_threshold) if source[i] else p
        w = 1.0 if c == int(logits[i].argmax()) else w
        area = sum(mask[i].flatten().tolist()) / mask[i].numel()
        # Class 2 is the one that is decided in silence.
        before = of["X"] if c == 2 else max(of["X"], of["0"])
        parts["in"] -= 4 * w * of["in"]
        parts["absent"] += 4 * 0.25 * (1 - w) * max(0.0, of["in"] - before)
        parts["out"] += 0.2 * w * of["out"]
        parts["sparse"] += 6.4 * (1 + 2 * (1 - w)) * area
    return {name: value / len(asked) for name, value in parts.items()}


@pytest.mark.parametrize(
    ("asked", "source"),
    [
        ([0, 0], [True, False]),  # the decision
        ([1, 3], [True, True]),  # sounds in the mixture, presence_threshold and hardly
        ([1, 2, 3], [False, False, False]),  # absent
        ([0, 1, 3, 2], [True, True, False, False]),
    ],
)
def test_every_term_of_the_asked_loss_is_its_formula(asked, source):
    case = asked_case(asked, source)
    weights = {
        "l_in": 4,
        "l_out": 0.2,
        "l_sparse": 6.4,
        "l_absent": 0.25,
        "presence_threshold": 0.05,
    }
    parts = conditional_loss(*case, **weights)
    expected = by_hand(*case, presence_threshold=0.05)
    for name, value in expected.items():
        assert float(parts[name]) == pytest.approx(value, abs=1e-12), name
    assert float(parts["loss"]) == pytest.approx(sum(expected.values()), abs=1e-12)
    # The masked-out part of the first clip alone.
    first = conditional_loss(*case[:2], case[2][:1], *case[3:], **weights)
    alone = by_hand(*(x if x is case[3] else x[:1] for x in case), presence_threshold=0.05)
    assert float(first["out"]) == pytest.approx(alone["out"], abs=1e-12)
    assert float(first["in"]) == float(parts["in"])


def test_an_absent_class_is_only_ever_pushed_down_and_the_decision_up():
    for asked, sign in ((3, 1), (0, -1)):
        logits, logits_in, logits_out, silence, c, mask, source = asked_case([asked], [False])
        logits_in = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
        parts = conditional_loss(logits, logits_in, logits_out, silence, c, mask, source, l_out=0)
        (gradient,) = torch.autograd.grad(parts["in"] + parts["absent"], logits_in)
        assert float(gradient[0, asked]) * sign > 0


def test_silence_excuses_all_classes_but_the_one_it_is_decided_as():
    def absent(asked, silence):
        case = list(asked_case([asked], [False]))
        case[1] = torch.tensor([[0.0, 0, 0, 2]], dtype=torch.float64)  # log f(M X)_3 = -0.34
        case[3] = torch.tensor([silence], dtype=torch.float64)
        return float(conditional_loss(*case)["absent"])

    # f(0)_3 is 0.47: less than f(M X)_3 of 0.71, more than p of 0.005.
    assert 0 < absent(3, [2.01, 0, 0, 2]) < absent(3, [9.0, 0, 0, 0]) / 3
    # Decided as class 3, silence is no excuse: as if it had said nothing of it.
    assert absent(3, [0, 0, 0, 9]) == pytest.approx(absent(3, [9.0, 0, 0, -9]))


def test_keeping_more_than_the_sound_has_is_a_leak():
    """Two clips asked for a sound in them (w = 1, p / threshold), one for an absent class."""
    case = list(asked_case([0, 3, 2], [True, True, False]))
    X = torch.tensor([2.0, 4.0], dtype=torch.float64).expand(3, 1, 2)
    S = torch.tensor([[[1.5, 1.0]], [[0.0, 4.0]], [[0.0, 0.0]]], dtype=torch.float64)
    case[5] = torch.tensor([[[0.5, 0.5]], [[1.0, 1.0]], [[1.0, 1.0]]], dtype=torch.float64)
    parts = conditional_loss(*case, X, S, l_leak=3.0)
    # M X is (1, 2), (2, 4): above S by (0, 1) and (2, 0), of |X|^2 = 20.
    p = math.exp(log_probability(case[0][:1], [3])[0])
    expected = 3 * (1 * 1 / 20 + p / 0.05 * 4 / 20 + 0) / 3
    assert p < 0.05 and float(parts["leak"]) == pytest.approx(expected, abs=1e-12)
    assert "leak" not in conditional_loss(*case)


def test_energy_above_the_sound_and_who_is_believed():
    case = list(asked_case([0, 3, 2], [True, True, False]))
    X = torch.tensor([1.0, 3.0], dtype=torch.float64).log1p().expand(3, 1, 2)  # magnitudes 1, 3
    S = torch.tensor([0.5, 1.0], dtype=torch.float64).log1p().expand(3, 1, 2).clone()
    S[2] = 0  # of the class that is not there
    case[5] = torch.tensor([[[1.0, 0.5]], [[0.0, 1.0]], [[1.0, 1.0]]], dtype=torch.float64)
    # Half of log(1 + 3) leaves a magnitude of 1: kept are (1, 1) and (0, 3), above S (0.5, 0) and
    # (0, 2); of the class that is not there (1, 3), all of the input.
    p = {c: math.exp(log_probability(case[0][:1], [c])[0]) for c in (2, 3)}
    parts = conditional_loss(*case, X, S, l_energy=2.0)
    expected = 2 * (0.5**2 / 2 + p[3] / 0.05 * 2**2 / 9 + (1 - p[2])) / 3
    assert float(parts["energy"]) == pytest.approx(expected, abs=1e-12)
    # The third clip is asked for a class that is not there: what p says of it may count, or not.
    log_in = log_probability(case[1], case[4].tolist())
    for prior_weight in (1.0, 0.25, 0.0):
        w = [1.0, p[3] / 0.05, prior_weight * p[2]]
        found = conditional_loss(*case, X, S, prior_weight=prior_weight)["in"]
        expected = -4 * sum(a * b for a, b in zip(w, log_in, strict=True)) / 3
        assert float(found) == pytest.approx(expected, abs=1e-12)


def test_asked_loss_gradients():
    logits, logits_in, logits_out, silence, asked, mask, source = asked_case(
        [0, 1, 2], [True, True, False]
    )
    free = [x.clone().requires_grad_() for x in (logits_in, logits_out, mask)]
    assert torch.autograd.gradcheck(
        lambda i, o, m: conditional_loss(logits, i, o, silence, asked, m, source)["loss"], free
    )


def test_with_the_decision_only_the_asked_loss_is_that_of_stage_1():
    case = asked_case([0, 0, 0], [True, False, True])
    ours = conditional_loss(*case, l_in=8, l_sparse=4)
    theirs = lmac_loss(case[1], case[2], case[4], case[5], l_in=8, l_sparse=4)
    assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), abs=1e-12)


def moved_case():
    """Masks of three clips, [3, 2, 2], what they become, and whose decision stays."""
    mask = torch.tensor([[[0.5, 0.1], [0.9, 0.3]], [[0.2] * 2] * 2, [[0.4] * 2] * 2]).double()
    moved = torch.tensor([[[0.4, 0.1], [0.6, 0.5]], [[0.9] * 2] * 2, [[0.5] * 2] * 2]).double()
    return mask, moved, torch.tensor([True, False, True])


def test_inconsistency_by_hand_and_its_gradients():
    mask, moved, alike = moved_case()
    # (0.1 + 0 + 0.3 + 0.2) / 4; decided in another way; 0.1.
    expected = ((0.1 + 0.3 + 0.2) / 4 + 0 + 0.1) / 3
    assert float(inconsistency(mask, moved, alike)) == pytest.approx(expected, abs=1e-7)
    free = [x.clone().requires_grad_() for x in (mask + 0.01, moved)]
    assert torch.autograd.gradcheck(lambda a, b: inconsistency(a, b, alike), free)


@pytest.mark.parametrize("stage", ["lmac", "guided", "conditional"])
def test_consistency_is_one_more_term_of_every_loss(stage):
    if stage == "conditional":
        case, options, loss = asked_case([0, 1, 3], [True, True, False]), {}, conditional_loss
    else:
        case, loss = finetuning_case(), lmac_loss
        options = {"l_guidance": 4.0} if stage == "guided" else {}
    plain, moved = loss(*case, **options), moved_case()
    parts = loss(*case, moved=moved, l_consistency=3.0, **options)
    term = 3 * float(inconsistency(*moved))
    assert float(parts["consistency"]) == pytest.approx(term)
    assert float(parts["loss"]) == pytest.approx(float(plain["loss"]) + term)
    assert "consistency" not in plain
