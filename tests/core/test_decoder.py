"""Decoders: shapes, cover, gradients, and the published one against SpeechBrain."""

import pytest
import torch
from conftest import make_explained
from speechbrain.lobes.models.Cnn14 import CNN14PSI_stft
from torch import nn

from lmac.core.decoder import Condition, EncoderDecoder, PSIDecoder, Summary, TopDownDecoder
from lmac.settings.load import load


def inputs(explained, n_samples, batch=2):
    X, _ = explained.domain.analyse(0.3 * torch.randn(batch, n_samples))
    with torch.no_grad():
        logits, representations = explained(X)
    return X, representations, logits.argmax(1)


@pytest.mark.parametrize("kind,domain", [("cnn14", "stft"), ("cnn14", "mel"), ("conv2d", "stft")])
@pytest.mark.parametrize("n_samples", [6000, 16000, 16185, 33333])
def test_a_mask_for_every_frame_and_bin(kind, domain, n_samples):
    explained = make_explained(kind, domain)
    X, representations, target = inputs(explained, n_samples)
    decoder = TopDownDecoder(*explained.output_sizes(), hidden=8, detail=4).eval()
    logits = decoder(representations, X, target, explained.domain)
    assert logits.shape == X.shape
    assert logits.isfinite().all()


def test_every_cell_depends_on_the_representations():
    """No frame or bin is left uncovered, the last ones least of all."""
    explained = make_explained()
    X, representations, target = inputs(explained, 16185, batch=1)
    decoder = TopDownDecoder(*explained.output_sizes(), hidden=8, detail=4, head=3).eval()
    one = decoder(representations, X, target, explained.domain)
    two = decoder([2 * r + 1 for r in representations], X, target, explained.domain)
    assert ((one - two).abs() > 0).all()


def test_a_fresh_mask_is_undecided():
    explained = make_explained()
    X, representations, target = inputs(explained, 16000)
    mask = TopDownDecoder(*explained.output_sizes())(
        representations, X, target, explained.domain
    ).sigmoid()
    assert 0.3 < mask.mean() < 0.7


def test_gradients_reach_every_decoder_parameter_and_no_classifier_parameter():
    explained = make_explained()
    X, representations, target = inputs(explained, 16000)
    decoder = TopDownDecoder(*explained.output_sizes(), hidden=8, detail=4, conditioned=True)
    mask = decoder(representations, X, target, explained.domain).sigmoid()
    explained.logits(mask * X).logsumexp(1).sum().backward()
    for name, parameter in decoder.named_parameters():
        if name.endswith("film.weight"):  # the columns of the explained classes only
            assert set(torch.nonzero(parameter.grad.abs().sum(0)).flatten().tolist()) == set(
                target.tolist()
            )
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert all(p.grad is None for p in explained.parameters())


@pytest.mark.parametrize("conditioned", [False, True])
def test_the_mask_depends_on_the_class_only_when_told(conditioned):
    explained = make_explained()
    X, representations, target = inputs(explained, 16000)
    decoder = TopDownDecoder(*explained.output_sizes(), conditioned=conditioned).eval()
    one, two = (
        decoder(representations, X, torch.full_like(target, c), explained.domain) for c in (0, 1)
    )
    assert bool((one - two).abs().max() > 1e-4) == conditioned


def test_a_class_is_a_vector_like_any_other():
    """A one-hot vector is its class, and a decoder for vectors of another size takes those."""
    explained = make_explained()
    X, representations, target = inputs(explained, 16000)
    channels, n_classes = explained.output_sizes()
    told = TopDownDecoder(channels, n_classes, conditioned=True).eval()
    one_hot = torch.eye(n_classes + 1)[target]
    assert torch.equal(
        told(representations, X, target, explained.domain),
        told(representations, X, one_hot, explained.domain),
    )
    read = TopDownDecoder(channels, n_classes, conditioned=True, condition_size=7).eval()
    assert read.settings["condition_size"] == 7
    one, two = (
        read(representations, X, vector.expand(len(X), 7), explained.domain)
        for vector in torch.nn.functional.normalize(torch.randn(2, 7))
    )
    assert one.shape == X.shape and not torch.allclose(one, two)


def test_a_condition_scales_and_shifts_each_channel():
    condition = Condition(3, 2)
    condition.film.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0]])
    condition.film.bias.data = torch.tensor([0.0, 0, 0, 0.5])
    scale, shift = condition(torch.tensor([[1.0, 2, 3]]))
    # scales 1 + (1, 2), shifts (3, 2 * 1 + 0.5)
    assert scale.shape == shift.shape == (1, 2, 1, 1)
    assert scale.flatten().tolist() == [2.0, 3.0] and shift.flatten().tolist() == [3.0, 2.5]


