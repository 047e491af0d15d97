"""Every interpreter on every classifier and domain, and each against a reference."""

from functools import partial

import pytest
import torch
from captum.attr import LayerGradCam
from conftest import make_explained

from interpreters.base import normalise
from interpreters.constant import AllOnes, LoudestCells, Oracle, Random
from interpreters.gradcam import GradCAM
from interpreters.guided import GuidedBackprop, GuidedGradCAM
from interpreters.integrated_gradients import IntegratedGradients
from interpreters.l2i import L2I, L2INetwork
from interpreters.lmac import LMAC
from interpreters.piq import PIQ, PIQNetwork
from interpreters.refined import RefinedLMAC
from interpreters.saliency import GradientXInput, Saliency
from interpreters.shap import SHAP
from interpreters.smoothgrad import SmoothGrad
from lmac.core.decoder import Decoder, TopDownDecoder
from lmac.core.scoring import get_interpreters
from lmac.settings.load import merge
from metrics import Outcome, compute

KINDS = [("cnn14", "stft"), ("cnn14", "mel"), ("conv2d", "stft")]


def small_decoder(channels, n_classes):
    return TopDownDecoder(channels, n_classes, hidden=8, detail=4)


def lmac(explained, folder):
    decoder = small_decoder(*explained.output_sizes())
    torch.save(decoder.state_dict(), folder / "decoder.ckpt")
    return LMAC(explained, small_decoder, folder)


def refined(explained, folder, **options):
    lmac(explained, folder)
    return RefinedLMAC(explained, small_decoder, folder, **{"steps": 2, **options})


def l2i(explained, folder):
    torch.manual_seed(0)
    W = torch.rand(explained.domain.front_end.n_bins, 6)
    torch.save(L2INetwork(explained, W / W.norm(dim=0), 8).state_dict(), folder / "l2i.ckpt")
    return L2I(explained, folder)


def at_its_best(make, explained, folder):
    """Signed, at L-MAC's area."""
    interpreter = make(explained, form="signed", area="L-MAC")
    interpreter.take_area_of(lmac(explained, folder))
    return interpreter


def piq(explained, folder):
    torch.manual_seed(0)
    torch.save(PIQNetwork(explained, 8, 20).state_dict(), folder / "piq.ckpt")
    return PIQ(explained, folder)


FACTORIES = {
    "Saliency": lambda f, _: Saliency(f),
    "SmoothGrad": lambda f, _: SmoothGrad(f, samples=3),
    "IG": lambda f, _: IntegratedGradients(f, steps=5),
    "GradCAM": lambda f, _: GradCAM(f),
    "Guided GradCAM": lambda f, _: GuidedGradCAM(f),
    "Guided Backprop": lambda f, _: GuidedBackprop(f),
    "SHAP": lambda f, _: SHAP(f, samples=3),
    "Gradient × X": lambda f, _: GradientXInput(f),
    **{
        f"{name} at its best": partial(at_its_best, make)
        for name, make in (
            ("Saliency", Saliency),
            ("SmoothGrad", partial(SmoothGrad, samples=3)),
            ("IG", partial(IntegratedGradients, steps=5)),
            ("SHAP", partial(SHAP, samples=3)),
            ("Gradient × X", GradientXInput),
            ("Guided Backprop", GuidedBackprop),
        )
    },
    "Loudest cells": lambda f, _: LoudestCells(f, "absolute", 0.1),
    "All-ones": lambda f, _: AllOnes(f),
    "Random": lambda f, _: Random(f),
    "L-MAC": lmac,
    "L-MAC refined": refined,
    "L2I": l2i,
    "PIQ": piq,
}


def inputs(explained, batch=3, n_samples=16000):
    X, _ = explained.domain.analyse(
        0.3 * torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(5))
    )
    return X, explained.logits(X).argmax(1)


def test_the_matrix_covers_the_yaml():
    assert {*FACTORIES, "Oracle", "L-MAC FT", "L-MAC-ZS"} == set(
        merge("hparams/interpreters.yaml")["interpreters"]
    )


