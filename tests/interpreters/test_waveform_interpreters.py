"""Every interpreter on the waveform path: each clip sounds with its own phase."""

from types import SimpleNamespace

import pytest
import torch
from captum.attr import GradientShap, IntegratedGradients, NoiseTunnel, Saliency
from conftest import make_explained
from speechbrain import Stage

from interpreters.base import Logits, parts
from interpreters.l2i import L2INetwork
from interpreters.piq import PIQNetwork
from lmac.checkpoints import build_decoder
from lmac.core.decoder import TopDownDecoder
from lmac.core.domain import Phase
from lmac.core.losses import lmac_loss
from lmac.core.scoring import get_interpreters
from lmac.settings.load import load, merge
from lmac.training.l2i import L2IBrain
from lmac.training.lmac import DecoderBrain

NAMES = list(merge("hparams/interpreters.yaml")["interpreters"])
DRAWN = ("SmoothGrad", "SHAP", "Random")
DETERMINISTIC = [n for n in NAMES if not n.startswith(DRAWN)]
LOOKING = [n for n in NAMES if n not in ("All-ones", "Random", "Oracle")]  # at the classifier


@pytest.fixture(scope="module")
def hparams(tmp_path_factory):
    """hparams/evaluation.yaml as it is, with checkpoints of a small decoder and a small L2I."""
    folder = tmp_path_factory.mktemp("decoder")
    hparams, _ = load(
        "hparams/evaluation.yaml",
        {"data_folder": "x", "results_folder": str(folder), "lmac_checkpoint": str(folder),
         "lmac_ft_checkpoint": str(folder), "lmac_zs_checkpoint": str(folder),
         "l2i_checkpoint": str(folder), "piq_checkpoint": str(folder),
         "decoder_hidden": 8, "decoder_detail": 4},
    )  # fmt: skip
    torch.manual_seed(0)
    decoder = build_decoder(hparams["decoder"], make_explained("wave1d"))
    torch.save(decoder.state_dict(), folder / "decoder.ckpt")
    l2i = L2INetwork(make_explained("wave1d"), torch.rand(513, 8), hidden=16)
    torch.save(l2i.state_dict(), folder / "l2i.ckpt")
    piq = PIQNetwork(make_explained("wave1d"), hidden=6, codes=40)
    torch.save(piq.state_dict(), folder / "piq.ckpt")
    return hparams


def clips(batch, explained):
    """Very different clips, for a wrong phase to matter."""
    t = torch.arange(6000) / 16000
    wav = torch.stack([0.5 * torch.sin(6.28 * f * t + f) * torch.rand(6000)
                       for f in (300.0, 1000.0, 3000.0)[:batch]])  # fmt: skip
    X, phase = explained.domain.analyse(wav)
    return X, explained.logits(X, phase).argmax(1), phase


def explain(interpreter, X, target, phase):
    interpreter.reset(1)
    more = {"clean_X": X * 0.5} if interpreter.needs_clean else {}
    return interpreter.explain(X, target, phase=phase, **more)


