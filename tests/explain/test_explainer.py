"""Explaining recordings of any length, against the parts used by hand."""

import json

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from conftest import make_explained

from interpreters.base import Interpreter
from interpreters.constant import AllOnes, Random
from interpreters.gradcam import GradCAM
from interpreters.lmac import LMAC
from interpreters.saliency import Saliency
from lmac.core.decoder import TopDownDecoder
from lmac.explain.explainer import Explainer
from lmac.explain.recording import levels

LABELS = ["dog", "rooster", "rain", "sea_waves", "clock_tick"]
RATE, HOP = 16000, 186


class Binary(Interpreter):
    """1 where X is above its median, else 0."""

    def explain(self, X, target):
        return (X > X.flatten(1).median(1).values.view(-1, 1, 1)).float()


class Levels(Interpreter):
    """Another constant in every other window: what shows seams best."""

    def explain(self, X, target):
        return torch.ones_like(X) * torch.tensor([1.0, 0.3]).repeat(len(X))[: len(X), None, None]


def small_decoder(channels, n_classes):
    return TopDownDecoder(channels, n_classes, hidden=8, detail=4, conditioned=True)


@pytest.fixture
def explainer(tmp_path):
    explained = make_explained()
    torch.manual_seed(3)
    decoder = small_decoder(*explained.output_sizes())
    for condition in decoder.conditions:
        condition.film.weight.data.mul_(
            5
        )  # a mask that listens to the class, as a trained one does
    decoder.head.weight.data.mul_(20)
    torch.save(decoder.state_dict(), tmp_path / "decoder.ckpt")
    methods = {
        "L-MAC": lambda f: LMAC(f, small_decoder, tmp_path),
        **{c.__name__: c for c in (Saliency, GradCAM, AllOnes, Random, Binary, Levels)},
    }
    return Explainer(explained, labels=LABELS, interpreters=methods, window_s=2.0, overlap_s=0.5)


def recording(seconds, seed=0):
    """Noise whose band and loudness change all the time, so that windows differ."""
    generator = torch.Generator().manual_seed(seed)
    n = round(seconds * RATE)
    noise = torch.randn(n, generator=generator)
    tone = torch.sin(torch.arange(n) / RATE * 6283 * (1 + 0.5 * torch.linspace(0, 9, n).sin()))
    return 0.2 * (noise * torch.linspace(0, 40, n).sin().abs() + tone)


def by_hand(explainer, wav, method, number=None):
    """A single window with nothing of the explainer but its parts."""
    explained = explainer.explained
    X, phase = explained.domain.analyse(wav[None])
    probs = explained.logits(X).double().softmax(1)
    target = probs.argmax(1) if number is None else torch.tensor([number])
    mask = explainer.available[method](explained).explain(X, target)
    audio = torch.expm1(mask * X) * torch.exp(1j * phase.spectrum.angle())
    p_in, p_out = (explained.logits(m * X).double().softmax(1) for m in (mask, 1 - mask))
    return {
        "mask": mask[0],
        "probs": probs[0],
        "p": float(probs[0, target]),
        "p_in": float(p_in[0, target]),
        "p_out": float(p_out[0, target]),
        "wav": explained.domain.front_end.inverse(audio, len(wav))[0],
    }


