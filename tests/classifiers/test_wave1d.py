"""The 1-D CNN on raw waveforms."""

import pytest
import torch
from torch import nn

from lmac.classifiers import Wave1d


def test_shapes_relus_and_gradients():
    network = Wave1d(width=4).eval()
    used = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(lambda *_, name=name: used.append(name))
    embedding, maps = network(torch.randn(2, 16000))
    assert embedding.shape == (2, 1, 16) == (2, 1, network.emb_dim)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (4, 250, 1), (4, 62, 1), (8, 15, 1), (8, 3, 1), (16, 3, 1)
    ]  # fmt: skip
    assert len(used) == len(set(used)) == 10
    gradients = torch.autograd.grad(embedding.sum(), maps)
    assert all(g.abs().sum() > 0 for g in gradients)


def test_the_shortest_clip():
    network = Wave1d(width=2).eval()
    network(torch.randn(1, 4096))
    with pytest.raises(ValueError, match="Wave1d needs at least 4096 samples, got 4000"):
        network(torch.randn(1, 4000))


def test_width_is_the_number_of_learned_filters():
    assert Wave1d(width=6).filters[0].weight.shape == (6, 1, 128)
    assert Wave1d(width=6).emb_dim == 24
