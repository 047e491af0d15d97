"""Representations from named layers."""

import pytest
import torch
from conftest import make_explained
from torch import nn

from interpreters.gradcam import GradCAM
from interpreters.guided import GuidedBackprop, GuidedGradCAM
from lmac.classifiers import AudioClassifier, Cnn14, Network
from lmac.classifiers.layers import LayerTap, as_map
from lmac.core.decoder import EncoderDecoder, TopDownDecoder
from lmac.core.domain import get_domain
from lmac.core.explained import ExplainedClassifier


class Tokens(nn.Module):
    """A network with a layer of each kind: maps, 1-D maps, tokens and a tuple."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 6, 50, 25)
        self.act = nn.GELU()
        self.mix = nn.Linear(6, 8)
        self.rnn = nn.GRU(8, 7, batch_first=True)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(7, 4)

    def forward(self, wav):
        x = self.act(self.conv(wav.unsqueeze(1))).transpose(1, 2)
        x, _ = self.rnn(self.mix(x).square())
        return self.head(x.mean(1))


LAYERS = {"conv": None, "mix": "BTC", "rnn": "BTC"}


def explained_tokens(layers=LAYERS, front_end=None):
    torch.manual_seed(0)
    front_end = front_end or make_explained().domain.front_end
    network = Network(Tokens(), layers=layers)
    domain = get_domain("stft", front_end, reads="waveform")
    return ExplainedClassifier(domain, AudioClassifier(network, nn.Identity()))


def hooks(module):
    return [h for m in module.modules() for h in (*m._forward_hooks, *m._forward_pre_hooks)]


def test_maps_axes_and_no_hook_left(wav):
    network = Tokens()
    plain = network(wav)
    tap = LayerTap(network, LAYERS)
    logits, maps = tap(network, wav)
    assert torch.equal(logits, plain)
    assert [tuple(m.shape) for m in maps] == [(3, 6, 639, 1), (3, 8, 639, 1), (3, 7, 639, 1)]
    assert torch.equal(maps[0][:, :, :, 0], network.conv(wav.unsqueeze(1)))
    torch.testing.assert_close(network.head(maps[2][:, :, :, 0].mean(2)), logits)
    assert not hooks(network)
    with pytest.raises(RuntimeError):
        tap(network, wav.unsqueeze(1))
    assert not hooks(network)  # nor after an error


def test_the_answer_has_a_gradient_to_every_map(wav):
    network = Tokens()
    logits, maps = LayerTap(network, LAYERS)(network, wav)
    gradients = torch.autograd.grad(logits[:, 1].sum(), maps)
    assert all(g.abs().sum() > 0 for g in gradients)
    # By hand for the last one: the mean over time, then the head.
    expected = network.head.weight[1] / 639
    torch.testing.assert_close(gradients[2][0, :, 5, 0], expected)


@pytest.mark.parametrize("axes", ["BCTF", "BCFT", "BTFC", "BCT", "BTC", "BC"])
def test_every_order_of_axes_and_back(axes):
    sizes = {"B": 2, "C": 3, "T": 4, "F": 5}
    tensor = torch.rand([sizes[a] for a in axes])
    output, back = as_map(tensor, axes)
    assert output.shape == tuple(sizes[a] if a in axes else 1 for a in "BCTF")
    index = {"B": 1, "C": 2, "T": 3, "F": 4}
    value = tensor[tuple(index[a] for a in axes)]
    assert output[tuple(index[a] if a in axes else 0 for a in "BCTF")] == value
    assert torch.equal(back(output), tensor)


def test_patches_of_a_spectrogram_become_its_map():
    bands, frames = 2, 3
    patches = torch.stack([torch.tensor([float(f), float(t)]) for f in range(bands)
                           for t in range(frames)])  # fmt: skip
    tokens = torch.cat([torch.full((2, 2), -1.0), patches])[None]
    output, back = as_map(tokens, "BTC", grid=(2, bands, frames))
    assert output.shape == (1, 2, frames, bands)
    assert output[0, :, 2, 1].tolist() == [1.0, 2.0]
    assert torch.equal(back(output), tokens)


def test_named_layers_give_what_our_own_classifier_gives(wav):
    explained = make_explained()
    own = explained.classifier.embedding_model

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.head = own, explained.classifier.classifier

        def forward(self, features):
            return self.head(self.model(features)[0]).squeeze(1)

    layers = [f"model.conv_block{i}" for i in range(1, 7)]
    network = Network(Whole(), reads="mel", layers=layers)
    named = ExplainedClassifier(explained.domain, AudioClassifier(network, nn.Identity()))
    X, _ = explained.domain.analyse(wav)
    logits, maps = explained(X)
    their_logits, their_maps = named(X)
    assert torch.equal(logits, their_logits)
    assert all(torch.equal(a, b) for a, b in zip(maps, their_maps, strict=True))
    target = logits.argmax(1)
    assert torch.equal(GradCAM(named).explain(X, target), GradCAM(explained).explain(X, target))


def test_an_unknown_layer_lists_those_there_are():
    with pytest.raises(ValueError, match="no layer 'mixx'; it has mix, .*conv.*head"):
        Network(Tokens(), layers=["mixx"])
    names = [n for n, _ in Cnn14(width=2).named_modules() if n]
    with pytest.raises(ValueError, match=f"conv_block1.*and {len(names) - 40} more"):
        Network(Cnn14(width=2), layers=["conv_blok1"])


def test_layers_that_do_not_fit_are_refused_by_name(wav):
    with pytest.raises(ValueError, match="did not use its layer 'unused'"):
        LayerTap(network := Tokens(), ["unused"])(network, wav)
    with pytest.raises(ValueError, match="axes 'BTX' of 'mix': expected B, C"):
        LayerTap(Tokens(), {"mix": "BTX"})
    with pytest.raises(ValueError, match="'mix' gives shape .*expected the axes BCTF.*mix: BTC"):
        LayerTap(network := Tokens(), {"mix": "BCTF"})(network, wav)


def test_a_network_must_answer_with_logits(wav):
    with pytest.raises(ValueError, match="must answer with logits .batch, classes., not .3, 639"):
        Network(nn.Sequential(nn.Unflatten(1, (1, 16000)), nn.Conv1d(1, 639, 16000)))(wav)


def test_methods_that_cannot_say_so_by_name(wav):
    for layers, why in (([], "GradCAM needs a classifier with spatial"), (["head"], "GradCAM")):
        with pytest.raises(ValueError, match=why) as error:
            GradCAM(explained_tokens(layers))
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="Guided Backprop changes the gradient of nn.ReLU"):
        GuidedBackprop(explained_tokens())
    with pytest.raises(ValueError, match="Guided GradCAM changes the gradient of nn.ReLU"):
        GuidedGradCAM(explained_tokens())
    with pytest.raises(ValueError, match="TopDownDecoder reads .*encoder.yaml"):
        TopDownDecoder(*explained_tokens([]).output_sizes())


@pytest.mark.parametrize("layers", [LAYERS, []])
def test_a_decoder_for_any_layers_or_none(layers, wav):
    explained = explained_tokens(layers)
    X, phase = explained.domain.analyse(wav)
    _, representations = explained(X, phase)
    make = TopDownDecoder if layers else EncoderDecoder
    decoder = make(*explained.output_sizes(), hidden=8, detail=4)
    mask = decoder(representations, X, None, explained.domain).sigmoid()
    assert mask.shape == X.shape and mask.std() > 0
    explained.logits(mask * X, phase).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in decoder.parameters())
    assert sum(float(p.grad.abs().sum()) for p in decoder.parameters()) > 0


def test_the_encoder_is_conditioned_as_the_decoder_is(wav):
    explained = explained_tokens([])
    X, _ = explained.domain.analyse(wav)
    decoder = EncoderDecoder([], 4, hidden=8, detail=4, conditioned=True).eval()
    assert decoder.conditions[0].film.in_features == 5  # the classes and how probable
    one, two = (decoder([], X, torch.full((3,), c), explained.domain) for c in (0, 1))
    assert not torch.equal(one, two)


def test_weights_of_one_s_own_file(tmp_path):
    torch.manual_seed(1)
    theirs = Tokens()
    torch.save(theirs.state_dict(), tmp_path / "mine.pt")
    network = Network(Tokens(), weights=tmp_path / "mine.pt")
    assert network.complete and torch.equal(network.network.head.weight, theirs.head.weight)
    with pytest.raises(FileNotFoundError, match="No network weights at .*other.pt"):
        Network(Tokens(), weights=tmp_path / "other.pt")
