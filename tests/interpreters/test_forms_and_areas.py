"""Attributions made masks in other forms and areas than the paper's."""

import pytest
import torch
from conftest import make_explained
from test_interpreters import inputs, lmac

from interpreters.base import AttributionInterpreter, SeededInterpreter, in_order_of, normalise
from interpreters.constant import LoudestCells, Oracle, Random
from interpreters.gradcam import GradCAM
from interpreters.guided import GuidedBackprop
from interpreters.integrated_gradients import IntegratedGradients
from interpreters.saliency import GradientXInput, Saliency
from interpreters.shap import SHAP
from interpreters.smoothgrad import SmoothGrad
from lmac.core.scoring import get_interpreters

METHODS = {
    "Saliency": Saliency,
    "SmoothGrad": lambda f, **o: SmoothGrad(f, samples=2, **o),
    "IG": lambda f, **o: IntegratedGradients(f, steps=4, **o),
    "SHAP": lambda f, **o: SHAP(f, samples=2, **o),
    "Gradient × X": GradientXInput,
    "Guided Backprop": GuidedBackprop,
    "GradCAM": GradCAM,
}


class Given(AttributionInterpreter):
    """The attribution is X itself, of either sign."""

    def attribute(self, X, target, phase=None):
        return X


class Fixed(SeededInterpreter):
    """A mask that is given."""

    def __init__(self, mask):
        self.explained, self.options, self.mask = None, {}, mask

    def explain(self, X, target, phase=None):
        return self.mask


def signed_like(mask, X, form="signed"):
    method = Given(None, form, "other")
    method.take_area_of(Fixed(mask))
    return method.explain(X, None)


def test_rank_matching_by_hand():
    X = torch.tensor([[[3.0, -9.0], [1.0, 2.0]]])
    mask = torch.tensor([[[0.1, 0.8], [0.4, 0.2]]])
    # Of |X| the order is -9, 3, 2, 1.
    expected = torch.tensor([[[0.4, 0.8], [0.1, 0.2]]])
    assert torch.equal(signed_like(mask, X, "absolute"), expected)
    # Signed, -9 is the last.
    assert torch.equal(signed_like(mask, X), torch.tensor([[[0.8, 0.1], [0.2, 0.4]]]))


def test_what_speaks_against_the_class_shares_the_lowest_values():
    X = torch.tensor([[[3.0, -9.0], [-1.0, 2.0]]])
    mask = torch.tensor([[[0.125, 0.75], [0.5, 0.25]]])
    expected = torch.tensor([[[0.75, 0.1875], [0.1875, 0.5]]])
    assert torch.equal(signed_like(mask, X), expected)
    own = Given(None, "signed").explain(X, None)
    torch.testing.assert_close(own, torch.tensor([[[1.0, 0.0], [0.0, 2 / 3]]]))


def test_each_clip_is_ranked_by_itself():
    generator = torch.Generator().manual_seed(0)
    X, mask = torch.randn(4, 6, 5, generator=generator), torch.rand(4, 6, 5, generator=generator)
    out = in_order_of(X, mask)
    for i in range(4):
        assert torch.equal(out[i : i + 1], in_order_of(X[i : i + 1], mask[i : i + 1]))
        assert torch.equal(out[i].flatten().sort().values, mask[i].flatten().sort().values)
        assert torch.equal(out[i].flatten().argsort(), X[i].flatten().argsort())


def test_a_share_is_a_binary_mask_of_the_cells_that_rank_highest():
    X = torch.randn(2, 10, 10, generator=torch.Generator().manual_seed(0))
    mask = Given(None, "absolute", 0.13).explain(X, None)
    assert sorted(mask.unique().tolist()) == [0, 1]
    assert mask.sum((1, 2)).tolist() == [13, 13]
    for i in range(2):
        assert X[i].abs()[mask[i] == 1].min() > X[i].abs()[mask[i] == 0].max()


