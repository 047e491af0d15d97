"""aisfx: the front end by hand and against the package, the checkpoint, the frozen embedding."""

import importlib.util
import io
import json
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn

import train_classifier
from lmac.classifiers import Cnn14
from lmac.classifiers import aisfx as module
from lmac.classifiers.aisfx import Aisfx, AisfxFrontEnd, checkpoint_path, pretrained_weights
from lmac.core.domain import get_domain
from lmac.training.embeddings import load_start

HAS = {name: importlib.util.find_spec(name) is not None for name in ("aisfx", "librosa")}


def by_hand(wav):
    """The features in float64 NumPy, from the definitions."""
    wav = np.pad(wav.astype(np.float64), 1024)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    frames = [wav[i : i + 2048] * window for i in range(0, len(wav) - 2047, 1024)]
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = np.linspace(0, 2595 * np.log10(1 + 22050 / 700), 98)
    edges, bins = 700 * (10 ** (mel / 2595) - 1), np.arange(1025) * 44100 / 2048
    features = []
    for low, centre, high in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
        triangle = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
        triangle = np.maximum(triangle, 0)
        features.append(power @ (triangle / triangle.sum()))
    return np.log10(1 + 10000 * np.stack(features, 1)) / 9.457798957824707


@pytest.fixture(scope="module")
def clip():
    t = torch.arange(30000) / 44100
    torch.manual_seed(0)
    return (0.6 * torch.sin(6.2832 * 900 * t) * t + 0.02 * torch.randn(30000))[None]


def test_the_front_end_by_hand(clip):
    front_end = AisfxFrontEnd()
    for name in ("stft", "mel"):
        domain = get_domain(name, front_end)
        X, phase = domain.analyse(clip)
        features = domain.to_features(X, phase)[0]
        assert features.shape == (30, 96) == by_hand(clip[0].numpy()).shape
        assert np.abs(features.numpy() - by_hand(clip[0].numpy())).max() < 1e-5
    assert X.shape == (1, 30, 96) and features.max() > 0.3
    assert front_end.hop_samples == 1024 and front_end.window[0] == 0


def test_the_sound_comes_back(clip):
    domain = get_domain("stft", AisfxFrontEnd(), signal_path="waveform")
    again = domain.synthesise(*domain.analyse(clip))
    assert (again - clip)[:, :-2048].abs().max() < 1e-4


def checkpoint_like_theirs(path, extra=None, width=64):
    """Tensors, and a table with NumPy scalars under the name that NumPy 1 gave them."""
    torch.manual_seed(3)
    model = Aisfx(width)
    weights = {f"embedding_net.{k}": v for k, v in model.state_dict().items()}
    weights["fc.0.0.weight"] = torch.zeros(2, 2)
    content = (weights, {"prosfx": (np.int64(0), 78), "more": extra})

    class OldNames(pickle._Pickler):
        def save_global(self, obj, name=None):
            if obj is np._core.multiarray.scalar:
                self.write(b"cnumpy.core.multiarray\nscalar\n")
                self.memoize(obj)
            else:
                super().save_global(obj, name)

        dispatch = {**pickle._Pickler.dispatch}

    dispatch = OldNames.dispatch
    dispatch[type(np._core.multiarray.scalar)] = OldNames.save_global

    class Renaming:
        Pickler, Unpickler = OldNames, pickle.Unpickler
        HIGHEST_PROTOCOL = pickle.HIGHEST_PROTOCOL

    torch.save(content, path, pickle_module=Renaming)
    return model


def test_the_checkpoint_is_read_and_nothing_else_is_let_through(tmp_path):
    path = tmp_path / "checkpoint.pth"
    model = checkpoint_like_theirs(path)
    found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    assert set(found) == {"numpy.dtype", "numpy.core.multiarray.scalar"}
    weights = pretrained_weights(path)
    assert set(weights) == set(model.state_dict())
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    # What is allowed for this file is forgotten afterwards.
    allowed = [str(entry) for entry in torch.serialization.get_safe_globals()]
    assert not any("numpy" in entry or "scalar" in entry for entry in allowed)
    with pytest.raises(Exception, match="[Ww]eights"):
        torch.load(path, weights_only=True)


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (self.target, "w"))


def test_a_checkpoint_cannot_run_code(tmp_path):
    path = tmp_path / "checkpoint.pth"
    checkpoint_like_theirs(path, extra=Payload(str(tmp_path / "ran")), width=2)
    with pytest.raises(ValueError, match="is not the checkpoint of aisfx: pip install"):
        pretrained_weights(path)
    assert not (tmp_path / "ran").exists()
    path.write_bytes(io.BytesIO(b"no").getvalue())
    with pytest.raises(ValueError, match="is not the checkpoint of aisfx"):
        pretrained_weights(path)


def test_a_missing_package_gives_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install --no-deps aisfx==0.1.2$") as error:
        Aisfx().load_pretrained()
    assert "\n" not in str(error.value)


