"""Figures: what is a formula to matplotlib is drawn as it stands, and what is drawn but once is
what matplotlib draws."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from data_prep.inspection import COLUMNS, inspection_figure
from lmac.core.domain import FrontEnd, get_domain
from lmac.explain import figures
from lmac.explain.figures import confusion_figure, explanation_figure

NAMES = ["a$x{", "$\\frac$", "$a$ b", "_x", "a\\", "狗", "%d"]


@pytest.fixture
def drawn(monkeypatch):
    """The texts of all figures that are saved."""
    texts = set()
    save = Figure.savefig

    def remember(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        texts.update(t for t in figure.findobj(matplotlib.text.Text) if t.get_text())

    def remember_frame(frame, *args, **kwargs):
        write(frame, *args, **kwargs)
        texts.update(t for t in frame.figure.findobj(matplotlib.text.Text) if t.get_text())

    write = figures._Frame.write
    monkeypatch.setattr(Figure, "savefig", remember)
    monkeypatch.setattr(figures._Frame, "write", remember_frame)
    return texts


def test_a_title(tmp_path, drawn, name="$\\frac$ a$x{"):
    domain = get_domain("stft", FrontEnd())
    X = torch.rand(4, domain.front_end.n_fft // 2 + 1)
    explanation_figure(X, X, domain, name, tmp_path / "a.png")
    (title,) = (t for t in drawn if t.get_text() == name)
    assert not title.get_parse_math()
    assert matplotlib.rcParams["text.parse_math"]  # other figures of this process are as before


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_of_classes(tmp_path, drawn):
    n = len(NAMES)
    confusion_figure(torch.arange(n), torch.arange(n), NAMES, tmp_path / "a.png")
    found = [t for t in drawn if t.get_text() in NAMES]
    assert len(found) >= 2 * n and not any(t.get_parse_math() for t in found)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_figure_of_a_check(tmp_path):
    rows = [{**dict.fromkeys(COLUMNS, ""), "label": name, "fold": 1, "seconds": 1.0,
             "rms_db": -20.0} for name in NAMES]  # fmt: skip
    inspection_figure(pd.DataFrame(rows), "data $set{", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def drawn_by_matplotlib(X, mask, domain, title, path):
    """The figure of an explanation, all of it drawn anew by pyplot."""
    seconds = (len(X) - 1) * domain.front_end.hop_samples / domain.front_end.sample_rate
    kept, whole = torch.expm1(mask * X), torch.expm1(X)
    levels = (20 * (x / whole.max()).clamp_min(1e-4).log10() for x in (whole, kept))
    whole, kept = levels
    figure, axes = plt.subplots(
        3, 1, figsize=(8, 8), sharex=True, sharey=True, layout="constrained"
    )
    for axis, name, values, colours, low, high, unit in zip(
        axes, ("input", "mask", "explanation"), (whole, mask, kept), ("magma", "gray_r", "magma"),
        (-80, 0, -80), (0, 1, 0), ("dB", "", "dB"), strict=True,
    ):  # fmt: skip
        image = axis.imshow(
            values.t(), origin="lower", aspect="auto", cmap=colours, vmin=low, vmax=high,
            extent=(0, seconds, 0, domain.top_of_axis), interpolation="nearest",
        )  # fmt: skip
        axis.set(ylabel=domain.axis_label, title=name)
        figure.colorbar(image, ax=axis, label=unit, pad=0.01)
    axes[-1].set_xlabel("time (s)")
    with matplotlib.rc_context({"text.parse_math": False}):
        figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.mark.parametrize("name, n_bins", [("stft", 513), ("mel", 80)])
def test_an_explanation_is_what_matplotlib_draws(tmp_path, name, n_bins):
    """In whatever order clips and lengths come: the frame is shared, pictures and titles not."""
    domain = get_domain(name, FrontEnd())
    torch.manual_seed(0)
    clips = [(3 * torch.rand(n, n_bins), torch.rand(n, n_bins)) for n in (40, 87, 40)]
    titles = ["($p) one\n($p)", "($p)", "another ($p)\n($p) of two"]
    theirs = []
    for clip, title in zip(clips, titles, strict=True):
        drawn_by_matplotlib(*clip, domain, title, tmp_path / "theirs.png")
        theirs.append(pixels(tmp_path / "theirs.png"))
    for i in (0, 1, 2, 0):
        explanation_figure(*clips[i], domain, titles[i], tmp_path / "ours.png")
        ours = pixels(tmp_path / "ours.png")
        assert ours.shape == theirs[i].shape == (800, 800, 3)
        # Letters are rounded otherwise, and an edge may fall on the next column of pixels.
        other = abs(ours - theirs[i]).max(2) > 8
        assert other.mean() < 0.003 and other[:40].mean() < 0.001, i  # the title, too
    with Image.open(tmp_path / "ours.png") as image:
        assert image.info["dpi"] == pytest.approx((100, 100), abs=0.1)