@pytest.mark.parametrize(
    "name,kind,domain",
    [(n, *k) for n in FACTORIES for k in KINDS if (n, k[1]) != ("L2I", "mel")],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_masks(name, kind, domain, batch, tmp_path):
    explained = make_explained(kind, domain)
    before = {k: v.clone() for k, v in explained.state_dict().items()}
    interpreter = FACTORIES[name](explained, tmp_path)
    X, target = inputs(explained, batch)
    interpreter.reset(1)
    with torch.no_grad():  # as in an evaluation
        mask = interpreter.explain(X, target)
    assert mask.shape == X.shape and not mask.requires_grad
    assert mask.isfinite().all() and mask.min() >= 0 and mask.max() <= 1
    interpreter.reset(1)
    assert torch.equal(interpreter.explain(X, target), mask)
    for key, value in explained.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert not any(module._forward_hooks for module in explained.modules())


@pytest.mark.parametrize(
    "name",
    [
        "Saliency",
        "IG",
        "GradCAM",
        "Guided GradCAM",
        "Guided Backprop",
        "L-MAC",
        "L2I",
        "PIQ",
        "L-MAC refined",
    ],
)
def test_a_clip_s_mask_does_not_depend_on_its_batch(name, tmp_path):
    explained = make_explained()
    interpreter = FACTORIES[name](explained, tmp_path)
    X, target = inputs(explained, 3)
    together = interpreter.explain(X, target)
    for i in range(3):
        alone = interpreter.explain(X[i : i + 1], target[i : i + 1])[0]
        torch.testing.assert_close(alone, together[i], rtol=1e-3, atol=1e-4)


def loss_of(explained, X, target, mask):
    """METHOD, section 4, with the published constants, by Captum-free plain PyTorch: [B]."""
    ce = [
        torch.nn.functional.cross_entropy(explained.logits(m * X), target, reduction="none")
        for m in (mask, 1 - mask)
    ]
    return 4 * ce[0] - 0.2 * ce[1] + 6.4 * mask.mean((1, 2))


def test_refining_starts_at_the_decoder_s_mask_and_lowers_the_loss(tmp_path):
    explained = make_explained()
    X, target = inputs(explained)
    start = lmac(explained, tmp_path).explain(X, target)
    still = RefinedLMAC(explained, small_decoder, tmp_path, rate=1e-7).explain(X, target)
    torch.testing.assert_close(still, start, atol=1e-5, rtol=1e-4)
    masks = [
        RefinedLMAC(explained, small_decoder, tmp_path, steps=n).explain(X, target) for n in (5, 20)
    ]
    losses = [loss_of(explained, X, target, mask) for mask in (start, *masks)]
    assert (losses[1] < losses[0]).all() and (losses[2] < losses[1]).all()


def test_a_step_of_refining_goes_down_the_slope(tmp_path):
    """Adam's first step has the size of the rate and the sign of the slope, by differences."""
    explained = make_explained(domain="mel")
    X, target = inputs(explained, 1)
    start = lmac(explained, tmp_path).explain(X, target).logit()
    method = RefinedLMAC(explained, small_decoder, tmp_path, steps=1, rate=0.1)
    step = torch.zeros(1, 1, -(-X.shape[1] // 8), 20)
    step[0, 0, 3, 7] = 1e-2
    fine = torch.nn.functional.interpolate(step, X.shape[1:], mode="bilinear")[0]
    up, down = (loss_of(explained, X, target, (start + s * fine).sigmoid()) for s in (1, -1))
    moved = method.explain(X, target).logit() - start
    at = fine[0] == fine.max()
    assert abs(float(up - down)) > 1e-5
    assert float(moved[0][at].mean()) == pytest.approx(
        -0.1 * float((up - down).sign()), abs=0.1 * (1 - float(fine.max() / 1e-2)) + 1e-3
    )


def test_a_class_conditional_decoder_is_not_refined(tmp_path):
    explained = make_explained()
    told = lambda c, n: TopDownDecoder(c, n, hidden=8, conditioned=True)  # noqa: E731
    torch.save(told(*explained.output_sizes()).state_dict(), tmp_path / "decoder.ckpt")
    with pytest.raises(ValueError, match="L-MAC refined: lmac_checkpoint is a class-conditional"):
        RefinedLMAC(explained, told, tmp_path)


def test_saliency_by_finite_differences():
    explained = make_explained().double()
    X, target = inputs(make_explained(), 1)
    X = X.double()
    mask = Saliency(explained).explain(X, target)[0]
    strongest = divmod(int(mask.argmax()), mask.shape[1])
    other = divmod(int(mask.flatten().kthvalue(mask.numel() - 500).indices), mask.shape[1])
    slopes = []
    for t, f in (strongest, other):
        step = torch.zeros_like(X)
        step[0, t, f] = 1e-6
        up, down = (explained.logits(X + s * step)[0, target[0]] for s in (1, -1))
        slopes.append(abs(float(up - down)))
    assert slopes[1] / slopes[0] == pytest.approx(float(mask[other]), rel=1e-3)


def test_gradcam_agrees_with_captum():
    explained = make_explained(domain="mel")
    X, target = inputs(explained)
    captum = LayerGradCam(explained.logits, explained.classifier.embedding_model.conv_block6)
    theirs = captum.attribute(X.requires_grad_(), target=target, relu_attributions=True)
    theirs = LayerGradCam.interpolate(theirs.detach(), X.shape[1:], interpolate_mode="bilinear")
    torch.testing.assert_close(
        GradCAM(explained).explain(X, target), normalise(theirs.squeeze(1)), rtol=1e-4, atol=1e-5
    )


def test_gradcam_of_another_layer_has_its_resolution():
    explained = make_explained()
    X, target = inputs(explained)
    coarse, fine = (GradCAM(explained, layer=i).explain(X, target) for i in (-1, 0))
    change = [(m[:, 1:] - m[:, :-1]).abs().mean() / m.mean() for m in (coarse, fine)]
    assert change[1] > 2 * change[0]


def test_smoothgrad_with_one_sample_and_no_noise_is_the_gradient():
    explained = make_explained().double()
    X, target = inputs(make_explained())
    plain = Saliency(explained).explain(X.double(), target)
    smooth = SmoothGrad(explained, samples=1, noise=0.0).explain(X.double(), target)
    torch.testing.assert_close(smooth, plain, rtol=1e-6, atol=1e-9)


def test_smoothgrad_of_a_clip_with_a_large_range():
    """A loud sound and silence: unclipped, the noise would make magnitudes below -1."""
    explained = make_explained()
    wav = torch.zeros(1, 16000)
    wav[:, 8000:] = 0.9 * torch.sin(0.3 * torch.arange(8000))
    X, _ = explained.domain.analyse(wav)
    target = explained.logits(X).argmax(1)
    noisy = X - 2 * 0.15 * X.amax() * torch.rand_like(X)
    assert not explained.logits(noisy).isfinite().all()
    mask = SmoothGrad(explained, samples=3).explain(X, target)
    assert mask.isfinite().all() and mask.amax() == 1


def test_smoothgrad_is_the_mean_gradient_under_noise():
    """Against a plain loop with other draws; the noise is relative to each clip's own range."""
    explained = make_explained(domain="mel")
    X, target = inputs(explained, 2)
    X[1] *= 0.1
    mask = SmoothGrad(explained, samples=150, noise=0.1).explain(X, target)
    scale = 0.1 * (X.amax((1, 2)) - X.amin((1, 2))).view(-1, 1, 1)
    total = 0
    for _ in range(150):
        noisy = (X + scale * torch.randn_like(X)).clamp_min(0).requires_grad_()
        score = explained.logits(noisy).gather(1, target[:, None]).sum()
        total = total + torch.autograd.grad(score, noisy)[0]

    def correlation(one, two):
        return float(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1])

    for i in range(2):
        same = correlation(mask[i], total[i].abs())
        assert same > 0.9
        assert correlation(mask[i], Saliency(explained).explain(X, target)[i]) < same - 0.05


@pytest.mark.parametrize("kind,domain", KINDS)
def test_ig_is_complete(kind, domain):
    explained = make_explained(kind, domain).double()
    X, target = inputs(make_explained(kind, domain))
    X = X.double()
    attribution = IntegratedGradients(explained, steps=200).attribute(X, target)
    ends = [explained.logits(v).gather(1, target[:, None])[:, 0] for v in (X, 0 * X)]
    torch.testing.assert_close(
        attribution.sum((1, 2)), (ends[0] - ends[1]).detach(), rtol=0.02, atol=0.02
    )


def test_shap_is_additive_on_average_and_exact_on_a_linear_network():
    explained = make_explained(domain="mel").double()
    X, target = inputs(make_explained(domain="mel"))
    X = X.double()
    attribution = SHAP(explained, samples=200).attribute(X, target).sum((1, 2))
    ends = [explained.logits(v).gather(1, target[:, None])[:, 0] for v in (X, 0 * X)]
    torch.testing.assert_close(attribution, (ends[0] - ends[1]).detach(), rtol=0.15, atol=0.05)

    weight = torch.randn(X[0].numel(), 5, dtype=torch.float64)
    explained.logits = lambda Z: Z.flatten(1) @ weight  # SHAP of a linear map is w x
    exact = X * weight[:, target].t().view_as(X)
    torch.testing.assert_close(SHAP(explained, samples=2).attribute(X, target), exact)


def test_guided_backprop_by_hand():
    """On CNN14: the gradient with a ReLU rule written as an autograd function."""

    class GuidedReLU(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp_min(0)

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient.clamp_min(0) * (x > 0)

    explained = make_explained()
    X, target = inputs(explained)
    ours = GuidedBackprop(explained).attribute(X, target)
    for module in explained.modules():
        if isinstance(module, torch.nn.ReLU):
            module.forward = GuidedReLU.apply
    X.requires_grad_()
    score = explained.logits(X).gather(1, target[:, None]).sum()
    torch.testing.assert_close(ours, torch.autograd.grad(score, X)[0])


@pytest.mark.parametrize("kind", ["cnn14", "conv2d"])
def test_guided_methods_differ_from_saliency(kind):
    """They would silently be saliency where ReLUs are functional calls."""
    explained = make_explained(kind)
    X, target = inputs(explained)
    saliency = Saliency(explained).explain(X, target).flatten(1)
    for method in (GuidedBackprop(explained), GuidedGradCAM(explained)):
        mask = method.explain(X, target).flatten(1)
        assert (mask - saliency).abs().amax(1).min() > 0.05
        # And afterwards plain gradients are plain again.
        assert torch.equal(Saliency(explained).explain(X, target).flatten(1), saliency)


def test_guided_gradcam_is_the_product_of_both():
    """And neither factor alone, as it would be if one were left out."""
    explained = make_explained()
    X, target = inputs(explained)
    gradient = GuidedBackprop(explained).attribute(X, target)
    cam = GradCAM(explained, layer=1).explain(X, target)
    product = (gradient * cam).abs()
    mask = GuidedGradCAM(explained, layer=1).explain(X, target)
    torch.testing.assert_close(mask, product / product.amax((1, 2), keepdim=True))
    for alone in (gradient.abs(), cam):
        alone = alone / alone.amax((1, 2), keepdim=True)
        assert (mask - alone).abs().amax((1, 2)).min() > 0.05


def test_guided_backprop_refuses_a_classifier_without_relu_modules():
    explained = make_explained("conv2d")
    for name, module in list(explained.named_modules()):
        if isinstance(module, torch.nn.ReLU):
            parent, _, child = name.rpartition(".")
            setattr(explained.get_submodule(parent), child, torch.nn.GELU())
    with pytest.raises(ValueError, match="this classifier has none"):
        GuidedBackprop(explained)


def test_random_numbers_elsewhere_are_left_alone():
    explained = make_explained()
    X, target = inputs(explained, 1)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    for method in (SmoothGrad(explained, samples=2), SHAP(explained, samples=2), Random(explained)):
        method.explain(X, target)
    assert torch.equal(torch.rand(4), expected)


def test_the_oracle_leaves_the_clean_target():
    explained = make_explained()
    domain = explained.domain
    clean, noise = torch.randn(2, 8000), 0.5 * torch.randn(2, 8000)
    noise[:, :4000] = 0
    X, _ = domain.analyse(clean + noise)
    clean_X, _ = domain.analyse(clean)
    mask = Oracle(explained).explain(X, None, clean_X=clean_X)
    assert mask.min() >= 0 and mask.max() <= 1
    assert (mask[:, :20] > 0.999).all()  # nothing but the target there
    torch.testing.assert_close(mask * X, torch.minimum(clean_X, X), rtol=1e-4, atol=1e-5)


def test_all_ones_changes_nothing_at_all():
    explained = make_explained()
    X, target = inputs(explained)
    mask = AllOnes(explained).explain(X, target)
    probs = explained.probabilities(X)
    outcome = Outcome(probs, explained.probabilities(mask * X),
                      explained.probabilities((1 - mask) * X), target, mask)  # fmt: skip
    scores = compute(outcome)
    for name in ("AI", "AD", "AG", "AD (published)"):
        assert (scores[name] == 0).all(), name
    assert (scores["Fid-In"] == 1).all()


def test_random_masks_differ_by_seed_and_clip():
    explained = make_explained()
    X, target = inputs(explained)
    random = Random(explained)
    masks = []
    for seed in (1, 2):
        random.reset(seed)
        masks.append(random.explain(X, target))
    assert not torch.equal(*masks) and not torch.equal(masks[0][0], masks[0][1])
    assert masks[0].mean() == pytest.approx(0.5, abs=0.01)


def test_a_trained_mask_needs_its_checkpoint(tmp_path):
    explained = make_explained()
    with pytest.raises(FileNotFoundError, match="lmac_checkpoint: there is no .*decoder.ckpt"):
        LMAC(explained, small_decoder, tmp_path / "nowhere" / "decoder.ckpt")
    with pytest.raises(ValueError, match="lmac_checkpoint is not set"):
        LMAC(explained, small_decoder, None)
    interpreter = lmac(explained, tmp_path)
    assert not interpreter.any_class and isinstance(interpreter.decoder, Decoder)
    with pytest.raises(
        ValueError, match="decoder makes a Identity: derive it from lmac.core.decoder.D"
    ):
        LMAC(explained, lambda channels, n_classes: torch.nn.Identity(), tmp_path)
    with pytest.raises(ValueError, match="another architecture"):
        LMAC(explained, TopDownDecoder, tmp_path)
    assert interpreter.description != lmac(make_explained(seed=4), tmp_path).description


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(ValueError, match="'Salience'; expected some of Saliency, Random"):
        get_interpreters({"Saliency": Saliency, "Random": Random}, ["Salience"], None)


def test_normalise():
    attribution = torch.tensor([[[1.0, -4.0]], [[0.0, 0.0]]])
    assert normalise(attribution).tolist() == [[[0.25, 1.0]], [[0.0, 0.0]]]


def test_sampling_a_few_at_a_time_is_sampling_one_at_a_time(monkeypatch):
    """One clip, 7 samples in groups of 3: IG and SHAP draw the same, so they are the same."""
    # In float32, rounding may turn a ReLU on that is off for the same clip in another batch.
    explained = make_explained().double()
    X, target = inputs(make_explained(), batch=1)
    X = X.double()
    calls, logits = [], explained.logits

    def seen(X, phase=None):
        calls.append(len(X))
        return logits(X, phase)

    monkeypatch.setattr(explained, "logits", seen)
    for method in (IntegratedGradients(explained, steps=7), SHAP(explained, samples=7)):
        found = {}
        for size in (1, 3):
            monkeypatch.setattr("interpreters.base.CELLS", size * X.numel())
            method.reset(3)
            calls.clear()
            found[size] = method.attribute(X, target)
            assert max(calls) == size and sum(calls) >= 7
        peak = float(found[1].abs().max())
        torch.testing.assert_close(found[3], found[1], rtol=1e-4, atol=1e-5 * peak)


def test_smoothgrad_in_groups_is_the_mean_over_its_noise(monkeypatch):
    explained = make_explained()
    X, target = inputs(explained, batch=1)
    monkeypatch.setattr("interpreters.base.CELLS", 3 * X.numel())
    method = SmoothGrad(explained, samples=4, noise=0.1)
    method.reset(3)
    mask = method.explain(X, target)
    torch.manual_seed(3)
    draws = [torch.normal(0.0, torch.ones(n, *X.shape[1:])) for n in (3, 1)]
    scale = 0.1 * (X.max() - X.min())
    noisy = (X + scale * torch.cat(draws)).clamp_min(0).requires_grad_()
    explained.logits(noisy)[:, target].sum().backward()
    gradient = (noisy.grad * (noisy > 0)).sum(0, keepdim=True).abs()
    torch.testing.assert_close(mask, gradient / gradient.max(), rtol=1e-3, atol=1e-4)


def test_what_a_floor_keeps(tmp_path, wav):
    """The mask from floor to 1 in place of 0 to 1; other rows than those without."""
    explained = make_explained()
    plain = lmac(explained, tmp_path)
    floored = LMAC(explained, small_decoder, tmp_path, mask_floor=0.25)
    X, _ = explained.domain.analyse(wav)
    target = explained.logits(X).argmax(1)
    mask = plain.explain(X, target)
    torch.testing.assert_close(floored.explain(X, target), 0.25 + 0.75 * mask)
    assert "mask_floor=0.25" in floored.description and "mask_floor" not in plain.description
    for wrong in (-0.1, 1, float("nan")):
        with pytest.raises(
            ValueError, match=f"floor of L-MAC is {wrong}: expected a number from 0"
        ):
            LMAC(explained, small_decoder, tmp_path, mask_floor=wrong)