def test_the_summary_pools_as_cnn14_does():
    summary = Summary(3, 2)
    norm, linear = summary.project
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    maps = torch.zeros(1, 3, 2, 2)
    maps[0, 0, 0, 1], maps[0, 1] = 4.0, 1.0
    # Mean plus maximum: 1 + 4, 1 + 1, 0. Less their mean, 7 / 3: 8 / 3, -1 / 3, -7 / 3.
    expected = torch.tensor([8.0, -1.0]) / 65**0.5
    torch.testing.assert_close(summary(maps)[0], expected)


def test_every_frame_depends_on_what_is_anywhere_in_the_clip():
    """Through the summary: the convolutions alone do not reach from the first frame to the last."""
    explained = make_explained()
    X, representations, target = inputs(explained, 60000, batch=1)
    decoder = TopDownDecoder(*explained.output_sizes(), hidden=8, detail=4, head=3).eval()
    one = decoder(representations, X, target, explained.domain)
    representations[-1] = representations[-1].clone()
    representations[-1][:, :, 0] += torch.randn(representations[-1].shape[1], 1).abs()
    two = decoder(representations, X, target, explained.domain)
    assert representations[-1].shape[2] > 9 and ((one - two).abs().amax(2) > 1e-4).all()


def test_levels_are_scaled_and_shifted_before_they_are_smoothed():
    """As written in the docstring of Condition, without the shift's detour to fewer cells."""
    explained = make_explained()
    X, representations, target = inputs(explained, 16000)
    decoder = TopDownDecoder(*explained.output_sizes(), hidden=8, detail=4).eval()
    vector, level = decoder.summary(representations[-1]), None
    for i in reversed(range(len(representations))):
        scale, shift = decoder.conditions[i](vector)
        h = decoder.laterals[i](representations[i]) * scale + shift
        if level is not None:
            h = h + nn.functional.interpolate(level, size=h.shape[2:])
        level = decoder.smooth[i](h)
    seen = []
    decoder.reduce.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    decoder(representations, X, target, explained.domain)
    torch.testing.assert_close(seen[0], level)


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_detail_follows_what_stands_out_in_a_band(gain):
    """With a positive contrast alone, the louder of two bins of one band is kept more."""
    explained = make_explained()
    X, representations, target = inputs(explained, 16000)
    decoder = TopDownDecoder(*explained.output_sizes(), gain=gain).eval()
    with torch.no_grad():
        decoder.head.weight.zero_()
        decoder.head.bias.copy_(torch.tensor([0.0, 1.0]))
    logits = decoder(representations, X, target, explained.domain)
    same_band = explained.domain.front_end.band_matrix[79] == 1
    bins = torch.nonzero(same_band).flatten()[:2]
    assert len(bins) == 2
    torch.testing.assert_close(
        logits[..., bins[0]] - logits[..., bins[1]], gain * (X[..., bins[0]] - X[..., bins[1]])
    )


@pytest.mark.parametrize("kind,domain", [("cnn14", "stft"), ("cnn14", "mel"), ("conv2d", "stft")])
@pytest.mark.parametrize("reads_input", [False, True])
def test_without_reading_the_input_the_mask_depends_on_the_representations_alone(
    kind, domain, reads_input
):
    explained = make_explained(kind, domain)
    X, representations, target = inputs(explained, 16185)
    size = {"hidden": 8, "detail": 4, "head": 3, "reads_input": reads_input}
    decoder = TopDownDecoder(*explained.output_sizes(), **size)
    for train in (True, False):
        decoder.train(train)
        one, two = (
            decoder(representations, x, target, explained.domain) for x in (X, torch.rand_like(X))
        )
        assert one.shape == X.shape and torch.equal(one, two) == (not reads_input)
    other = decoder([2 * r + 1 for r in representations], X, target, explained.domain)
    assert ((one - other).abs() > 0).all()
    decoder(representations, X, target, explained.domain).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in decoder.parameters())
    if not reads_input and domain == "stft" and kind == "cnn14":
        # One number a band: bins of one band get the same.
        band = torch.nonzero(explained.domain.front_end.band_matrix[79] == 1).flatten()
        assert torch.equal(one[..., band[0]], one[..., band[1]])