@pytest.mark.parametrize("method", ["L-MAC", "Saliency", "GradCAM"])
def test_a_short_recording_is_explained_as_the_parts_do(explainer, method):
    wav = recording(1.5)
    result = explainer((wav, RATE), method)
    want = by_hand(explainer, wav / wav.abs().max(), method)
    torch.testing.assert_close(result.mask, want["mask"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result.explanation, want["wav"], rtol=0, atol=1e-4)
    torch.testing.assert_close(result.probabilities, want["probs"], rtol=1e-5, atol=1e-6)
    for name in ("p", "p_in", "p_out"):
        assert getattr(result, name) == pytest.approx(want[name], rel=1e-4), name
    heard = explainer.explained.domain.analyse(result.explanation[None])[0]
    p_in_audio = explainer.explained.probabilities(heard)[0].max(0)
    assert result.decision == result.explained_class == LABELS[int(want["probs"].argmax())]
    if LABELS[int(p_in_audio.indices)] == result.decision:
        assert result.p_in_audio == pytest.approx(float(p_in_audio.values), rel=1e-4)
    order = want["probs"].argsort(descending=True).tolist()
    assert [c for c, _ in result.top_classes(3)] == [LABELS[i] for i in order[:3]]
    assert result.gain == pytest.approx(1 / float(wav.abs().max()))


def test_the_class_can_be_chosen(explainer):
    wav = recording(1.5)
    own = explainer((wav, RATE), "L-MAC")
    other = next(c for c in LABELS if c != own.decision)
    chosen = explainer((wav, RATE), "L-MAC", target_class=other)
    want = by_hand(explainer, wav / wav.abs().max(), "L-MAC", LABELS.index(other))
    assert chosen.decision == own.decision and chosen.explained_class == other
    assert chosen.p == pytest.approx(want["p"], rel=1e-4) and chosen.p < own.p
    torch.testing.assert_close(chosen.mask, want["mask"], rtol=1e-4, atol=1e-5)
    assert (chosen.mask - own.mask).abs().max() > 0.01


def inside(explainer, n_samples):
    """Start and samples that no other window touches, of every window, in samples."""
    step = -(-(explainer.window - explainer.overlap) // HOP) * HOP
    last = -(-(n_samples - explainer.window) // HOP) * HOP
    starts = [*range(0, last, step), last]
    for before, start, after in zip([None, *starts], starts, [*starts[1:], None], strict=False):
        begin = start if before is None else before + explainer.window
        end = start + explainer.window if after is None else after
        if end - begin > 4 * HOP:
            yield start, begin + 2 * HOP, min(end, n_samples) - 2 * HOP


@pytest.mark.parametrize("method", ["L-MAC", "GradCAM"])
def test_inside_its_windows_a_long_explanation_is_the_plain_one(explainer, method):
    wav = recording(60)
    wav[8000] = 1.5 * wav.abs().max()  # the file's level is not the windows' own
    result = explainer((wav, RATE), method)
    normalised = wav / wav.abs().max()
    checked = 0
    for start, begin, end in inside(explainer, len(wav)):
        clip = torch.nn.functional.pad(normalised, (0, HOP))[start : start + explainer.window]
        plain = by_hand(explainer, clip, method)
        torch.testing.assert_close(
            result.explanation[begin:end], plain["wav"][begin - start : end - start],
            rtol=0, atol=2e-4,
        )  # fmt: skip
        frames = slice(-(-begin // HOP), end // HOP)
        own = slice(frames.start - start // HOP, frames.stop - start // HOP)
        torch.testing.assert_close(result.mask[frames], plain["mask"][own], rtol=1e-3, atol=1e-4)
        checked += end - begin
    assert checked > 0.55 * len(wav)


def splatter(audio, centres, width=400):
    """Largest energy beside a tone of 1 kHz in 50 ms around one of ``centres``, in dB.

    At least 400 Hz away from it: a gain that jumps clicks, which is heard at all frequencies; a
    gain that glides stays at the tone.
    """
    window = torch.hann_window(2 * width, dtype=torch.float64)
    beside = (torch.fft.rfftfreq(2 * width, 1 / RATE) - 1000).abs() > 400
    pieces = torch.stack([audio[c - width : c + width].double() for c in centres]) * window
    power = torch.fft.rfft(pieces).abs().square()[:, beside].sum(1)
    return float(10 * power.max().log10())


def test_no_seam_can_be_heard(explainer, monkeypatch):
    """Masks of 1 and 0.3 in turn on a tone of 60 s; the check notices what would be heard."""
    t = torch.arange(60 * RATE, dtype=torch.float64) / RATE
    tone = torch.sin(2 * torch.pi * 1000 * t).float()
    step = -(-(explainer.window - explainer.overlap) // HOP) * HOP
    overlap = explainer.window - step
    seams = [step * i + overlap // 2 for i in range(1, 38)]
    fades = [s + d for s in seams for d in range(-3600, 3601, 400)]
    between = [s + 12000 for s in seams]
    audio = explainer((tone, RATE), "Levels").explanation
    levels = [float(audio[c : c + 1000].norm()) for c in between]
    assert levels[1] > 10 * levels[0]  # the windows do differ
    usual = splatter(audio, between)
    assert splatter(audio, fades) < usual + 9

    def switch(n_windows, n_frames, overlap):
        weights = torch.ones(n_windows, n_frames)
        weights[1:, : overlap // 2] = 0
        weights[:-1, n_frames - (overlap - overlap // 2) :] = 0
        return weights

    monkeypatch.setattr("lmac.core.windows.fade_weights", switch)
    assert splatter(explainer((tone, RATE), "Levels").explanation, fades) > usual + 18

    cut = [0, *seams[:3]]  # and what joining the windows' audio would do
    joined = torch.cat([g * tone[a:b] for g, a, b in zip((1, 0.03, 1), cut, seams, strict=False)])
    assert splatter(joined, seams[:2]) > usual + 50


def test_scores_of_a_long_recording(explainer):
    wav = recording(6.3)
    number = 2
    result = explainer((wav, RATE), "GradCAM", target_class="rain")
    explained = explainer.explained
    starts = [round(w.start_s * RATE) for w in result.windows]
    step = -(-(explainer.window - explainer.overlap) // HOP) * HOP
    assert starts[:3] == [0, step, 2 * step] and result.windows[-1].end_s == 6.3
    normalised = torch.nn.functional.pad(wav / wav.abs().max(), (0, HOP))
    p, p_in = [], []
    mask = torch.nn.functional.pad(result.mask, (0, 0, 0, 1))
    for start, window in zip(starts, result.windows, strict=True):
        X, _ = explained.domain.analyse(normalised[None, start : start + 2 * RATE])
        probs = explained.logits(X).double().softmax(1)[0]
        assert window.p == pytest.approx(float(probs[number]), rel=1e-4)
        assert window.decision == LABELS[int(probs.argmax())]
        M = mask[start // HOP : start // HOP + X.shape[1]]
        p_in.append(float(explained.logits(M * X).double().softmax(1)[0, number]))
        assert window.p_in == pytest.approx(p_in[-1], rel=1e-3)
        p.append(probs)
    mean = torch.stack(p).mean(0)
    assert result.decision == LABELS[int(mean.argmax())]
    torch.testing.assert_close(result.probabilities, mean, rtol=1e-4, atol=1e-6)
    assert result.p == pytest.approx(float(mean[number]), rel=1e-4)
    assert result.p_in == pytest.approx(np.mean(p_in), rel=1e-3)


def test_every_window_explains_its_own_decision(explainer, monkeypatch):
    asked = []
    monkeypatch.setattr(
        AllOnes, "explain", lambda self, X, target: asked.extend(target.tolist()) or X * 0 + 1
    )
    # A classifier for which loud windows are another class than quiet ones.
    monkeypatch.setattr(
        explainer.explained, "forward",
        lambda X, phase=None: (F.one_hot((X.amax((1, 2)) > 2).long(), 5).float(), []),
    )  # fmt: skip
    wav = recording(8)
    wav[: 4 * RATE] *= 0.01
    result = explainer((wav, RATE), "AllOnes")
    assert {w.explained_class for w in result.windows} == {"dog", "rooster"}
    assert [LABELS[i] for i in asked] == [w.decision for w in result.windows]
    assert result.explained_class is None and result.p == result.p_in
    assert result.decision == "rooster"  # of most windows
    asked.clear()
    assert explainer((wav[-5 * RATE // 2 :], RATE), "AllOnes").explained_class == "rooster"
    asked.clear()
    assert explainer((wav, RATE), "AllOnes", "rain").explained_class == "rain"
    assert set(asked) == {2}


def test_windows_next_to_silent_do_not_vote(explainer):
    """61 dB below the loudest window a window has no say, 59 dB below it it has."""
    wav = 0.5 * torch.sin(torch.arange(6 * RATE) / RATE * 6283)
    for quiet_db, votes in ((-59, True), (-61, False)):
        spoilt = wav.clone()
        spoilt[: 2 * RATE] *= 10 ** (quiet_db / 20)
        result = explainer((spoilt, RATE), "GradCAM")
        first = result.windows[0]
        assert first.level_db == pytest.approx(quiet_db, abs=0.3) and first.votes == votes
        assert all(w.votes and w.level_db > -3 for w in result.windows[2:])
        recording = explainer.read((spoilt, RATE))
        kept = recording.clips.probs[0 if votes else 1 :]
        torch.testing.assert_close(result.probabilities, kept.mean(0))
        counted = result.windows[0 if votes else 1 :]
        for name in ("p", "p_in", "p_out", "p_in_audio"):
            mean = np.mean([getattr(w, name) for w in counted])
            assert getattr(result, name) == pytest.approx(mean), name


def test_zeros_behind_the_end_do_not_lower_a_level():
    windows = torch.ones(2, 1000)
    windows[1, 500:] = 0
    assert levels(windows, [0, 1], 100, 600).tolist() == [0, 0]
    assert levels(windows * torch.tensor([[1.0], [0.0]]), [0, 1], 100, 600)[1] == -120


def test_the_file_is_announced_with_its_own_probability(explainer, monkeypatch):
    """Not with the mean of what each window thinks of its own decision."""
    monkeypatch.setattr(
        explainer.explained, "forward",
        lambda X, phase=None: (F.one_hot((X.amax((1, 2)) > 2).long(), 5).float(), []),
    )  # fmt: skip
    wav = recording(8)
    wav[: 4 * RATE] *= 0.01
    result = explainer((wav, RATE), "AllOnes")
    p = float(result.probabilities.max())
    assert p < result.p - 0.1 and result.explained_class is None
    first, second = str(result).splitlines()
    assert f"AllOnes for each window's decision (decision rooster, p = {p:.3f})" in first
    assert second.startswith(f"own decisions: p = {result.p:.3f}")


def test_progress_counts_every_window_as_often_as_it_is_read(explainer):
    explainer.batch_size, read = 2, []
    recording_ = explainer.read((recording(5), RATE), progress=read.append)
    assert read == [2, 1]
    explainer(recording_, "GradCAM")
    assert read == [2, 1] * (1 + explainer.passes)


@pytest.mark.parametrize("seconds", [0.0005, 0.1, 1.0, 2.1, 5.0])
def test_explanation_and_removed_part_of_a_binary_mask_make_the_input(explainer, seconds):
    wav = recording(seconds)
    result = explainer((wav, RATE), "Binary")
    assert result.wav.shape == result.explanation.shape == result.removed.shape == wav.shape
    assert result.mask.shape == result.X.shape == (len(wav) // HOP + 1, 513)
    assert len(result.windows) == (3 if seconds == 5 else 1)
    crossed = ((result.mask > 0) & (result.mask < 1)).any(1)
    assert bool(crossed.any()) == (seconds == 5)
    together = result.explanation + result.removed
    if seconds == 5:  # log1p is not linear: only where no two masks were mixed
        keep = torch.nn.functional.interpolate(
            (~crossed).float()[None, None], size=len(wav)
        )[0, 0].bool()  # fmt: skip
        keep &= ~torch.nn.functional.max_pool1d(
            (~keep).float()[None], 4 * HOP + 1, 1, 2 * HOP
        )[0].bool()  # fmt: skip
        assert keep.float().mean() > 0.5
        together, wav = together[keep], wav[keep] / wav.abs().max()
        torch.testing.assert_close(together, wav, rtol=0, atol=1e-4)
    else:
        torch.testing.assert_close(together, result.wav, rtol=0, atol=1e-4)


@pytest.mark.parametrize("seconds", [1.0, 5.0])
def test_all_ones_changes_no_bit(explainer, seconds):
    result = explainer((recording(seconds), RATE), "AllOnes")
    assert result.p == result.p_in and (result.mask == 1).all()
    torch.testing.assert_close(result.explanation, result.wav, rtol=0, atol=1e-4)


def test_a_random_method_gives_the_same_twice(explainer):
    first, second = (explainer((recording(5), RATE), "Random") for _ in range(2))
    assert torch.equal(first.mask, second.mask)


def test_short_recordings_can_be_padded_as_in_an_evaluation(explainer):
    wav = recording(1)
    explainer.least = 2 * RATE
    result = explainer((wav, RATE), "GradCAM")
    padded = torch.nn.functional.pad(wav / wav.abs().max(), (0, RATE))
    assert result.p == pytest.approx(by_hand(explainer, padded, "GradCAM")["p"], rel=1e-4)
    assert len(result.explanation) == RATE


@pytest.mark.parametrize("format,rate,channels", [("flac", 44100, 2), ("ogg", 22050, 1)])
def test_files_of_any_kind(explainer, tmp_path, format, rate, channels):
    seconds = 1.5
    t = np.arange(round(seconds * rate)) / rate
    samples = np.stack([0.6 * np.sin(2 * np.pi * f * t) for f in (500, 900)[:channels]], 1)
    path = tmp_path / f"tone.{format}"
    soundfile.write(path, samples, rate)
    result = explainer(path, "AllOnes")
    result.save(tmp_path / "out")
    content = json.loads((tmp_path / "out" / "explanation.json").read_text())
    for name in ("input", "explanation", "removed"):
        wav, written = soundfile.read(tmp_path / "out" / f"{name}.wav")
        assert written == RATE and abs(len(wav) - seconds * RATE) <= 1
        assert abs(wav).max() <= 0.951
    # The gain in the JSON leads from the file to the WAV.
    t = np.arange(round(seconds * RATE)) / RATE
    mono = np.mean([0.6 * np.sin(2 * np.pi * f * t) for f in (500, 900)[:channels]], 0)
    want = content["gain"] * mono
    wav, _ = soundfile.read(tmp_path / "out" / "input.wav")
    assert abs(wav[2000:-2000] - want[2000 : len(wav) - 2000]).max() < 0.06
    assert content["gain"] == pytest.approx(0.7 / abs(mono).max(), rel=0.06)


def test_the_json_says_what_the_result_holds(explainer, tmp_path):
    result = explainer((recording(5), RATE), "Saliency", target_class="rain")
    result.save(tmp_path)
    content = json.loads((tmp_path / "explanation.json").read_text())
    for key in ("p", "p_in", "p_out", "p_in_audio", "method", "decision"):
        assert content[key] == getattr(result, key), key
    assert content["explained_class"] == "rain" and len(content["windows"]) == 3
    assert [(c["class"], c["p"]) for c in content["top_classes"]] == result.top_classes()
    assert sum(c["p"] for c in content["top_classes"]) == pytest.approx(1)  # of five classes
    assert (tmp_path / "explanation.png").stat().st_size > 10000


def test_a_domain_without_audio(tmp_path):
    explained = make_explained(domain="mel")
    explainer = Explainer(explained, interpreters={"GradCAM": GradCAM}, window_s=2.0, overlap_s=0.5)
    result = explainer((recording(3), RATE), "GradCAM")
    assert result.explanation is None and result.p_in_audio is None
    result.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("explanation.json", "explanation.png", "mask.png")
    ]  # fmt: skip


def test_mistakes_get_one_sentence(explainer, tmp_path):
    wav = recording(1)
    for arguments, message in [
        ({"target_class": "cat"}, "target_class: unknown class 'cat'; expected one of dog, roo"),
        ({"method": "Salience"}, "methods: unknown interpreter 'Salience'; expected some of L-MAC"),
        ({"source": (0 * wav, RATE)}, "waveform is silent"),
    ]:
        with pytest.raises(ValueError, match=message):
            explainer(**{"source": (wav, RATE), **arguments})
    with pytest.raises(ValueError, match="nowhere.wav does not exist"):
        explainer(tmp_path / "nowhere.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match="text.wav cannot be decoded"):
        explainer(tmp_path / "text.wav")
    explainer.check("L-MAC")[0].any_class = False
    with pytest.raises(ValueError, match="this L-MAC explains the classifier's own decision only"):
        explainer((wav, RATE), target_class="dog")
    explained = explainer.explained
    with pytest.raises(ValueError, match="names 2 classes, but the classifier has 5"):
        Explainer(explained, labels=LABELS[:2])
    with pytest.raises(ValueError, match="window_s is 0.1, but this classifier needs .* 0.36 s"):
        Explainer(explained, labels=LABELS, window_s=0.1, overlap_s=0)
    with pytest.raises(ValueError, match="overlap_s is 2.0: expected 0 to half of window_s, 1.5"):
        Explainer(explained, labels=LABELS, window_s=3.0, overlap_s=2.0)


def test_a_classifier_that_answers_with_nan_is_one_sentence(explainer, monkeypatch):
    answer = explainer.explained.classifier.forward

    def broken(features):
        logits, representations = answer(features)
        logits[:1] = float("nan")
        return logits, representations

    monkeypatch.setattr(explainer.explained.classifier, "forward", broken)
    with pytest.raises(ValueError, match="answers with NaN or infinity: are its weights whole"):
        explainer.read((recording(3), RATE))
