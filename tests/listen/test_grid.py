"""Spectrogram grids from an evaluation's folder, made by hand here."""

import pandas as pd
import pytest
import soundfile
import torch
from matplotlib import pyplot as plt

from lmac.domain import FrontEnd, get_domain
from lmac.listen import grid
from lmac.media.audio import write_wavs

RATE = 16000
IDS, METHODS = ["4-1-A", "4-2-A"], ["L-MAC", "Saliency"]


@pytest.fixture
def folder(tmp_path):
    """Explanations of a tone of 1 kHz: half of it by L-MAC, a hundredth by Saliency."""
    (tmp_path / "hyperparams.yaml").write_text(
        "sample_rate: 16000\nn_fft: 1024\nwin_length: 23.2199\nhop_length: 11.6099\n"
    )
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(RATE, dtype=torch.float64) / RATE).float()
    rows = []
    for i, ID in enumerate(IDS):
        for method, share in zip(METHODS, (0.5, 0.01), strict=True):
            # Saliency's WAVs have another gain: its removed part would clip.
            other = {"removed": 4 * tone} if method == "Saliency" else {}
            write_wavs({"input": tone, "explanation": share * tone, **other},
                       tmp_path / "samples" / ID / method, RATE)  # fmt: skip
            rows.append({"method": method, "ID": ID, "decision": "dog", "label": "rain",
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
    grid.main([str(folder), "--ids", "4-2-A,4-1-A", "--methods", "Saliency,L-MAC",
               "--output", str(folder / "out" / "two.clips")])  # fmt: skip
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
    grid.main([str(folder), "--ids", "4-1-A"])
    peaks = [a.images[0].get_array()[:, 20:-20].max() for a in figures()[0].axes if a.images]
    assert peaks == pytest.approx([0, -6.02, -40], abs=0.1)


def test_explanations_are_read_relative_to_their_own_input(folder):
    domain = get_domain("stft", FrontEnd())
    (first, seconds), (second, _) = (
        grid.magnitudes(folder / "samples" / "4-1-A" / m, domain) for m in METHODS
    )
    assert seconds == 1 and first.shape == (2, 87, 513)
    torch.testing.assert_close(first[0], second[0], rtol=0, atol=0.02)


def broken_rate(folder):
    path = folder / "samples" / "4-1-A" / "L-MAC" / "input.wav"
    soundfile.write(path, soundfile.read(path)[0], 8000)


def no_row(folder):
    rows = pd.read_csv(folder / "metrics.csv")
    rows[rows["ID"] != "4-1-A"].to_csv(folder / "metrics.csv", index=False)


@pytest.mark.parametrize(
    "options,prepare,message",
    [
        (["--ids", "4-9-A"], None, "--ids: no samples of '4-9-A'; .*samples: 4-1-A, 4-2-A"),
        (["--methods", "SHAP"], None, "--methods: no samples of 'SHAP'; .*: L-MAC, Saliency"),
        ([], lambda f: (f / "metrics.csv").unlink(), "There is no .*metrics.csv: give the output"),
        ([], lambda f: (f / "samples").rename(f / "x"), "no samples in .*evaluate with --listen"),
        ([], lambda f: (f / "samples/4-1-A/L-MAC/input.wav").unlink(), "There is no .*input.wav"),
        ([], broken_rate, "input.wav has 8000 Hz, but the evaluation 16000 Hz"),
        ([], no_row, "metrics.csv has no row of L-MAC for 4-1-A: finish the evaluation"),
    ],
)
def test_mistakes_get_one_sentence(folder, options, prepare, message):
    if prepare:
        prepare(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        grid.main([str(folder), *options])
    assert "\n" not in str(error.value) and not (folder / "grid.png").exists()
