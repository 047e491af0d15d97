"""Losses, re-derived from their formulas in float64."""

import math

import pytest
import torch
from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

from lmac.losses import angular_margin, cross_entropy, lmac_loss


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


def test_angular_margin_is_speechbrain_s():
    cosines = torch.rand(6, 5) * 1.8 - 0.9
    target = torch.tensor([0, 1, 2, 3, 4, 0])
    theirs = LogSoftmaxWrapper(AdditiveAngularMargin(0.2, 30))(
        cosines.unsqueeze(1), target.unsqueeze(1)
    )
    torch.testing.assert_close(angular_margin(cosines, target), theirs)
    assert angular_margin(cosines, target) > cross_entropy(30 * cosines, target)