def test_a_narrow_one_has_no_published_weights():
    """It can be trained from scratch, but not frozen."""
    network = Aisfx(width=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_start(network, None, frozen=False)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(ValueError, match="freeze_embedding: this embedding model comes without"):
        load_start(network, None, frozen=True)


def test_relus_are_modules_used_once_and_short_clips_are_named():
    network, used = Aisfx(width=2).eval(), []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(lambda *_, name=name: used.append(name))
    embedding, maps = network(torch.rand(2, 33, 96))
    assert len(used) == len(set(used)) == 8
    assert embedding.shape == (2, 1, 16)
    assert [tuple(m.shape[1:]) for m in maps] == [(2, 16, 48), (4, 8, 24), (8, 4, 12), (16, 4, 12)]
    with pytest.raises(ValueError, match="at least 8 frames, got 7"):
        network(torch.rand(1, 7, 96))


@pytest.mark.skipif(not HAS["aisfx"], reason=module.INSTALL)
def test_the_package_s_network_agrees():
    cnn2d = importlib.import_module("aisfx.models.cnn2d")
    theirs, ours = cnn2d.EmbeddingNet("max", 3, 1, 64).eval(), Aisfx().eval()
    theirs.load_state_dict(pretrained_weights(checkpoint_path()))
    ours.load_pretrained()
    features = torch.rand(2, 40, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(features)[0][:, 0], theirs(features))


@pytest.mark.skipif(not all(HAS.values()), reason="needs the packages aisfx and librosa")
def test_the_package_s_front_end_agrees(clip, tmp_path):
    import soundfile

    library = importlib.import_module("aisfx.spectrogram.spectrogram_librosa")
    wav = clip[0] / clip.abs().max()
    soundfile.write(tmp_path / "clip.wav", wav.numpy(), 44100, subtype="FLOAT")
    theirs = library.compute_spectrogram(
        tmp_path / "clip.wav", 44100, 2048, 1024, 96, 0.0, 22050.0
    ).T / 9.457798957824707  # fmt: skip
    front_end = AisfxFrontEnd()
    ours = front_end.log_mel(front_end(wav[None]).abs())[0].numpy()
    assert np.abs(ours - theirs).max() < 1e-5


# ---- Frozen embedding and trained head ---------------------------------------------------------
TINY = [
    "hparams/classifier.yaml", "--dataset_yaml=hparams/datasets/builtin.yaml",
    "--classifier_yaml=hparams/classifiers/aisfx.yaml", "--clips_per_class=5",
    "--signal_length_s=0.5", "--classifier_width=4", "--sample_rate=16000", "--n_fft=256",
    "--win_length=16", "--hop_length=8",
    "--number_of_epochs=5", "--batch_size=10", "--lr=0.03", "--mixup=0", "--device=cpu",
]  # fmt: skip


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package aisfx of width 4 in the place of the real one."""
    folder = tmp_path / "packages" / "aisfx"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('only its weights are wanted')")
    model = checkpoint_like_theirs(folder / "models" / "checkpoint.pth", width=4)
    monkeypatch.setattr(module, "WIDTH", 4)
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.delitem(sys.modules, "aisfx", raising=False)
    return model


def test_only_the_head_is_trained(installed, tmp_path, monkeypatch):
    calls = []
    forward = Aisfx.forward
    monkeypatch.setattr(Aisfx, "forward", lambda s, x: (calls.append(len(x)), forward(s, x))[1])
    arguments = [*TINY, f"--results_folder={tmp_path}", f"--output_folder={tmp_path}/head"]
    train_classifier.main(arguments)
    assert sum(calls) == 50  # each clip once, whatever the number of epochs
    best = tmp_path / "head" / "best"
    state = torch.load(best / "embedding_model.ckpt", weights_only=True)
    for name, value in installed.state_dict().items():
        assert torch.equal(state[name], value), name  # statistics too
    log = (tmp_path / "head" / "train_log.txt").read_text().splitlines()
    losses = [float(x.split("train loss: ")[1].split(",")[0]) for x in log if "train loss" in x]
    assert losses[-1] < losses[0] and torch.load(best / "classifier.ckpt")["bias"].std() > 0.01
    assert json.loads((best / "info.json").read_text())["classifier"].startswith("aisfx")
    # A second run finds the embeddings, another front end does not.
    calls.clear()
    train_classifier.main([*arguments, f"--output_folder={tmp_path}/again"])
    assert not calls
    train_classifier.main([*arguments, f"--output_folder={tmp_path}/other", "--n_fft=512"])
    assert sum(calls) == 50


def test_weights_to_start_from(tmp_path):
    model = Cnn14(width=2)
    with pytest.raises(ValueError, match="freeze_embedding: .*comes without weights.*checkpoint"):
        load_start(model, None, frozen=True)
    load_start(model, None, frozen=False)
    other = Cnn14(width=2)
    torch.save(other.state_dict(), tmp_path / "embedding_model.ckpt")
    load_start(model, tmp_path, frozen=True)
    assert torch.equal(model.conv_block1.conv1.weight, other.conv_block1.conv1.weight)
