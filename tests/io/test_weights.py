"""Checkpoints as people have them are read, and what cannot be is said in one sentence."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lmac.io.weights import load_weights, read_weights


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


STATE = network().state_dict()
WRAPPED = {
    "plain": STATE,
    "state_dict": {"state_dict": STATE, "epoch": 9, "loss": torch.tensor(0.5)},
    "model": {"model": STATE, "optimizer": {"state": {}, "param_groups": []}},
    "nested twice": {"model": {"state_dict": STATE}},
    "DataParallel": prefixed(STATE, "module."),
    "Lightning": {"state_dict": prefixed(STATE, "net."), "pytorch-lightning_version": "2.0"},
    "DataParallel in Lightning": {"state_dict": prefixed(STATE, "model.module.")},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_it_is_unwrapped(tmp_path, kind):
    torch.save(WRAPPED[kind], tmp_path / "x.pt")
    torch.manual_seed(2)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    loaded = load_weights(other, tmp_path / "x.pt", "network").state_dict()
    assert all(torch.equal(loaded[name], STATE[name]) for name in STATE)


def test_safetensors_are_read(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors")
    found = read_weights(tmp_path / "x.safetensors", "network")
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="bad.safetensors is not a readable safetensors file"):
        read_weights(tmp_path / "bad.safetensors", "network")


WEIGHT = STATE["0.weight"]
WRONG = {
    "a number": ({**STATE, "0.weight": 3.0}, "0.weight is a float, not a tensor"),
    "sparse": ({**STATE, "0.weight": WEIGHT.to_sparse()}, "0.weight is sparse"),
    "quantised": (
        {**STATE, "0.weight": torch.quantize_per_tensor(WEIGHT, 0.1, 0, torch.qint8)},
        "0.weight is quantised",
    ),
    "complex": ({**STATE, "0.weight": WEIGHT + 1j}, "0.weight is complex"),
    "another shape": (
        {**STATE, "0.weight": WEIGHT[:2]}, "has shape \\(2, 3\\) instead of \\(4, 3\\)",
    ),
    "two networks": ({"model": STATE, "net": STATE}, "holds 'model', 'net', none of them the one"),
    "nothing of a network": ({"epoch": 9}, "holds 'epoch', none of them the one state dict"),
    "a list": ([1, 2], "holds a list, expected a state dict"),
    "a prefix of some": (
        {**prefixed(STATE, "a."), "b.x": WEIGHT}, "another architecture than the network",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_fit_is_one_sentence(tmp_path, kind):
    content, said = WRONG[kind]
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=said):
        load_weights(network(), tmp_path / "x.pt", "network")
