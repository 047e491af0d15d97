"""Products with filterbanks: equal to the plain product, in less work."""

import pytest
import torch

from lmac.classifiers.aisfx import AisfxFrontEnd
from lmac.core import banded
from lmac.core.front_end import FrontEnd


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
        torch.testing.assert_close(banded.multiply(x, matrix.double(), blocks), plain)
        for turned in blocks:
            assert len(turned) > 1 and cells(turned) < matrix.numel() / 2


@pytest.mark.parametrize("shape", [(300, 40), (40, 300), (200, 200)])
def test_every_cell_that_is_not_zero_is_in_one_block(shape):
    matrix = band(*shape, 5)
    covered = torch.zeros_like(matrix)
    for rows, columns in banded.blocks_of(matrix).columns:
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
    torch.testing.assert_close(banded.multiply(x, matrix, banded.blocks_of(matrix)), x @ matrix)


def test_gradients(monkeypatch):
    monkeypatch.setattr(banded, "WORTH", 0)
    matrix = band(12, 7, 3)
    blocks = banded.blocks_of(matrix)
    assert len(blocks.columns) > 1 and len(blocks.rows) > 1
    x = torch.randn(2, 3, 12, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: banded.multiply(x, matrix, blocks), x)
    assert torch.autograd.gradgradcheck(lambda x: banded.multiply(x, matrix, blocks), x)


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


def test_what_is_not_a_number_stays_so():
    front_end = FrontEnd()
    magnitude = torch.rand(1, 3, front_end.n_bins)
    magnitude[0, 1, 200] = float("nan")
    assert front_end.mel(magnitude)[0, 1].isnan().any()