def test_reading_the_input_or_not_is_a_setting():
    here = {"data_folder": "x", "classifier_checkpoint": "x"}
    for value in (True, False):
        hparams, _ = load("hparams/lmac.yaml", {**here, "decoder_reads_input": value})
        assert hparams["decoder"]([8], 5).settings["reads_input"] is value
    assert load("hparams/lmac.yaml", here)[0]["decoder_reads_input"] is True
    encoder = {"decoder_yaml": "hparams/decoders/encoder.yaml", "decoder_reads_input": False}
    hparams, _ = load("hparams/lmac.yaml", {**here, **encoder})
    with pytest.raises(ValueError, match="reads nothing but X, so decoder_reads_input: False"):
        hparams["decoder"]([], 5)
    assert EncoderDecoder([], 5).settings["reads_input"] is True


def film():
    layer = nn.Linear(4, 8)
    nn.init.normal_(layer.weight, std=0.3)
    return layer.weight


def test_the_default_decoder_is_drawn_as_it_always_was():
    """Layers in the order of their random numbers; and with the same names."""
    torch.manual_seed(0)
    state = TopDownDecoder([4, 8], 5, hidden=4, detail=3, head=3).state_dict()
    torch.manual_seed(0)
    drawn = [
        *(nn.Conv2d(c, 4, 1, bias=False).weight for c in (4, 8)),
        *nn.Linear(8, 4).parameters(),
        *(film() for _ in range(2)),
        *(nn.Conv2d(4, 4, 3, bias=False).weight for _ in range(2)),
        *nn.Conv2d(4, 3, 1).parameters(),
        nn.Conv2d(4, 3, 3, bias=False).weight,
        0.1 * nn.Conv2d(3, 2, 3).weight,
    ]
    names = ["laterals.0.0.weight", "laterals.1.0.weight"]
    names += ["summary.project.1.weight", "summary.project.1.bias"]
    names += ["conditions.0.film.weight", "conditions.1.film.weight"]
    names += ["smooth.0.0.weight", "smooth.1.0.weight"]
    names += ["reduce.weight", "reduce.bias", "detail.0.weight", "head.weight"]
    for name, weight in zip(names, drawn, strict=True):
        assert torch.equal(state[name], weight), name
    norms = ("laterals.0.1", "laterals.1.1", "smooth.0.1", "smooth.1.1", "feature_norm", "detail.1")
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert state["gain"] == 4
    names += ["conditions.0.film.bias", "conditions.1.film.bias", "head.bias", "gain"]
    names += ["summary.project.0.weight", "summary.project.0.bias"]
    assert set(state) == {*names, *(f"{n}.{p}" for n in norms for p in parts)}


def test_another_number_of_representations_is_refused():
    explained = make_explained()
    X, representations, target = inputs(explained, 16000)
    decoder = TopDownDecoder([8, 8], 5)
    with pytest.raises(ValueError, match="built for 2 representations, the classifier gives 6"):
        decoder(representations, X, target, explained.domain)


def test_the_published_decoder_is_speechbrain_s():
    explained = make_explained()
    X, representations, target = inputs(explained, 201 * 186 - 186)
    assert X.shape[1] == 201
    theirs = CNN14PSI_stft(128, 1)
    ours = PSIDecoder(*explained.output_sizes(), domain="stft")
    ours.load_state_dict(theirs.state_dict())
    assert set(ours.state_dict()) == set(theirs.state_dict())
    expected = theirs(representations[:-5:-1]).squeeze(1)
    logits = ours(representations, X, target, explained.domain)
    assert logits.shape == X.shape
    frames = min(expected.shape[1], X.shape[1])
    torch.testing.assert_close(logits[:, :frames], expected[:, :frames, :513])


def test_the_published_decoder_names_what_it_cannot_do():
    explained = make_explained()
    decoder = PSIDecoder(*explained.output_sizes())
    refused = 0
    for frames in range(190, 222):
        X, representations, target = inputs(explained, (frames - 1) * 186, batch=1)
        try:
            assert decoder(representations, X, target, explained.domain).shape == X.shape
        except ValueError as error:
            assert f"cannot take clips of {frames} frames" in str(error)
            refused += 1
    assert 16 <= refused < 32
    with pytest.raises(ValueError, match="PSIDecoder follows CNN14"):
        PSIDecoder([8, 8, 8, 8, 8])


def test_size():
    """Narrow CNN14: a tenth of the published decoder would still be 0.7 M."""
    channels = [16 * 2**i for i in range(6)]
    ours = sum(p.numel() for p in TopDownDecoder(channels, 10).parameters())
    assert ours < 0.12e6
    with torch.device("meta"):
        theirs = sum(p.numel() for p in PSIDecoder(channels).parameters())
    assert theirs > 10 * ours
