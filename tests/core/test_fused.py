"""Fast paths give what the plain ones do, and keep out of the way of whoever looks inside."""

import pytest
import torch
from torch import nn

from lmac.classifiers import Cnn14
from lmac.classifiers.aisfx import Aisfx
from lmac.classifiers.conv2d import Conv2dEncoder
from lmac.core.decoder import TopDownDecoder
from lmac.core.domain import FrontEnd, get_domain
from lmac.core.fused import conv_norm_relu

NETWORKS = {
    "cnn14": (lambda: Cnn14(width=4), (2, 64, 80)),
    "aisfx": (lambda: Aisfx(width=4), (2, 64, 96)),
    "conv2d": (lambda: Conv2dEncoder(dim=12), (2, 64, 513)),
}


def trained(module):
    """With statistics and weights of norms that are not those of a start; big enough to matter."""
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.2, 3)
        nn.init.normal_(norm.weight, 1, 0.5)
        nn.init.normal_(norm.bias)
    return module


def called_one_by_one(module):
    """The same module with hooks that do nothing, for which nothing is fused."""
    return [m.register_forward_hook(lambda *_: None) for m in module.modules()]


def parts(n_in=6, n_out=12, stride=1, bias=False):
    torch.manual_seed(0)
    conv = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=bias)
    layers = nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.ReLU())
    return trained(layers).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_frozen_classifiers_and_the_gradient_of_their_input(name, layout):
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    network = trained(make()).requires_grad_(False).eval().to(memory_format=layout)
    X = torch.rand(shape, requires_grad=True)

    def answer():
        embedding, representations = network(X)
        (gradient,) = torch.autograd.grad(embedding.square().sum(), X)
        return [embedding, *representations, gradient]

    fused = answer()
    handles = called_one_by_one(network)
    plain = answer()
    for handle in handles:
        handle.remove()
    assert any((a != b).any() for a, b in zip(fused, plain, strict=True))  # another arithmetic
    for a, b in zip(fused, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.detach().abs().max()))


@pytest.mark.parametrize("training", [True, False])
def test_decoder_with_its_gradients_and_statistics(training):
    torch.manual_seed(0)
    domain = get_domain("stft", FrontEnd())
    decoder = trained(TopDownDecoder([8, 16], 5)).double().train(training)
    domain = domain.double()
    maps = [torch.rand(3, 8, 32, 40).double(), torch.rand(3, 16, 16, 20).double()]
    X, target = torch.rand(3, 65, 513).double(), torch.tensor([0, 1, 2])
    start = {k: v.clone() for k, v in decoder.state_dict().items()}

    def answer():
        decoder.load_state_dict(start)
        decoder.zero_grad()
        mask = decoder(maps, X, target, domain)
        mask.square().sum().backward()
        with torch.no_grad():
            again = decoder(maps, X, target, domain)
        gradients = [p.grad.clone() for p in decoder.parameters()]
        statistics = [b.clone() for b in decoder.buffers()]
        return [mask.detach(), again, *gradients, *statistics]

    fused = answer()
    handles = called_one_by_one(decoder)
    plain = answer()
    for handle in handles:
        handle.remove()
    for a, b in zip(fused, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stride, bias", [(1, False), (2, True)])
def test_the_formula(stride, bias):
    conv, norm, relu = parts(stride=stride, bias=bias).double().eval().requires_grad_(False)
    x = torch.randn(2, 6, 33, 20).double()
    expected = nn.functional.conv2d(x, conv.weight, conv.bias, stride, 1)
    m, v, w, b = (
        p.view(-1, 1, 1) for p in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    expected = ((expected - m) / (v + norm.eps).sqrt() * w + b).clamp_min(0)
    torch.testing.assert_close(conv_norm_relu(x, conv, norm, relu), expected)


def test_who_looks_between_sees_what_was_there():
    layers = parts().eval().requires_grad_(False)
    conv, norm, relu = layers
    x, seen = torch.randn(2, 6, 33, 20), {}
    conv.register_forward_hook(lambda m, i, o: seen.update(conv=o))
    norm.register_forward_hook(lambda m, i, o: seen.update(norm=o))
    answer = conv_norm_relu(x, *layers)
    assert (seen["norm"] < 0).any() and not (answer < 0).any()
    torch.testing.assert_close(norm(seen["conv"]), seen["norm"])


def test_a_replaced_relu_counts():
    conv, norm, _ = parts().eval().requires_grad_(False)
    x = torch.randn(2, 6, 33, 20)
    assert (conv_norm_relu(x, conv, norm, nn.Identity()) < 0).any()
    assert (conv_norm_relu(x, conv, norm) < 0).any()


def test_weights_changed_in_any_way_count_at_once():
    layers = parts().eval().requires_grad_(False)
    x = torch.randn(2, 6, 33, 20)
    conv_norm_relu(x, *layers)
    layers[0].weight.data.mul_(-1)  # unseen by autograd's versions
    layers[1].running_mean.data = torch.zeros(12)
    torch.testing.assert_close(conv_norm_relu(x, *layers), layers(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("which", ["conv", "norm"])
def test_weights_that_are_trained_get_their_gradient(which):
    layers = parts().eval().requires_grad_(False)
    weight = layers["conv norm".split().index(which)].weight.requires_grad_()
    x = torch.randn(2, 6, 33, 20)
    gradients = [
        torch.autograd.grad(f(x).square().sum(), weight)[0]
        for f in (lambda x: conv_norm_relu(x, *layers), layers)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)


def test_statistics_that_move_are_not_folded():
    layers = parts().requires_grad_(False)
    layers.eval()[1].train()  # as a weight randomisation estimates them
    before = layers[1].running_mean.clone()
    conv_norm_relu(torch.randn(2, 6, 33, 20), *layers)
    assert (layers[1].running_mean != before).any()


def test_padding_of_another_kind():
    layers = parts().eval().requires_grad_(False)
    layers[0] = nn.Conv2d(6, 12, 3, padding=1, padding_mode="circular").requires_grad_(False)
    x = torch.randn(2, 6, 33, 20)
    torch.testing.assert_close(conv_norm_relu(x, *layers), layers(x))


def test_a_few_cells_and_many_weights_are_not_folded():
    """Scaling the weights would take longer than the norm does."""
    layers = parts(64, 64).eval().requires_grad_(False)
    assert torch.equal(conv_norm_relu(x := torch.randn(1, 64, 4, 4), *layers), layers(x))


def test_the_layout_stays():
    """Dropout draws in the order of memory."""
    layers = parts().train()
    x = torch.randn(2, 6, 33, 20).contiguous(memory_format=torch.channels_last)
    assert conv_norm_relu(x, *layers).stride() == layers(x).stride()


@pytest.mark.parametrize("need", ["gradient", "none"])
def test_what_is_not_a_number_stays_so(need):
    """A ReLU that is part of the CPU library's convolution makes 0 of it, and hides the fault."""
    layers = parts().eval().requires_grad_(False)
    x = torch.randn(1, 6, 80, 60).contiguous(memory_format=torch.channels_last)
    x[0, 0, 40, 30] = float("nan")
    found = conv_norm_relu(x.requires_grad_(need == "gradient"), *layers)
    assert found[0, :, 40, 30].isnan().all()
