"""What makes the core fast: every trick of its arithmetic, switched off by one flag.

- ``conv_norm_relu``: convolution, norm and ReLU in fewer passes over memory;
- ``multiply``: products with matrices that are 0 but for a band, such as filterbanks;
- ``once_for``: what was computed of a tensor is kept as long as the tensor;
- ``magnitude_of``: magnitudes on a CPU.

Each has its plain form beside it, which is taken where ``LMAC_PLAIN=1`` is in the environment, or
within ``with plain():``. The answers are the same within rounding.
"""

import operator
import os
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

PLAIN = os.environ.get("LMAC_PLAIN", "") not in ("", "0")
# Cells of the matrix that a further block has to save: calling one more product takes as long as
# this many cells with the frames of a clip of 5 s, on a CPU.
WORTH = 2000
_KNOWN = WeakTensorKeyDictionary()  # X to what was computed of it; gone when X is


@contextmanager
def plain(on=True):
    """Plain arithmetic as long as the context lasts; ``plain(False)`` the fast one."""
    global PLAIN
    before, PLAIN = PLAIN, on
    try:
        yield
    finally:
        PLAIN = before


def conv_norm_relu(x, conv, norm, relu=None):
    """``relu(norm(conv(x)))``, within rounding, in fewer passes over memory.

    The scale of a batch norm that is frozen is multiplied into the weights of the convolution,
    and the ReLU works in place. The modules are called one by one where one of them has hooks
    (guided backpropagation, named layers) or is of another class. Nothing is kept between calls:
    weights that change in whatever way count at once.

    Arguments
    ---------
    x : Tensor [B, C, T, F]
    conv : nn.Conv2d
    norm : nn.Module
        Any norm; folded if it is an ``nn.BatchNorm2d`` in eval mode.
    relu : nn.ReLU, optional
    """
    modules = [m for m in (conv, norm, relu) if m is not None]
    if PLAIN or any(map(_has_hooks, modules)):
        for module in modules:
            x = module(x)
        return x
    folds = _is_frozen(conv, norm) and _cells(x, conv) > conv.weight.numel()
    x = _folded(x, conv, norm) if folds else _normed(conv(x), norm)
    # No operation before needs its own output to compute its gradient.
    if type(relu) is nn.ReLU:
        return F.relu_(x)
    return x if relu is None else relu(x)


def _has_hooks(module):
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def _is_frozen(conv, norm):
    """Whether the norm is a constant scale and shift behind a convolution that is a plain one."""
    if type(conv) is not nn.Conv2d or conv.padding_mode != "zeros":
        return False
    return type(norm) is nn.BatchNorm2d and not norm.training and norm.running_mean is not None


def _cells(x, conv):
    """About as many as a norm would read and write; with fewer than weights, folding costs."""
    stride = conv.stride[0] * conv.stride[1]
    return x.shape[0] * conv.out_channels * x.shape[2] * x.shape[3] // stride


def _folded(x, conv, norm):
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
    bias = shift * scale if norm.bias is None else shift * scale + norm.bias
    weight = conv.weight * scale[:, None, None, None]
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _normed(x, norm):
    """``norm(x)`` in the layout of ``x``."""
    # On CPUs, batch norm of channels-last maps is slow unless channels fill vectors of 16.
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    if channels_last and x.device.type == "cpu" and x.shape[1] % 16:
        return norm(x.contiguous()).contiguous(memory_format=torch.channels_last)
    return norm(x)


class Blocks(NamedTuple):
    """The parts of a matrix that are not 0, as pairs of slices."""

    columns: list  # (rows, columns), in the order of columns
    rows: list  # (columns, rows) of the transposed matrix, in the order of its columns

    @property
    def turned(self):
        """Those of the transposed matrix."""
        return Blocks(self.rows, self.columns)


def blocks_of(matrix):
    """The :class:`Blocks` of ``matrix`` [n, m]; one block if neighbouring columns share no rows."""
    matrix = matrix.detach().cpu()
    return Blocks(_split(matrix), _split(matrix.t()))


def multiply(x, matrix, blocks):
    """``x @ matrix`` within rounding, [..., n] to [..., m]; differentiable in ``x`` alone."""
    if PLAIN:
        return x @ matrix
    return _Product.apply(x, matrix, blocks)


class _Product(torch.autograd.Function):
    """Without it, the gradient of each slice of ``x`` would be a map of its whole size."""

    @staticmethod
    def forward(x, matrix, blocks):
        if torch.is_autocast_enabled(x.device.type):  # which knows no out=
            parts = [x[..., rows] @ matrix[rows, columns] for rows, columns in blocks.columns]
            return torch.cat(parts, -1)
        flat = x.reshape(-1, x.shape[-1])
        product = flat.new_empty(len(flat), matrix.shape[1])
        for rows, columns in blocks.columns:
            torch.mm(flat[:, rows], matrix[rows, columns], out=product[:, columns])
        return product.view(*x.shape[:-1], -1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.matrix, ctx.blocks = inputs

    @staticmethod
    def backward(ctx, gradient):
        turned = ctx.matrix.t().to(gradient.dtype)
        return multiply(gradient, turned, ctx.blocks.turned), None, None


def _split(matrix):
    """Ranges of columns and the rows that are not 0 in them, divided where it saves most."""
    n_rows, n_columns = matrix.shape
    place, reached = torch.arange(n_rows)[:, None], matrix != 0
    first = torch.where(reached, place, n_rows).amin(0)
    last = torch.where(reached, place + 1, 0).amax(0)

    def height(columns):
        """Rows of the block of the first 1, 2, ... of these columns."""
        top, bottom = last[columns].cummax(0)[0], first[columns].cummin(0)[0]
        return (top - bottom).clamp_min(0)

    def split(start, stop):
        columns = torch.arange(start, stop)
        left, right = height(columns), height(columns.flip(0)).flip(0)
        width = torch.arange(1, len(columns))
        cells = left[:-1] * width + right[1:] * width.flip(0)
        if len(cells) and left[-1] * len(columns) - cells.min() > WORTH:
            middle = start + 1 + int(cells.argmin())
            return split(start, middle) + split(middle, stop)
        bottom = int(first[columns].min())
        return [(slice(bottom, bottom + int(left[-1])), slice(start, stop))]

    return split(0, n_columns)


def once_for(X, setting, function):
    """``function(X)``, computed once as long as ``X`` and ``setting`` (a list) are the same.

    Not where somebody may want the gradient, and anew when X or the answer was changed in place.
    """
    if PLAIN or X.requires_grad or X.is_inference() or torch.compiler.is_compiling():
        return function(X)
    answer, versions, known = _KNOWN.get(X, (None, None, ()))
    same = len(known) == len(setting) and all(map(operator.is_, known, setting))
    if not same or versions != (X._version, answer._version):
        answer = function(X)
        if not answer.requires_grad:
            _KNOWN[X] = answer, (X._version, answer._version), setting
    return answer


def magnitude_of(spectrum):
    """``|S|`` of a complex STFT of any shape.

    To the bit what ``abs`` gives. On a CPU that is slow, for it goes through pairs of numbers.
    """
    if PLAIN or spectrum.requires_grad or spectrum.device.type != "cpu":
        return spectrum.abs()  # whose gradient is 0 where the spectrum is
    real, imaginary = torch.view_as_real(spectrum).unbind(-1)
    return real.contiguous().hypot_(imaginary.contiguous())
