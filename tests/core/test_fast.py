"""Fast paths give what the plain ones do, and keep out of the way of whoever looks inside."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import make_explained
from torch import nn

from lmac.classifiers import Cnn14
from lmac.classifiers.aisfx import Aisfx, AisfxFrontEnd
from lmac.classifiers.conv2d import Conv2dEncoder
from lmac.core import fast
from lmac.core.decoder import TopDownDecoder
from lmac.core.domain import FrontEnd, get_domain
from lmac.core.fast import conv_norm_relu

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


def cells(slices):
    return sum((a.stop - a.start) * (b.stop - b.start) for a, b in slices)


def band(n, m, width):
    """A random matrix whose columns each have ``width`` rows about their place."""
    centre = torch.linspace(0, n - 1, m).round()
    near = (torch.arange(n)[:, None] - centre).abs() <= width / 2
    return torch.rand(n, m, dtype=torch.double) * near


@pytest.fixture(params=[FrontEnd, AisfxFrontEnd])
def front_end(request):
    return request.param()


def test_filterbanks_take_less_than_half_of_the_work_and_answer_the_same(front_end):
    for matrix, blocks in (
        (front_end.mel_matrix, front_end.mel_blocks),
        (front_end.band_matrix, front_end.band_blocks),
    ):
        torch.manual_seed(0)
        x = torch.rand(2, 7, len(matrix), dtype=torch.double)
        plain = x @ matrix.double()
        torch.testing.assert_close(fast.multiply(x, matrix.double(), blocks), plain)
        for turned in blocks:
            assert len(turned) > 1 and cells(turned) < matrix.numel() / 2


@pytest.mark.parametrize("shape", [(300, 40), (40, 300), (200, 200)])
def test_every_cell_that_is_not_zero_is_in_one_block(shape):
    matrix = band(*shape, 5)
    covered = torch.zeros_like(matrix)
    for rows, columns in fast.blocks_of(matrix).columns:
        covered[rows, columns] += 1
    assert covered.max() == 1 and (covered[matrix != 0] == 1).all()
    assert covered.sum() < matrix.numel()


@pytest.mark.parametrize(
    "matrix",
    [
        torch.rand(60, 90, dtype=torch.double),
        torch.zeros(60, 90, dtype=torch.double),
        torch.eye(120, dtype=torch.double)[torch.randperm(120, generator=torch.manual_seed(0))],
        band(150, 100, 3) * (torch.arange(100) % 10 > 2),  # filters that reach no bin
    ],
    ids=["full", "zero", "permuted", "empty columns"],
)
def test_any_matrix_is_multiplied(matrix):
    x = torch.randn(3, len(matrix), dtype=torch.double)
    torch.testing.assert_close(fast.multiply(x, matrix, fast.blocks_of(matrix)), x @ matrix)


def test_gradients(monkeypatch):
    monkeypatch.setattr(fast, "WORTH", 0)
    matrix = band(12, 7, 3)
    blocks = fast.blocks_of(matrix)
    assert len(blocks.columns) > 1 and len(blocks.rows) > 1
    x = torch.randn(2, 3, 12, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: fast.multiply(x, matrix, blocks), x)
    assert torch.autograd.gradgradcheck(lambda x: fast.multiply(x, matrix, blocks), x)


def test_mixed_precision_as_the_plain_product():
    front_end = FrontEnd()
    x = torch.rand(2, 5, front_end.n_bins, requires_grad=True)
    gradients = []
    for product in (front_end.mel, lambda x: x @ front_end.mel_matrix):
        with torch.autocast("cpu", torch.bfloat16):
            y = product(x)
        assert y.dtype == torch.bfloat16
        gradients.append(torch.autograd.grad(y.float().square().sum(), x)[0])
    assert gradients[0].dtype == torch.float32
    torch.testing.assert_close(*gradients, rtol=0.02, atol=0.02 * float(gradients[1].abs().max()))


def test_mel_bands_of_what_is_not_a_number_are_none():
    front_end = FrontEnd()
    magnitude = torch.rand(1, 3, front_end.n_bins)
    magnitude[0, 1, 200] = float("nan")
    assert front_end.mel(magnitude)[0, 1].isnan().any()


def test_one_flag_switches_all_of_it_off(wav, monkeypatch):
    """From sound to mask and to the gradient: other arithmetic, and the same within rounding."""
    explained = make_explained()
    decoder = trained(TopDownDecoder(*explained.output_sizes())).eval()
    called = []
    for name in ("_folded", "_normed", "_split"):
        real = getattr(fast, name)
        monkeypatch.setattr(fast, name, lambda *a, n=name, f=real: called.append(n) or f(*a))
    apply = fast._Product.apply
    monkeypatch.setattr(fast._Product, "apply", lambda *a: called.append("product") or apply(*a))

    def answer():
        X, phase = explained.domain.analyse(wav)
        logits, maps = explained(X)
        assert (explained.domain.picture(X) is explained.domain.picture(X)) != fast.PLAIN
        mask = decoder(maps, X, logits.argmax(1), explained.domain).sigmoid()
        part = mask.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(explained.logits(part * X).square().sum(), part)
        return X, logits, *maps, mask.detach(), gradient

    found = answer()
    assert {"_folded", "_normed", "product"} <= set(called)
    called.clear()
    with fast.plain():
        expected = answer()
        with fast.plain(False):
            assert not fast.PLAIN
        assert fast.PLAIN
    assert not called and not fast.PLAIN
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.detach().abs().max()))
    assert any((a != b).any() for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("value,plain", [(None, False), ("0", False), ("1", True)])
def test_the_environment_has_the_flag(value, plain):
    environment = {k: v for k, v in os.environ.items() if k != "LMAC_PLAIN"}
    environment |= {} if value is None else {"LMAC_PLAIN": value}
    code = "from lmac.core import fast; print(fast.PLAIN)"
    run = subprocess.run([sys.executable, "-c", code], env=environment, text=True,
                         capture_output=True, check=True)  # fmt: skip
    assert run.stdout == f"{plain}\n"
