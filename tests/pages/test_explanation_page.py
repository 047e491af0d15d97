"""The page that explain.py writes, opened from the disk."""

import re

import pytest
import soundfile
import torch

from lmac.listen.explanation_page import (
    explanation_data,
    recording_data,
    write_explanation_page,
    write_recording,
)

from .axe import LOOKS, SIZES, look, violations
from .driving import click, playing, press, until
from .made import NASTY, make_explainer, write_noise


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of a long recording and three explanations, and the latter."""
    folder = tmp_path_factory.mktemp("Übung & <1>")
    explainer = make_explainer(folder)
    wave, _ = soundfile.read(write_noise(folder / "x.wav", 5.0, quiet_from=3.5), dtype="float32")
    domain = explainer.explained.domain
    recording = explainer.analyse(torch.from_numpy(wave), f"somewhere/{NASTY.replace('/', '')}.wav")
    assert write_recording(recording, domain, folder) == ["spectrogram.png", "timeline.png"]
    results = [
        explainer.explain_recording(recording, method, asked)
        for method, asked in (("L-MAC", None), ("L-MAC", "rain"), ("GradCAM", None))
    ]
    for result in results:
        result.write(folder / result.folder)
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
    assert heading == f"{recording.name}: {first}, p = {p:.3f}"
    cards = page.execute_script(
        "return result.cards.map((c) => c.article.querySelector('p').textContent)"
    )
    assert cards == [result.sentence for result in results]
    lines = page.execute_script(
        "return [...document.querySelectorAll('.timeline li')].map((l) => l.textContent)"
    )
    assert lines == recording.timeline() and "does not vote" in lines[-1]


def test_keys_and_clicks(page):
    press(page, "1")
    hears(page, "L-MAC/explanation.wav")
    click(page, "article:nth-of-type(3) .plot")
    at = "return result.player.position(result.player.sound)"
    until(page, lambda: page.execute_script(at) >= 2.5, "the middle of five seconds")
    press(page, "2")
    assert hears(page, "L-MAC, asked rain/explanation.wav")["time"] >= 2.4
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
        "const map = result.cards[0].map; map.zoom(4); map.moveTo(4.5);"
        "const line = map.line.getBoundingClientRect(), box = map.scroll.getBoundingClientRect();"
        "return line.left >= box.left && line.right <= box.right"
    )
    assert seen


@pytest.mark.parametrize("size,scheme", LOOKS)
def test_axe_finds_nothing(page, size, scheme):
    look(page, size, scheme)
    page.refresh()
    page.execute_script("document.querySelector('.timeline details').open = true")
    press(page, "3")
    hears(page, "GradCAM/explanation.wav")
    assert violations(page) == []
    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width <= SIZES[size][0]
