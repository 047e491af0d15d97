"""Figures of any names: what is a formula to matplotlib is drawn as it stands."""

import matplotlib
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from data_prep.check import COLUMNS, check_figure
from lmac.domain import FrontEnd, get_domain
from lmac.media.figures import confusion_figure, explanation_figure

NAMES = ["a$x{", "$\\frac$", "$a$ b", "_x", "a\\", "狗", "%d"]


@pytest.fixture
def drawn(monkeypatch):
    """The texts of all figures that are saved."""
    texts = set()
    save = Figure.savefig

    def remember(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        texts.update(t for t in figure.findobj(matplotlib.text.Text) if t.get_text())

    monkeypatch.setattr(Figure, "savefig", remember)
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
    check_figure(pd.DataFrame(rows), "data $set{", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