@pytest.mark.parametrize("name", METHODS)
def test_the_published_form_is_bit_for_bit_what_it_was(name):
    """Captum's attribution, its absolute value over its maximum, as before there were forms."""
    explained = make_explained()
    X, target = inputs(explained, 2)
    method = METHODS[name](explained)
    before = normalise(method.attribute(X, target))
    assert torch.equal(method.explain(X, target), before)
    assert torch.equal(METHODS[name](explained, form="absolute").explain(X, target), before)
    assert "form" not in method.description and "area" not in method.description


def test_saliency_is_captum_s_to_the_bit():
    from captum.attr import Saliency as Captum

    explained = make_explained()
    X, target = inputs(explained, 2)
    theirs = Captum(explained.logits).attribute(X.clone().requires_grad_(), target)
    assert torch.equal(Saliency(explained).explain(X, target), normalise(theirs))


@pytest.mark.parametrize("name", METHODS)
def test_at_the_area_of_another_method(name, tmp_path):
    """The mean is that of the other mask, and what is positive alone stands above the rest."""
    explained = make_explained()
    X, target = inputs(explained, 2)
    other = lmac(explained, tmp_path)
    method = METHODS[name](explained, form="signed", area="L-MAC")
    method.take_area_of(other)
    mask, reference = method.explain(X, target), other.explain(X, target)
    torch.testing.assert_close(mask.mean((1, 2)), reference.mean((1, 2)))
    attribution = method.attribute(X, target)
    for own, a in zip(mask, attribution, strict=True):
        keeps = a > 0
        assert 0 < keeps.sum() < keeps.numel()
        assert own[keeps].min() >= own[~keeps].max() and own[~keeps].unique().numel() == 1
    assert other.description in method.description and "form=signed" in method.description


def test_gradient_x_input_is_the_product():
    explained = make_explained()
    X, target = inputs(explained, 2)
    leaf = X.clone().requires_grad_()
    score = explained.logits(leaf).gather(1, target[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, leaf)
    assert torch.equal(GradientXInput(explained).attribute(X, target), gradient * X)


def test_the_loudest_cells_look_at_no_classifier():
    X = torch.rand(2, 10, 10, generator=torch.Generator().manual_seed(0))
    mask = LoudestCells(None, "absolute", 0.2).explain(X, None)
    assert torch.equal(mask == 1, X >= X.flatten(1).topk(20).values[:, -1:, None])


def test_names_are_resolved_where_methods_are_built():
    explained = make_explained()
    available = {
        "Random": Random,
        "Oracle": Oracle,
        "best": lambda f: Saliency(f, form="signed", area="Random"),
        "odd": lambda f: Saliency(f, form="signed", area="Randon"),
        "bound": lambda f: Saliency(f, form="signed", area="Oracle"),
    }
    both = get_interpreters(available, ["best", "Random"], explained)
    assert both["best"].other is both["Random"]
    alone = get_interpreters(available, ["best"], explained)["best"]
    X, target = inputs(explained, 1)
    for method in (alone, both["Random"]):
        method.reset(7)
    torch.testing.assert_close(
        alone.explain(X, target).mean(), both["Random"].explain(X, target).mean()
    )
    with pytest.raises(ValueError, match="odd: area 'Randon' is no other method"):
        get_interpreters(available, ["odd"], explained)
    with pytest.raises(ValueError, match="area: Oracle needs the target's own part"):
        get_interpreters(available, ["bound"], explained)


@pytest.mark.parametrize(
    "form, area, message",
    [
        ("positive", "own", "form is 'positive': expected one of published, signed, absolute"),
        ("signed", 1.5, "area is 1.5: expected own, a share between 0 and 1, or a method's name"),
        ("published", 0.1, "published has its own area, not 0.1"),
    ],
)
def test_a_bad_form_or_area_is_named(form, area, message):
    with pytest.raises(ValueError, match=message):
        Given(None, form, area)
