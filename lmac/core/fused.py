"""Convolution, norm and ReLU as one, where nobody looks in between."""

import torch
import torch.nn.functional as F
from torch import nn


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
    if any(map(_has_hooks, modules)):
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
