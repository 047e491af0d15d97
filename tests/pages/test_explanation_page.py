"""The page that explain.py writes, opened from the disk."""

import re

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from lmac.explain.figures import WIDEST, write_mask
from lmac.pages.explanation_page import (
    draw_recording,
    explanation_data,
    recording_data,
    write_explanation_page,
    write_recording,
)

from .axe import LOOKS, SIZES, look, violations
from .driving import click, playing, press, until
from .made import NASTY, RATE, make_explainer, write_noise


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of a long recording and three explanations, and the latter."""
    folder = tmp_path_factory.mktemp("Übung & <1>")
    explainer = make_explainer(folder)
    wave, _ = soundfile.read(write_noise(folder / "x.wav", 12.0, quiet_from=10.0), dtype="float32")
    domain = explainer.explained.domain
    name = f"somewhere/{NASTY.replace('/', '')}.wav"
    recording = explainer.read((wave, RATE), name=name)
    assert write_recording(recording, domain, folder) == ["spectrogram.png"]
    assert draw_recording(recording, folder) == ["timeline.png"]
    results = [
        explainer(recording, method, asked)
        for method, asked in (("L-MAC", None), ("L-MAC", "rain"), ("GradCAM", None))
    ]
    for result in results:
        result.save(folder / result.folder)
    data = recording_data(recording, domain, folder, folder)
    parts = [explanation_data(result, folder / result.folder, folder) for result in results]
    return write_explanation_page(data, parts, folder / "index.html"), recording, results


@pytest.fixture
def page(browser, written):
    browser.set_window_size(1280, 900)
    browser.get(written[0].as_uri())
    return browser


def hears(driver, part):
    def one():
        now = playing(driver)
        return len(now) == 1 and now[0]["time"] > 0 and part in now[0]["src"]

    until(driver, one, f"{part} plays")
    return playing(driver)[0]


def test_it_needs_no_network_and_names_no_folder(written):
    text = written[0].read_text(encoding="utf-8")
    assert not re.search(r"https?:|src=\"(?!data)|@import|url\(", text)
    assert str(written[0].parent) not in text


def test_what_it_says(page, written):
    _, recording, results = written
    assert page.execute_script("return document.querySelector('h1').textContent") == (
        f"What the classifier heard in {recording.name}"
    )
    first, p = recording.top_classes()[0]
    heading = page.execute_script("return document.querySelector('.heard h2').textContent")
    assert heading == f"{recording.name}: {first.replace('_', ' ')}, p = {p:.3f}"
    cards = page.execute_script(
        "return result.cards.map((c) => c.article.querySelector('.numbers').textContent)"
    )
    assert cards == [result.sentence for result in results]
    words = page.execute_script(
        "return result.cards.map((c) => c.article.querySelector('.words').textContent)"
    )
    for text, result in zip(words, results, strict=True):
        assert f"This part alone gives {result.p_in:.2f}." in text
        assert f"{result.p:.2f}" in text and f"{result.p_out:.2f}" in text and "_" not in text
    lines = page.execute_script(
        "return [...document.querySelectorAll('.timeline li')].map((l) => l.textContent)"
    )
    assert lines == recording.timeline() and "does not vote" in lines[-1]


def test_keys_and_clicks(page):
    press(page, "1")
    hears(page, "L-MAC/explanation.wav")
    click(page, "article:nth-of-type(3) .plot")
    at = "return result.player.position(result.player.sound)"
    until(page, lambda: page.execute_script(at) >= 6, "the middle of twelve seconds")
    press(page, "2")
    assert hears(page, "L-MAC, asked rain/explanation.wav")["time"] >= 5.9
    press(page, "r")
    hears(page, "asked rain/removed.wav")
    press(page, "0")
    hears(page, "asked rain/input.wav")
    press(page, " ")
    until(page, lambda: playing(page) == [], "paused")
    before = page.execute_script(at)
    press(page, "\ue012")  # arrow left
    until(page, lambda: abs(page.execute_script(at) - max(0, before - 1)) < 0.05, "a second back")
    press(page, "m", "l")
    assert page.execute_script("return [result.player.matched, result.player.loop]") == [True, True]


def test_pictures_load_and_a_zoomed_one_follows_the_cursor(page):
    loaded = (
        "return [...document.querySelectorAll('.plot img')].every((i) => i.complete && "
        "i.naturalWidth > 100)"
    )
    until(page, lambda: page.execute_script(loaded), "pictures load")
    seen = page.execute_script(
        "const map = result.cards[0].map; map.zoom(4); map.moveTo(11);"
        "const line = map.line.getBoundingClientRect(), box = map.scroll.getBoundingClientRect();"
        "return line.left >= box.left && line.right <= box.right"
    )
    assert seen


def test_the_pictures_are_the_maps(written):
    """A pixel a frame and band, low frequencies below; the mask is black where it removes."""
    page, recording, results = written
    for result in results:
        image = np.asarray(Image.open(page.parent / result.folder / "mask.png").convert("RGBA"))
        np.testing.assert_array_equal(image[..., :3], 0)
        kept = 1 - image[::-1, :, 3].T / 255
        np.testing.assert_allclose(kept, result.mask.numpy(), atol=0.5 / 255 + 1e-6)
    pixels = np.asarray(Image.open(page.parent / "spectrogram.png").convert("RGB"), dtype=float)
    brightness = pixels.sum(2)[::-1].T
    X = results[0].X.numpy()
    order = np.corrcoef(brightness.ravel(), np.log(np.expm1(X) + 1e-4 * np.expm1(X).max()).ravel())
    assert brightness.shape == X.shape and order[0, 1] > 0.97


def test_long_maps_are_averaged_to_a_picture(tmp_path):
    mask = torch.zeros(WIDEST * 2, 4)
    mask[1::2] = 1
    write_mask(mask, tmp_path / "mask.png")
    image = np.asarray(Image.open(tmp_path / "mask.png").convert("RGBA"))
    assert image.shape == (4, WIDEST, 4) and set(image[..., 3].ravel()) == {128}


@pytest.mark.parametrize("size,scheme", LOOKS)
def test_axe_finds_nothing(page, size, scheme):
    look(page, size, scheme)
    page.refresh()
    page.execute_script(
        "document.querySelector('.timeline details').open = true; result.loop.click()"
    )
    press(page, "3")
    hears(page, "GradCAM/explanation.wav")
    assert violations(page) == []
    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width <= SIZES[size][0]
