"""Every interpreter on every classifier and domain, and each against a reference."""

import pytest
import torch
from captum.attr import LayerGradCam
from conftest import make_explained

from interpreters.base import get_interpreters, normalise
from interpreters.constant import AllOnes, Random
from interpreters.gradcam import GradCAM
from interpreters.lmac import LMAC
from interpreters.saliency import Saliency
from lmac.config import merge
from lmac.decoder import TopDownDecoder
from metrics import Outcome, compute

KINDS = [("cnn14", "stft"), ("cnn14", "mel"), ("conv2d", "stft")]


def small_decoder(channels, n_classes):
    return TopDownDecoder(channels, n_classes, hidden=8, detail=4)


def lmac(explained, folder):
    decoder = small_decoder(*explained.dry_pass())
    torch.save(decoder.state_dict(), folder / "decoder.ckpt")
    return LMAC(explained, small_decoder, folder)


FACTORIES = {
    "Saliency": lambda f, _: Saliency(f),
    "GradCAM": lambda f, _: GradCAM(f),
    "All-ones": lambda f, _: AllOnes(f),
    "Random": lambda f, _: Random(f),
    "L-MAC": lmac,
}


def inputs(explained, batch=3, n_samples=16000):
    X, _ = explained.domain.analyse(
        0.3 * torch.randn(batch, n_samples, generator=torch.Generator().manual_seed(5))
    )
    return X, explained.logits(X).argmax(1)


def test_the_matrix_covers_the_yaml():
    assert set(FACTORIES) == set(merge("hparams/interpreters.yaml")["interpreters"])


@pytest.mark.parametrize("kind,domain", KINDS)
@pytest.mark.parametrize("name", FACTORIES)
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


@pytest.mark.parametrize("name", ["Saliency", "GradCAM", "L-MAC"])
def test_a_clip_s_mask_does_not_depend_on_its_batch(name, tmp_path):
    explained = make_explained()
    interpreter = FACTORIES[name](explained, tmp_path)
    X, target = inputs(explained, 3)
    together = interpreter.explain(X, target)
    for i in range(3):
        alone = interpreter.explain(X[i : i + 1], target[i : i + 1])[0]
        torch.testing.assert_close(alone, together[i], rtol=1e-3, atol=1e-4)


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
    with pytest.raises(ValueError, match="another architecture"):
        LMAC(explained, TopDownDecoder, tmp_path)
    assert interpreter.description != lmac(make_explained(seed=4), tmp_path).description


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(ValueError, match="'Salience'; expected some of Saliency, Random"):
        get_interpreters({"Saliency": Saliency, "Random": Random}, ["Salience"], None)


def test_normalise():
    attribution = torch.tensor([[[1.0, -4.0]], [[0.0, 0.0]]])
    assert normalise(attribution).tolist() == [[[0.25, 1.0]], [[0.0, 0.0]]]
