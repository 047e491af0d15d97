"""Spectrogram grids from an evaluation's folder, made by hand here."""

import pandas as pd
import pytest
import soundfile
import torch
from matplotlib import pyplot as plt

from lmac.core.domain import FrontEnd, get_domain
from lmac.evaluation.folder import EvaluationFolder
from lmac.explain.audio import write_wavs
from lmac.pages import grid, grid_figure

RATE = 16000
# What matters here of an evaluation's file, and what must not be built: the classifier.
PUBLISHED = """
front_end: !new:lmac.core.domain.FrontEnd
    sample_rate: 16000
    n_fft: 1024
    win_length: 23.2199
    hop_length: 11.6099
embedding_model: !new:no.such.Model
needed: !PLACEHOLDER
"""
AISFX = """
sample_rate: 44100
n_fft: 2048
front_end: &id001 !new:lmac.classifiers.aisfx.AisfxFrontEnd
    sample_rate: !ref <sample_rate>
    n_fft: !ref <n_fft>
    n_mels: 96
win_length: 23.2199
hop_length: 11.6099
embedding_model: !new:no.such.Model
    front_end: *id001
"""
IDS, METHODS = ["4-1-A", "4-2-A"], ["L-MAC", "Saliency"]


@pytest.fixture
def folder(tmp_path):
    """Explanations of a tone of 1 kHz: half of it by L-MAC, a hundredth by Saliency."""
    (tmp_path / "hyperparams.yaml").write_text(PUBLISHED)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(RATE, dtype=torch.float64) / RATE).float()
    rows = []
    for i, ID in enumerate(IDS):
        for method, share in zip(METHODS, (0.5, 0.01), strict=True):
            # As folders of earlier versions: each method has an input, and a gain of its own;
            # Saliency's removed part would clip.
            other = {"removed": 4 * tone} if method == "Saliency" else {}
            write_wavs({"input": tone, "explanation": share * tone, **other},
                       tmp_path / "samples" / ID / method, RATE)  # fmt: skip
            rows.append({"scenario": "mixtures", "domain": "stft", "method": method, "ID": ID,
                         "target_id": ID, "decision": "dog", "label": "rain", "correct": 0,
                         "p": 0.75, "p_in": share, "p_out": 0.1 * i})  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "metrics.csv", index=False)
    return tmp_path


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn, kept open."""
    monkeypatch.setattr(plt, "close", lambda figure: None)
    yield lambda: [plt.figure(n) for n in plt.get_fignums()]
    monkeypatch.undo()
    plt.close("all")


def test_both_files_are_written(folder, capsys):
    grid.main([str(folder)])
    assert (folder / "grid.pdf").read_bytes()[:5] == b"%PDF-"
    assert (folder / "grid.png").read_bytes()[1:4] == b"PNG"
    assert str(folder / "grid.pdf") in capsys.readouterr().out


def test_rows_columns_axes_and_titles(folder, figures):
    grid.main([str(folder), "--ids=[4-2-A,4-1-A]", "--methods=[Saliency,L-MAC]",
               f"--output={folder}/out/two.clips"])  # fmt: skip
    assert (folder / "out" / "two.clips.png").is_file()
    axes = [a for a in figures()[0].axes if a.images]
    assert len(axes) == 2 * 3
    titles = [a.get_title() for a in axes]
    assert titles[0] == "4-2-A\ndecision dog (truth rain), p = 0.75"
    assert titles[1] == "Saliency\np_in = 0.01, p_out = 0.10"
    assert titles[5] == "L-MAC\np_in = 0.50, p_out = 0.00"
    for axis in axes:
        assert list(axis.images[0].get_extent()) == [0, 1, 0, 8000]
        assert axis.images[0].get_clim() == (-80, 0)
        image = axis.images[0].get_array()
        assert round(image[:, 40].argmax() * 8000 / (len(image) - 1)) == 1000


def test_one_db_scale_for_the_row_whatever_the_gains(folder, figures):
    grid.main([str(folder), "--ids=4-1-A"])
    peaks = [a.images[0].get_array()[:, 20:-20].max() for a in figures()[0].axes if a.images]
    assert peaks == pytest.approx([0, -6.02, -40], abs=0.1)


def test_the_input_of_a_clip_is_enough(folder, figures):
    """As evaluations write it now: once, beside the methods."""
    for ID in IDS:
        sample = folder / "samples" / ID
        (sample / "Saliency" / "input.wav").unlink()
        (sample / "L-MAC" / "input.wav").rename(sample / "input.wav")
    grid.main([str(folder), "--ids=4-1-A", "--methods=[L-MAC]"])
    peaks = [a.images[0].get_array()[:, 20:-20].max() for a in figures()[0].axes if a.images]
    assert peaks == pytest.approx([0, -6.02], abs=0.1)


def test_explanations_are_read_relative_to_their_own_input(folder):
    domain = get_domain("stft", FrontEnd())
    clip = EvaluationFolder(folder).clips()[0]
    (first, seconds), (second, _) = (grid_figure.magnitudes(clip, m, domain) for m in METHODS)
    assert seconds == 1 and first.shape == (2, 87, 513)
    torch.testing.assert_close(first[0], second[0], rtol=0, atol=0.02)


@pytest.mark.parametrize("given", ["paper.pdf", "paper.png", "paper"])
def test_a_suffix_is_not_written_twice(folder, given):
    grid.main([str(folder), "--ids=[4-1-A]", f"--output={folder}/out/{given}"])
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["paper.pdf", "paper.png"]


def test_the_front_end_is_that_of_the_evaluation(folder, figures):
    """aisfx has one of its own: periodic Hann of 2048 samples, hop 1024."""
    other_front_end(folder)
    rate, ID = 44100, "4-1-A"
    time = torch.arange(2 * rate, dtype=torch.float64) / rate
    tone = (0.5 * torch.sin(2 * torch.pi * 5000 * time * time)).float()  # a sweep
    for method in METHODS:
        sample = folder / "samples" / ID / method
        write_wavs({"input": tone, "explanation": 0.5 * tone}, sample, rate)
    grid.main([str(folder), f"--ids=[{ID}]"])
    written = torch.from_numpy(soundfile.read(sample / "input.wav", dtype="float32")[0])
    magnitude = torch.stft(
        written / written.abs().max(), 2048, 1024, window=torch.hann_window(2048), center=True,
        pad_mode="constant", return_complex=True,
    ).abs()  # fmt: skip
    expected = (20 * (magnitude / magnitude.max()).clamp_min(1e-4).log10()).numpy()
    image = next(a for a in figures()[0].axes if a.images).images[0]
    assert image.get_array().shape == (1025, 87) and list(image.get_extent()) == [0, 2, 0, 22050]
    loud = expected > -60  # quieter than that, the rounding of the root shows
    torch.testing.assert_close(image.get_array().data[loud], expected[loud], rtol=0, atol=0.05)


def broken_rate(folder):
    path = folder / "samples" / "4-1-A" / "L-MAC" / "input.wav"
    soundfile.write(path, soundfile.read(path)[0], 8000)


def other_front_end(folder):
    (folder / "hyperparams.yaml").write_text(AISFX)


def no_front_end(folder):
    (folder / "hyperparams.yaml").write_text("sample_rate: 16000\n")


def no_row(folder):
    rows = pd.read_csv(folder / "metrics.csv")
    rows[(rows["ID"] != "4-2-A") | (rows["method"] != "L-MAC")].to_csv(
        folder / "metrics.csv", index=False
    )


@pytest.mark.parametrize(
    "options,prepare,message",
    [
        (["--ids=[4-9-A]"], None, "--ids: no samples of '4-9-A'; .*samples: 4-1-A, 4-2-A"),
        (["--methods=[SHAP]"], None, "--methods: no samples of 'SHAP'; .*: L-MAC, Saliency"),
        (
            [],
            lambda f: (f / "metrics.csv").unlink(),
            "There is no .*metrics.csv: give",
        ),
        (
            [],
            lambda f: (f / "samples").rename(f / "x"),
            "no audio or pictures .*--listen",
        ),
        (
            [],
            lambda f: (f / "samples/4-1-A/L-MAC/input.wav").unlink(),
            "There is no input.wav of '4-1-A' and 'L-MAC' in ",
        ),
        ([], broken_rate, "input.wav has 8000 Hz, but the evaluation 16000 Hz"),
        ([], other_front_end, "input.wav has 16000 Hz, but the evaluation 44100 Hz"),
        ([], no_front_end, "hyperparams.yaml has no key front_end: is it the file of an exp"),
        ([], no_row, "metrics.csv has no row of L-MAC for 4-2-A: finish the evaluation"),
    ],
)
def test_mistakes_get_one_sentence(folder, options, prepare, message):
    if prepare:
        prepare(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        grid.main([str(folder), *options])
    assert "\n" not in str(error.value) and not (folder / "grid.png").exists()