@pytest.fixture
def paired(monkeypatch):
    """A classifier that checks at each call that values and phases are of the same clip."""
    explained = make_explained("wave1d")
    torch.manual_seed(5)
    X, target, own = clips(3, explained)
    flat = torch.nn.functional.normalize(X.flatten(1))
    synthesise, rows = explained.domain.synthesise, []

    def checked(values, given):
        if given.n_samples != own.n_samples:  # the pass on silence that finds shapes
            return synthesise(values, given)
        likeness = torch.nn.functional.normalize(values.detach().flatten(1)) @ flat.t()
        for like, spectrum in zip(likeness, given.spectrum, strict=True):
            clip = int(like.argmax())
            assert like[clip] > 0.3
            if not torch.equal(spectrum, own.spectrum[clip]):
                raise AssertionError("the phase of another clip")
            rows.append(clip)
        return synthesise(values, given)

    monkeypatch.setattr(explained.domain, "synthesise", checked)
    return explained, X, target, own, rows


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_interpreter_runs(name, batch, hparams):
    explained = make_explained("wave1d")
    X, target, phase = clips(batch, explained)
    interpreter = get_interpreters(hparams["interpreters"], [name], explained)[name]
    with torch.no_grad():
        mask = explain(interpreter, X, target, phase)
    assert mask.shape == X.shape and mask.isfinite().all() and not mask.requires_grad
    assert mask.min() >= 0 and mask.max() <= 1 and mask.max() > 0
    # And f takes what it keeps and what it removes.
    kept, removed = (explained.probabilities(m * X, phase) for m in (mask, 1 - mask))
    assert kept.shape == removed.shape == (batch, 5)
    assert torch.equal(explain(interpreter, X, target, phase), mask)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_batch_is_its_clips_one_by_one(name, hparams):
    explained = make_explained("wave1d")
    X, target, phase = clips(3, explained)
    interpreter = get_interpreters(hparams["interpreters"], [name], explained)[name]
    together = explain(interpreter, X, target, phase)
    for i in range(3):
        one = slice(i, i + 1)
        alone = explain(interpreter, X[one], target[one], phase[one])[0]
        torch.testing.assert_close(together[i], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_order_of_a_batch_does_not_matter(name, hparams):
    explained = make_explained("wave1d")
    X, target, phase = clips(3, explained)
    interpreter = get_interpreters(hparams["interpreters"], [name], explained)[name]
    order = torch.tensor([2, 0, 1])
    there = explain(interpreter, X, target, phase)[order]
    here = explain(interpreter, X[order], target[order], phase[order])
    torch.testing.assert_close(here, there, rtol=0, atol=1e-5)
    # With the phases of other clips it does, most of all for gradients with respect to X.
    if name in ("Saliency", "IG", "Guided GradCAM", "Guided Backprop"):
        wrong = explain(interpreter, X[order], target[order], phase)
        assert (wrong - there).abs().max() > 0.05


@pytest.mark.parametrize("name", LOOKING)
def test_no_interpreter_mixes_phases(name, paired, hparams):
    explained, X, target, phase, rows = paired
    interpreter = get_interpreters(hparams["interpreters"], [name], explained)[name]
    rows.clear()
    explain(interpreter, X, target, phase)
    assert set(rows) == {0, 1, 2}


@pytest.mark.parametrize("name", LOOKING)
def test_no_interpreter_goes_without_the_phase(name, hparams):
    explained = make_explained("wave1d")
    X, target, phase = clips(3, explained)
    interpreter = get_interpreters(hparams["interpreters"], [name], explained)[name]
    with pytest.raises(ValueError, match="needs the phase of its recording"):
        interpreter.explain(X, target)
    with pytest.raises(ValueError, match="X has the shape .* and its phase"):
        interpreter.explain(X, target, phase[:2])


# Captum's orders of a multiplied batch: steps first, and clips first. Each with the X that f is
# given and what goes with it.
CAPTUM = {
    "IG, all steps at once": lambda f, X, t, more: IntegratedGradients(f).attribute(
        X, target=t, n_steps=4, additional_forward_args=more
    ),
    "IG, in pieces of two steps": lambda f, X, t, more: IntegratedGradients(f).attribute(
        X, target=t, n_steps=4, internal_batch_size=6, additional_forward_args=more
    ),
    "GradientShap, four samples": lambda f, X, t, more: GradientShap(f).attribute(
        X, target=t, n_samples=4, baselines=torch.zeros_like(X[:1]), additional_forward_args=more
    ),
    "NoiseTunnel, four samples": lambda f, X, t, more: NoiseTunnel(Saliency(f)).attribute(
        X, target=t, nt_samples=4, stdevs=0.01, additional_forward_args=more
    ),
    "NoiseTunnel, four samples, three at a time": lambda f, X, t, more: NoiseTunnel(
        Saliency(f)
    ).attribute(
        X, target=t, nt_samples=4, nt_samples_batch_size=3, stdevs=0.01,
        additional_forward_args=more,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CAPTUM)
def test_captum_s_orders(name, paired):
    explained, X, target, phase, rows = paired
    rows.clear()
    CAPTUM[name](Logits(explained), X.detach().requires_grad_(), target, parts(phase))
    assert len(rows) >= 12 and all(rows.count(i) == len(rows) // 3 for i in range(3))


def steps_first(phase, n):
    return Phase.cat([phase] * n)


def clips_first(phase, n):
    return phase[torch.arange(len(phase)).repeat_interleave(n)]


@pytest.mark.parametrize(
    "name,order",
    [
        ("IG, all steps at once", clips_first),
        ("IG, in pieces of two steps", clips_first),
        ("GradientShap, four samples", steps_first),
        ("NoiseTunnel, four samples", steps_first),
    ],
)
def test_the_wrong_order_would_be_noticed(name, order, paired):
    """Clips first where steps come first, and the reverse: the checks above can fail."""
    explained, X, target, phase, _ = paired

    def f(Z):
        return explained.logits(Z, order(phase, len(Z) // len(phase)))

    with pytest.raises(AssertionError, match="the phase of another clip"):
        CAPTUM[name](f, X.detach().requires_grad_(), target, None)


def test_both_parts_at_once(paired):
    explained, X, _, phase, rows = paired
    both = torch.cat([0.7 * X, 0.3 * X])
    rows.clear()
    explained.logits(both, Phase.cat([phase, phase]))
    assert rows == [0, 1, 2, 0, 1, 2]
    with pytest.raises(AssertionError, match="the phase of another clip"):
        explained.logits(both, clips_first(phase, 2))


@pytest.mark.parametrize("name", CAPTUM)
def test_captum_without_the_phase_or_with_a_whole_one_is_refused(name):
    """Captum hands a Phase on as it is, so it would not be repeated with X."""
    explained = make_explained("wave1d")
    X, target, phase = clips(3, explained)
    X = X.detach().requires_grad_()
    with pytest.raises(ValueError, match="needs the phase of its recording"):
        CAPTUM[name](Logits(explained), X, target, parts(None))
    with pytest.raises(ValueError, match="X has the shape .* and its phase"):
        CAPTUM[name](explained.logits, X, target, phase)


@pytest.mark.parametrize("brain", [DecoderBrain, L2IBrain])
def test_a_training_step_pairs_clips_and_phases(brain, paired, monkeypatch):
    explained, X, _, phase, rows = paired
    monkeypatch.setattr(explained.domain, "analyse", lambda wav: (X, phase))
    decoder = build_decoder(lambda *sizes: TopDownDecoder(*sizes, 8, 4), explained)
    l2i = L2INetwork(explained, torch.rand(513, 8), hidden=16)
    hparams = {"augment": None, "out_share": 0.5, "lmac_loss": lmac_loss}
    self = brain(explained, modules={"decoder": decoder, "l2i": l2i}, hparams=hparams)
    batch = SimpleNamespace(sig=SimpleNamespace(data=torch.zeros(3, 6000)))
    rows.clear()
    self.compute_forward(batch, Stage.TRAIN)
    assert rows == [0, 1, 2] + ([0, 1, 2, 0, 1] if brain is DecoderBrain else [])
