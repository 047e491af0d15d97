"""Every interpreter on the waveform path: each clip is heard with its own phase."""

import pytest
import torch
from captum.attr import GradientShap, IntegratedGradients, NoiseTunnel, Saliency
from conftest import make_explained

from interpreters.l2i.networks import L2INetwork
from lmac import phased
from lmac.checkpoints import build_decoder
from lmac.config import load, merge
from lmac.results.scoring import get_interpreters

NAMES = list(merge("hparams/interpreters.yaml")["interpreters"])
DETERMINISTIC = [n for n in NAMES if n not in ("SmoothGrad", "SHAP", "Random")]


@pytest.fixture(scope="module")
def hparams(tmp_path_factory):
    """hparams/evaluation.yaml as it is, with checkpoints of a small decoder and a small L2I."""
    folder = tmp_path_factory.mktemp("decoder")
    hparams, _ = load(
        "hparams/evaluation.yaml",
        {"data_folder": "x", "results_folder": str(folder), "lmac_checkpoint": str(folder),
         "lmac_ft_checkpoint": str(folder), "l2i_checkpoint": str(folder),
         "decoder_hidden": 8, "decoder_detail": 4},
    )  # fmt: skip
    torch.manual_seed(0)
    decoder = build_decoder(hparams["decoder"], make_explained("wave1d"))
    torch.save(decoder.state_dict(), folder / "decoder.ckpt")
    l2i = L2INetwork(make_explained("wave1d"), torch.rand(513, 8), hidden=16)
    torch.save(l2i.state_dict(), folder / "l2i.ckpt")
    return hparams


def clips(batch, explained):
    """Very different clips, for a wrong phase to be heard."""
    t = torch.arange(6000) / 16000
    wav = torch.stack([0.5 * torch.sin(6.28 * f * t + f) * torch.rand(6000)
                       for f in (300.0, 1000.0, 3000.0)[:batch]])  # fmt: skip
    X, _ = explained.domain.analyse(wav)
    return X, explained.logits(X).argmax(1)


def explain(interpreter, X, target):
    interpreter.reset(1)
    if interpreter.needs_clean:
        return interpreter.explain(X, target, X * 0.5)
    return interpreter.explain(X, target)


@pytest.fixture
def paired(monkeypatch):
    """A classifier that checks at each call that values and phases are of the same clip."""
    explained = make_explained("wave1d")
    torch.manual_seed(5)
    X, target = clips(3, explained)
    flat = torch.nn.functional.normalize(phased.values(X).flatten(1))
    synthesise, rows = explained.domain.synthesise, []

    def checked(values, spectrum, n_samples):
        if n_samples != X.n_samples:  # the dry pass that finds shapes
            return synthesise(values, spectrum, n_samples)
        likeness = torch.nn.functional.normalize(values.detach().flatten(1)) @ flat.t()
        for like, phase in zip(likeness, spectrum, strict=True):
            clip = int(like.argmax())
            assert like[clip] > 0.3
            if not torch.equal(phase, X.spectrum[clip]):
                raise AssertionError("the phase of another clip")
            rows.append(clip)
        return synthesise(values, spectrum, n_samples)

    monkeypatch.setattr(explained.domain, "synthesise", checked)
    return explained, X, target, rows


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_interpreter_runs(name, batch, hparams):
    explained = make_explained("wave1d")
    X, target = clips(batch, explained)
    interpreter = get_interpreters(hparams["interpreters"], [name], explained)[name]
    with torch.no_grad():
        mask = explain(interpreter, X, target)
    assert mask.shape == X.shape and mask.isfinite().all() and not mask.requires_grad
    assert mask.min() >= 0 and mask.max() <= 1 and mask.max() > 0
    # And f takes what it keeps and what it removes.
    kept, removed = explained.probabilities(mask * X), explained.probabilities((1 - mask) * X)
    assert kept.shape == removed.shape == (batch, 5)
    assert torch.equal(explain(interpreter, X, target), mask)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_batch_is_its_clips_one_by_one(name, hparams):
    explained = make_explained("wave1d")
    X, target = clips(3, explained)
    interpreter = get_interpreters(hparams["interpreters"], [name], explained)[name]
    together = explain(interpreter, X, target)
    for i in range(3):
        alone = explain(interpreter, X[i : i + 1], target[i : i + 1])[0]
        torch.testing.assert_close(together[i], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("All-ones", "Random", "Oracle")])
def test_no_interpreter_mixes_phases(name, paired, hparams):
    explained, X, target, rows = paired
    monkey = get_interpreters(hparams["interpreters"], [name], explained)[name]
    rows.clear()
    explain(monkey, X, target)
    assert set(rows) == {0, 1, 2}


# Captum's orders of a multiplied batch: steps first, and clips first.
CAPTUM = {
    "IG, all steps at once": lambda f, X, t: IntegratedGradients(f).attribute(
        X, target=t, n_steps=4
    ),
    "IG, in pieces of two steps": lambda f, X, t: IntegratedGradients(f).attribute(
        X, target=t, n_steps=4, internal_batch_size=6
    ),
    "GradientShap, four samples": lambda f, X, t: GradientShap(f).attribute(
        X, target=t, n_samples=4, baselines=torch.zeros_like(X[:1])
    ),
    "NoiseTunnel, four samples": lambda f, X, t: NoiseTunnel(Saliency(f)).attribute(
        X, target=t, nt_samples=4, stdevs=0.01
    ),
    "both parts at once": lambda f, X, t: f(torch.cat([0.7 * X, 0.3 * X])),
}


@pytest.mark.parametrize("name", CAPTUM)
def test_captum_s_orders(name, paired):
    explained, X, target, rows = paired
    rows.clear()
    CAPTUM[name](explained.logits, X.detach().requires_grad_(), target)
    expected = 6 if name == "both parts at once" else 12
    assert len(rows) >= expected and all(rows.count(i) == len(rows) // 3 for i in range(3))


@pytest.mark.parametrize(
    "name,operation,wrong",
    [
        ("IG, all steps at once", "cat", lambda tensors, dim=0: (
            torch.cat([t.spectrum for t in tensors]).view(-1, 3, *tensors[0].spectrum.shape[1:])
            .transpose(0, 1).flatten(0, 1), tensors[0].n_samples)),
        ("GradientShap, four samples", "repeat_interleave", lambda X, n, dim=0: (
            X.spectrum.repeat(int(n), 1, 1), X.n_samples)),
        ("NoiseTunnel, four samples", "repeat_interleave", lambda X, n, dim=0: (
            X.spectrum.repeat(int(n), 1, 1), X.n_samples)),
        ("both parts at once", "cat", lambda tensors, dim=0: (
            tensors[0].spectrum.repeat_interleave(2, 0), tensors[0].n_samples)),
    ],
)  # fmt: skip
def test_the_wrong_order_would_be_noticed(name, operation, wrong, paired, monkeypatch):
    """Clips first where steps come first, and the reverse: the checks above can fail."""
    explained, X, target, _ = paired
    monkeypatch.setitem(phased._ROWS, operation, wrong)
    with pytest.raises(AssertionError, match="the phase of another clip"):
        CAPTUM[name](explained.logits, X.detach().requires_grad_(), target)


def test_the_lost_phase_of_an_unknown_operation_raises(paired):
    explained, X, target, _ = paired
    with pytest.raises(ValueError, match="needs the phase of its recording"):
        explained.logits(torch.stack([X[0], X[1]]))
