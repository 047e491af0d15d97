"""The app, driven as a visitor does: a sound is sent, explained, heard, looked at, taken away."""

import http.client
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from lmac.pages.app import App, find_examples, limits_of, offered, remove_left
from lmac.pages.job_queue import JobQueue, Limits
from lmac.pages.server import Refused

from .axe import LOOKS, SIZES, look, violations
from .driving import click, playing, press, until
from .made import NASTY, NASTY_CLASS, RATE, make_explainer, write_noise

METHODS = {"L-MAC": True, "GradCAM": True, "All-ones": False}


@pytest.fixture(scope="module")
def explainer(tmp_path_factory):
    return make_explainer(tmp_path_factory.mktemp("weights"))


@contextmanager
def running(app):
    thread = threading.Thread(target=app.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield app
    finally:
        app.shutdown()
        thread.join()
        app.server_close()


@pytest.fixture(scope="module")
def app(explainer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    examples = [write_noise(folder / "an example.wav", 0.8)]
    limits = Limits(seconds=20, bytes=2_000_000)
    given = explainer, METHODS, ["L-MAC"], folder, examples, limits
    with running(App(("127.0.0.1", 0), *given)) as app:
        yield app


@pytest.fixture
def page(browser, app):
    browser.set_window_size(1280, 900)
    browser.get(f"http://127.0.0.1:{app.server_port}/")
    return browser


def ask(app, method, path, body=None, kind=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", app.server_port, timeout=30)
    try:
        given = ({"Content-Type": kind} if kind else {}) | headers
        connection.request(method, path, body, given)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def upload(driver, path):
    from selenium.webdriver.common.by import By

    driver.find_element(By.CSS_SELECTOR, "#file").send_keys(str(path))


def shown(driver, name, cards=1):
    """Wait until the page shows so many explanations of the sound called ``name``."""
    seen = "return result.data && [result.data.name, result.cards.length]"
    until(driver, lambda: driver.execute_script(seen) == [name, cards], f"{name} is explained")


def fetched(app, url):
    status, body = ask(app, "GET", "/" + url)
    assert status == 200
    return soundfile.read(io.BytesIO(body), dtype="float32")


def sounds(driver, card=0):
    return driver.execute_script(
        "return Object.fromEntries(result.cards[arguments[0]].sounds.map((s) => [s.name, s.url]))",
        card,
    )


def plain(name):
    return name.replace("_", " ")


def text(driver, selector):
    return driver.execute_script(
        "return document.querySelector(arguments[0]).textContent", selector
    )


# --- from a sound to its explanation ---


def test_a_sound_is_sent_and_its_explanation_heard(page, app, explainer, tmp_path):
    path = write_noise(tmp_path / f"{NASTY.replace('/', '')}.wav", 1.0)
    upload(page, path)
    shown(page, path.name)
    page.execute_script("result.loop.click()")  # a slow machine does not miss it
    click(page, ".explained .explanation")
    until(page, lambda: [a for a in playing(page) if a["time"] > 0.1], "time goes on")
    assert "L-MAC/explanation.wav" in playing(page)[0]["src"]
    # What is served is what the explainer makes of this sound, at the level of the WAVs.
    result = explainer(path, "L-MAC")
    wave, rate = fetched(app, sounds(page)["explanation"])
    assert rate == RATE and np.sqrt(np.mean(wave**2)) > 0.01
    want = result.explanation.numpy()
    gain = float(wave @ want / (want @ want))
    np.testing.assert_allclose(wave, gain * want, atol=1e-4)
    assert text(page, ".heard h2") == f"{path.name}: {plain(result.decision)}, p = {result.p:.3f}"
    first = [(plain(name), f"{p:.3f}") for name, p in result.top_classes()]
    rows = (
        "return [...document.querySelectorAll('.classes li')].map((line) =>"
        "[line.children[0], line.children[2]].map((e) => e.textContent))"
    )
    assert [tuple(row) for row in page.execute_script(rows)] == first
    assert f"p_in = {result.p_in:.3f} for the explanation alone" in text(
        page, ".explained .numbers"
    )


def test_a_click_on_the_spectrogram_goes_there(page, tmp_path):
    upload(page, write_noise(tmp_path / "click.wav", 4.0))
    shown(page, "click.wav")
    click(page, ".explained .plot")  # its middle
    at = "return result.player.position(result.player.sound)"
    until(page, lambda: abs(page.execute_script(at) - 2.0) < 0.05, "half of it")
    where = (
        "const plot = document.querySelector('.plot').getBoundingClientRect(),"
        "line = document.querySelector('.plot .cursor').getBoundingClientRect();"
        "return (line.left + line.width / 2 - plot.left) / plot.width"
    )
    assert page.execute_script(where) == pytest.approx(0.5, abs=0.02)
    assert playing(page) == []
    page.execute_script("result.loop.click()")
    press(page, " ")
    until(page, lambda: playing(page) and page.execute_script(where) > 0.52, "the cursor follows")


def test_the_mask_is_laid_over_as_far_as_the_slider_says(page, app, tmp_path):
    from selenium.webdriver.common.by import By

    upload(page, write_noise(tmp_path / "mask.wav", 1.0))
    shown(page, "mask.wav")
    ready = (
        "return [...document.querySelectorAll('.plot img')].every((i) => i.complete && "
        "i.naturalWidth)"
    )
    until(page, lambda: page.execute_script(ready), "pictures load")
    page.execute_script("document.querySelector('.plot .cursor').style.display = 'none'")

    def pixels(opacity):
        page.execute_script(
            "const s = document.getElementById('opacity'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('input'))", opacity,
        )  # fmt: skip
        plot = page.find_element(By.CSS_SELECTOR, ".plot")
        # Not under the player, which stays on top.
        page.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
        picture = Image.open(io.BytesIO(plot.screenshot_as_png)).convert("RGB")
        return np.asarray(picture, dtype=float)[2:-2, 2:-2].mean()

    none, half, full = pixels(0), pixels(0.5), pixels(1)
    card = page.execute_script("return [result.data.spectrogram, result.cards[0].map.over.src]")
    urls = [card[0], card[1].partition(f":{app.server_port}/")[2]]
    spectrogram, mask = (
        np.asarray(Image.open(io.BytesIO(ask(app, "GET", f"/{url}")[1])).convert("RGBA"), float)
        for url in urls
    )
    assert none == pytest.approx(spectrogram[..., :3].mean(), rel=0.03)
    kept = spectrogram[..., :3] * (1 - mask[..., 3:] / 255)
    assert full == pytest.approx(kept.mean(), rel=0.05)
    assert full < half < none and none - full > 5


def test_a_recording_of_the_microphone(page, app):
    """Chromium's fake microphone beeps once a second."""
    click(page, "#record")
    until(page, lambda: "Recording, 2 s" in text(page, "#said"), "it records")
    assert text(page, "#record") == "■ Stop"
    click(page, "#record")
    shown(page, "recording.wav")
    wave, _ = fetched(app, sounds(page)["input"])
    assert 1.5 < len(wave) / RATE < 20 and np.abs(wave).max() > 0.1


def test_an_example_and_another_method_and_class(page):
    page.execute_script(
        "$('example').selectedIndex = 1; $('example').dispatchEvent(new Event('change'))"
    )
    shown(page, "an example.wav")
    second = page.execute_script("return plain(result.data.top[1].name)")
    click(page, f"button[aria-label='Explain {second}']")
    shown(page, "an example.wav", 2)
    asked = page.execute_script(
        "return result.data && result.cards[1].article.querySelector('h2').textContent"
    )
    assert asked.endswith("(asked)") and second in asked
    # A method that cannot be asked says so, and one that can is there in its place.
    click(page, "#methods input[value='All-ones']")
    click(page, "#go")
    only = "All-ones explains the classifier's own decision only"
    until(page, lambda: text(page, "#said") == f"{only}.", "beside one that can")
    click(page, "#methods input[value='L-MAC']")
    click(page, "#go")
    until(page, lambda: text(page, "#said") == f"{only}: L-MAC in its place.", "alone")
    assert page.execute_script("return document.querySelector('input[value=L-MAC]').checked")
    page.execute_script("$('class').value = ''")
    click(page, "#go")
    shown(page, "an example.wav", 3)
    assert text(page, "#error") == ""


def test_a_long_sound_has_progress_and_a_timeline(page, explainer, tmp_path, monkeypatch):
    path = write_noise(tmp_path / "long.wav", 6.0, quiet_from=4.0)
    said = page.execute_script(
        "window.heard = []; new MutationObserver(() => heard.push($('said').textContent))"
        ".observe($('said'), {childList: true})"
    )
    slow = explainer.explain
    # So slow that the page sees it.
    monkeypatch.setattr(explainer, "explain", lambda *a: (time.sleep(0.4), slow(*a))[1])
    upload(page, path)
    shown(page, "long.wav")
    said = page.execute_script("return heard")
    assert any(re.fullmatch(r"Explaining by L-MAC, \d+ %", line) for line in said), said
    windows = page.execute_script("return result.data.windows.map((w) => w.votes)")
    assert windows[0] and not windows[-1] and len(windows) == 8
    lines = page.execute_script(
        "return [...document.querySelectorAll('.timeline li')].map((l) => l.textContent)"
    )
    assert re.fullmatch(r"0:0\d\.\d-0:06\.0  next to silent \(-\d+ dB\), does not vote", lines[-1])
    assert page.execute_script("return document.querySelectorAll('.cells .quiet').length") == (
        5 * windows.count(False)
    )
    until(page, lambda: "timeline.png" in text(page, ".timeline"), "the timeline is drawn")
    click(page, ".timeline .cells")
    at = "return result.player.position(result.player.sound)"
    until(page, lambda: abs(page.execute_script(at) - 3.0) < 0.1, "the middle of the timeline")


def test_files_to_take_away(page, app, tmp_path):
    upload(page, write_noise(tmp_path / "take.wav", 0.6))
    shown(page, "take.wav")
    until(page, lambda: "explanation.png" in text(page, ".downloads"), "it is drawn")
    links = page.execute_script(
        "return [...document.querySelectorAll('.downloads a')].map((a) =>"
        "[a.download, a.getAttribute('href')])"
    )
    names = [name for name, _ in links]
    assert names == [
        *("explanation.wav", "removed.wav", "input.wav", "explanation.png", "explanation.json")
    ]
    content = json.loads(ask(app, "GET", f"/{links[-1][1]}")[1])
    assert content["source"] == "take.wav" and content["method"] == "L-MAC"
    assert ask(app, "GET", f"/{links[3][1]}")[1].startswith(b"\x89PNG")
    assert fetched(app, links[2][1])[0].shape == (round(0.6 * RATE),)


def test_two_visitors_at_once(page, app, tmp_path):
    paths = [write_noise(tmp_path / f"visitor {i}.wav", 0.5 + i, seed=i) for i in range(2)]
    first = page.current_window_handle
    page.switch_to.new_window("tab")
    second = page.current_window_handle
    page.get(f"http://127.0.0.1:{app.server_port}/")
    try:
        for tab, path in zip((first, second), paths, strict=True):
            page.switch_to.window(tab)
            upload(page, path)
        for tab, path, seconds in zip((first, second), paths, (0.5, 1.5), strict=True):
            page.switch_to.window(tab)
            shown(page, path.name)
            wave, _ = fetched(app, sounds(page)["explanation"])
            assert len(wave) == round(seconds * RATE)
    finally:
        page.switch_to.window(second)
        page.close()
        page.switch_to.window(first)


def test_mistakes_get_one_sentence(page, app, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    (tmp_path / "large.wav").write_bytes(bytes(2_000_001))
    (tmp_path / "notes.m4a").write_text("no sound, either")
    soundfile.write(tmp_path / "long.flac", np.zeros(30 * RATE), RATE)
    for name, sentence in {
        "text.wav": "text.wav cannot be read as audio: send a WAV, FLAC, OGG or MP3 file.",
        "silent.wav": "silent.wav is silent (its largest sample is 0): there is nothing to "
        "explain.",
        "large.wav": "large.wav has 2.0 MB: at most 2.0 MB are taken.",
        "notes.m4a": "notes.m4a cannot be read as audio: send a WAV, FLAC, OGG or MP3 file.",
        "long.flac": "long.flac is 30 s long: at most 20 s are explained here.",
    }.items():
        upload(page, tmp_path / name)
        until(page, lambda s=sentence: text(page, "#error") == s, sentence)
    # And the page goes on.
    upload(page, write_noise(tmp_path / "good.wav", 0.5))
    shown(page, "good.wav")
    assert text(page, "#error") == ""
    assert len(page.get_log("browser")) == 2  # what the server refused: two sounds


@pytest.mark.parametrize("size,scheme", LOOKS)
def test_axe_finds_nothing(page, size, scheme, tmp_path):
    look(page, size, scheme)
    page.refresh()
    assert violations(page) == []
    upload(page, write_noise(tmp_path / "axe.wav", 2.5, quiet_from=1.2))
    shown(page, "axe.wav")
    page.execute_script(
        "result.cards.forEach(({ map }) => map.zoom(3));"
        "document.querySelector('.timeline details').open = true; $('error').textContent = 'No.';"
        "result.loop.click()"
    )
    press(page, "1")
    until(page, lambda: playing(page), "it plays")
    assert violations(page) == []
    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width <= SIZES[size][0]


def test_nothing_comes_from_elsewhere(app):
    page = ask(app, "GET", "/")[1].decode()
    assert not re.search(r"https?:|src=\"(?!data)|@import|url\(", page)


# --- what is behind it ---


def keep(app, path, **headers):
    body = path.read_bytes()
    status, answer = ask(app, "POST", "/sounds/x.wav", body, "application/octet-stream", **headers)
    return status, json.loads(answer)["id"] if status == 201 else answer.decode()


def test_what_is_not_in_order_is_refused_in_one_sentence(app, tmp_path):
    path = write_noise(tmp_path / "x.wav", 0.3)
    status, identity = keep(app, path)
    assert status == 201
    for content, sentence in [
        (b"{", "A JSON object was expected."),
        (b"[" * 90_000, "A JSON object was expected."),
        ([], "methods must be a list of at least one name."),
        ({"methods": ["L-MAC"]}, "classes must be a list of at least one name."),
        ({"methods": ["Oracle"], "classes": [None]}, "methods: expected some of L-MAC, GradCAM"),
        ({"methods": ["../x"], "classes": [None]}, "methods: expected some of L-MAC, GradCAM"),
        ({"methods": ["L-MAC"], "classes": ["cat"]}, "There is no class 'cat'."),
        ({"methods": ["All-ones"], "classes": ["dog"]}, "All-ones explains the classifier's own"),
    ]:
        body = content if isinstance(content, bytes) else json.dumps(content)
        status, answer = ask(app, "POST", f"/explanations/{identity}", body, "application/json")
        assert status == 400 and answer.decode().startswith(sentence), (content, answer)
    question = json.dumps({"methods": ["L-MAC"], "classes": [None]})
    status, answer = ask(app, "POST", "/explanations/nobody", question, "application/json")
    assert (status, answer) == (404, b"This sound is not kept any more: send it once more.\n")
    assert ask(app, "GET", "/state/nobody")[0] == 404
    for place in (
        *("/sounds/", "/sounds/nobody/x", "/../decoder.ckpt", f"/sounds/{identity}/upload"),
        *(f"/sounds/{identity}/../x", f"/sounds/{identity}/%2e%2e/%2e%2e/index.html"),
    ):
        assert ask(app, "GET", place)[0] == 404, place
    assert keep(app, path, Origin="http://elsewhere.example")[0] == 415
    assert keep(app, path, Host="elsewhere.example")[0] == 421
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(2_100_000))
    assert keep(app, large) == (413, "At most 2.0 MB are taken, this is 2.1 MB.\n")


@pytest.fixture
def desk(explainer, tmp_path, monkeypatch):
    """Makes a desk; without the pictures for print, which take longest."""
    monkeypatch.setattr("lmac.explain.explanation.explanation_figure", lambda *_: None)
    made = []

    def make(**limits):
        made.append(JobQueue(explainer, METHODS, tmp_path / "desk", Limits(**limits)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def finished(desk, sound):
    while desk.status(sound.id)["state"] in ("waiting", "working"):
        time.sleep(0.01)
    return desk.status(sound.id)


OWN = {"methods": ["GradCAM"], "classes": [None]}


def test_one_explanation_at_a_time_and_a_queue_that_ends(desk, explainer, tmp_path, monkeypatch):
    path = write_noise(tmp_path / "x.wav", 0.3)
    one = desk(waiting=2)
    running_now, most, go = [], [], threading.Event()
    plain = explainer.explain

    def watched(*arguments):
        running_now.append(1)
        most.append(len(running_now))
        assert go.wait(30)
        try:
            return plain(*arguments)
        finally:
            running_now.pop()

    monkeypatch.setattr(explainer, "explain", watched)
    all_sounds = [one.add(path.read_bytes(), f"{i}.wav") for i in range(4)]
    one.ask(all_sounds[0].id, OWN)
    while not running_now:
        time.sleep(0.01)
    for sound in all_sounds[1:3]:
        one.ask(sound.id, OWN)
    assert [one.status(s.id)["ahead"] for s in all_sounds[:3]] == [0, 1, 2]
    with pytest.raises(Refused, match="This sound is being explained: wait for it"):
        one.ask(all_sounds[1].id, OWN)
    with pytest.raises(Refused, match="Too many are waiting: try again in a minute"):
        one.ask(all_sounds[3].id, OWN)
    go.set()
    for sound in all_sounds[:3]:
        state = finished(one, sound)
        assert state["state"] == "kept" and state["share"] == 1.0
        assert state["data"]["name"] == sound.name
    assert max(most) == 1


def test_a_failure_is_told_and_the_next_one_is_served(
    desk, explainer, tmp_path, monkeypatch, capfd
):
    path = write_noise(tmp_path / "x.wav", 0.3)
    one = desk()
    plain = explainer.explain

    def broken(recording, method, asked):
        if method == "GradCAM":
            raise RuntimeError("a secret path")
        return plain(recording, method, asked)

    monkeypatch.setattr(explainer, "explain", broken)
    sounds = [one.add(path.read_bytes(), "x.wav") for _ in range(2)]
    one.ask(sounds[0].id, {"methods": ["L-MAC", "GradCAM"], "classes": [None]})
    one.ask(sounds[1].id, {"methods": ["L-MAC"], "classes": [None]})
    state = finished(one, sounds[0])
    assert state["error"] == "Something went wrong here; the log of the server says what."
    assert [e["method"] for e in state["data"]["explanations"]] == ["L-MAC"]  # what was made
    assert finished(one, sounds[1])["state"] == "kept"
    assert "a secret path" in capfd.readouterr().err


def test_sounds_are_deleted_after_a_while(desk, tmp_path, monkeypatch):
    path = write_noise(tmp_path / "x.wav", 0.3)
    one = desk(keep_s=100, sounds=3)
    tidy = one.tidy
    # The worker's own, and that of a new sound, do not come in between.
    monkeypatch.setattr(one, "tidy", lambda room=0: None)
    now = [1000.0]
    monkeypatch.setattr("lmac.pages.job_queue.time.monotonic", lambda: now[0])
    first = one.add(path.read_bytes(), "x.wav")
    one.ask(first.id, OWN)
    finished(one, first)
    now[0] += 90
    one.status(first.id)  # it was looked at
    now[0] += 90
    tidy()
    assert first.folder.is_dir()
    now[0] += 11
    tidy()
    assert not first.folder.exists() and one.last == {}
    with pytest.raises(Refused, match="not kept any more"):
        one.status(first.id)
    monkeypatch.undo()
    several = []
    for _ in range(5):
        several.append(one.add(path.read_bytes(), "x.wav"))
        assert len(one.sounds) <= 3  # at any time
    assert [s.folder.is_dir() for s in several] == [False, False, True, True, True]
    for sound in several[2:]:
        one.sounds[sound.id].state = "waiting"
    with pytest.raises(Refused, match="Too many sounds are here"):
        one.add(path.read_bytes(), "x.wav")


def test_a_short_sound_does_not_wait_for_a_long_one(desk, explainer, tmp_path, monkeypatch):
    """The long one gives way between two batches; the network is one's at a time."""
    one, go, inside = desk(), threading.Event(), []
    read = explainer.read

    def slowly(path, progress, name):
        while name == "long.wav" and not go.is_set():
            progress(0)
        inside.append(name)
        assert len(inside) == 1
        recording = read(path, progress, name) if name != "long.wav" else None
        inside.clear()
        if recording is None:
            raise ValueError("enough")
        return recording

    monkeypatch.setattr(explainer, "read", slowly)
    long = one.add(write_noise(tmp_path / "long.wav", 61.0).read_bytes(), "long.wav")
    short = one.add(write_noise(tmp_path / "short.wav", 0.3).read_bytes(), "short.wav")
    try:
        one.ask(long.id, OWN)
        one.ask(short.id, OWN)
        assert one.status(short.id)["ahead"] == 0
        assert finished(one, short)["data"]["name"] == "short.wav"
        assert one.status(long.id)["state"] == "working"
        said = one.paint(short.id, {"start": "everything", "strokes": []})
        assert said["p"] == said["p_in"] and one.status(long.id)["state"] == "working"
    finally:
        go.set()
    assert finished(one, long)["error"] == "enough"


def test_much_of_few_bytes_is_refused(desk, tmp_path):
    """A silent FLAC of many channels is small, and large once it is decoded."""
    path = tmp_path / "wide.flac"
    with soundfile.SoundFile(path, "w", 96000, 8) as file:
        for _ in range(200):
            file.write(np.zeros((96000, 8), np.float32))
    assert path.stat().st_size < 1e6
    with pytest.raises(Refused, match="8 channels at 96000 Hz: too much to decode"):
        desk(seconds=600).add(path.read_bytes(), path.name)


def test_a_second_question_reads_the_sound_no_more(desk, explainer, tmp_path, monkeypatch):
    path = write_noise(tmp_path / "x.wav", 0.3)
    one, reads = desk(), []
    read = explainer.read
    monkeypatch.setattr(explainer, "read", lambda *a: reads.append(1) or read(*a))
    sound = one.add(path.read_bytes(), "x.wav")
    one.ask(sound.id, OWN)
    finished(one, sound)
    one.ask(sound.id, {"methods": ["GradCAM", "L-MAC"], "classes": ["dog", NASTY_CLASS]})
    data = finished(one, sound)["data"]
    assert len(reads) == 1
    made = [(e["method"], e["asked"]) for e in data["explanations"]]
    assert made == [("GradCAM", None), ("GradCAM", "dog"), ("GradCAM", NASTY_CLASS),
                    ("L-MAC", "dog"), ("L-MAC", NASTY_CLASS)]  # fmt: skip


def test_methods_without_their_weights_are_not_offered(explainer, tmp_path):
    from interpreters.constant import Oracle

    def without(explained):
        raise ValueError("its weights are missing")

    given = dict(explainer.available)
    try:
        explainer.available |= {"L2I": without, "Oracle": Oracle}
        methods, missing = offered(explainer, ["L-MAC"])
        assert methods == {"L-MAC": True, "GradCAM": True, "All-ones": True}
        assert missing == {"L2I": "its weights are missing",
                           "Oracle": "Oracle needs the clean source of a mixture."}  # fmt: skip
        with pytest.raises(ValueError, match="its weights are missing"):
            offered(explainer, ["L2I"])
        with pytest.raises(ValueError, match="unknown interpreter 'LIME'"):
            offered(explainer, ["LIME"])
    finally:
        explainer.available = given


def test_examples(tmp_path):
    made = find_examples(None, tmp_path)
    assert len(made) == 3 and all(soundfile.info(path).duration == 5 for path in made)
    assert find_examples(tmp_path, None) == sorted(made)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="--examples=.*expected a folder with .wav"):
        find_examples(tmp_path / "empty", None)


@pytest.mark.parametrize("key,value", [("max_seconds", float("nan")), ("keep_minutes", -5.0),
                                       ("max_mb", 0.0), ("max_mb", float("inf"))])  # fmt: skip
def test_a_limit_that_limits_nothing_is_refused(key, value):
    options = {"max_seconds": 600.0, "max_mb": 50.0, "keep_minutes": 60.0}
    assert limits_of(options) == Limits()
    with pytest.raises(ValueError, match=f"--{key}=.*: expected a number above 0"):
        limits_of({**options, key: value})


def test_a_port_in_use_is_one_sentence(app, explainer, tmp_path):
    taken = app.server_port
    with pytest.raises(OSError, match="in use"):  # and no error about what was not made yet
        App(("127.0.0.1", taken), explainer, METHODS, ["L-MAC"], tmp_path)


def test_sounds_of_a_server_that_was_killed_are_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stay = [f"lmac-app-{os.getpid()}-y", "lmac-app-", "lmac-app-z-1", "other"]
    for name in (f"lmac-app-{ended.pid}-x", *stay):
        (tmp_path / name / "sounds").mkdir(parents=True)
    remove_left(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(stay)


def test_few_uploads_are_in_memory_at_a_time(app, monkeypatch):
    """Three clients that send slowly leave no place for a fourth, which is told so."""
    monkeypatch.setattr("lmac.pages.app.WAIT_S", 0.1)
    slow = [http.client.HTTPConnection("127.0.0.1", app.server_port, timeout=30) for _ in range(3)]
    for connection in slow:
        connection.putrequest("POST", "/sounds/slow.wav")
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b"RIFF")
    binary = "application/octet-stream"
    answer = None
    while answer != 503:  # until all three are there
        answer, said = ask(app, "POST", "/sounds/x.wav", b"RIFF", binary)
        assert answer in (400, 503)
    assert b"Too many are sending" in said
    for connection in slow:
        connection.close()
    while answer == 503:
        answer, _ = ask(app, "POST", "/sounds/x.wav", b"RIFF", binary)
    assert answer == 400


def test_a_sound_is_found_again_taken_away_whole_and_deleted(page, app, tmp_path):
    upload(page, write_noise(tmp_path / "again.wav", 0.8))
    shown(page, "again.wav")
    until(page, lambda: text(page, "#said") == "", "nothing is being done")
    address = page.current_url
    identity = address.partition("#")[2]
    page.get("about:blank")
    page.get(address)  # as after a refresh
    shown(page, "again.wav")
    url = page.execute_script("return $('all').getAttribute('href')")
    status, body = ask(app, "GET", f"/{url}")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert status == 200 and archive.testzip() is None
        assert {"L-MAC/explanation.wav", "L-MAC/mask.png", "spectrogram.png"} <= set(
            archive.namelist()
        )
        alone = ask(app, "GET", f"/sounds/{identity}/L-MAC/input.wav")[1]
        assert archive.read("L-MAC/input.wav") == alone
    until(page, lambda: page.execute_script("return !$('clear').hidden"), "it can be deleted")
    click(page, "#clear")
    until(page, lambda: text(page, "#said") == "It is deleted.", "it is deleted")
    assert page.execute_script("return !result.data && !location.hash && $('all').hidden")
    assert ask(app, "GET", f"/state/{identity}")[0] == 404
    page.get("about:blank")
    page.get(address)
    until(page, lambda: "not kept any more" in text(page, "#error"), "it says so")
    assert any("404" in e["message"] for e in page.get_log("browser"))


def test_the_page_opens_with_an_example_explained(browser, explainer, tmp_path):
    examples = [write_noise(tmp_path / "first.wav", 0.8)]
    given = explainer, METHODS, ["L-MAC"], tmp_path / "app", examples
    (tmp_path / "app").mkdir()
    with running(App(("127.0.0.1", 0), *given, opens=True)) as app:
        browser.get(f"http://127.0.0.1:{app.server_port}/")
        shown(browser, "first.wav")
        assert text(browser, ".parts [aria-pressed=true]") == "input"  # what Play plays
        click(browser, "#player .play")
        until(browser, lambda: "input.wav" in playing(browser)[0]["src"], "the input plays")
        until(browser, lambda: text(browser, "#said") == "", "nothing is being done")
        for sound in list(app.queue.sounds.values()):  # who comes when it is gone is not bothered
            sound.used = -1e9
        app.queue.tidy()
        browser.get(f"http://127.0.0.1:{app.server_port}/")
        until(browser, lambda: browser.execute_script("return document.readyState") == "complete")
        assert text(browser, "#error") == "" and browser.execute_script("return !result.data")
        browser.get_log("browser")  # the 404 of what is gone
        browser.get("about:blank")


# --- a mask of your own ---

RECTANGLE = {"shape": "rectangle", "keep": True, "from": [0.2, 500.0], "to": [0.6, 4000.0]}


def test_a_painted_mask_is_scored_as_the_classifier_does(desk, explainer, tmp_path):
    """Against f(M X) and f((1 - M) X), with M made by hand."""
    path, one = write_noise(tmp_path / "x.wav", 1.0), desk()
    sound = one.add(path.read_bytes(), "x.wav")
    painting = {"start": "nothing", "strokes": [RECTANGLE], "class": None, "sounds": True}
    said = one.paint(sound.id, painting)
    X, phase = explainer.explained.domain.analyse(
        torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
        / np.abs(soundfile.read(path)[0]).max()
    )
    t = torch.arange(X.shape[1])[:, None] * 186 / RATE
    f = torch.arange(X.shape[2])[None, :] * RATE / 1024
    mask = ((t >= 0.2) & (t <= 0.6) & (f >= 500) & (f <= 4000)).float()
    probs = [explainer.explained.probabilities(M * X)[0] for M in (1, mask, 1 - mask)]
    target = int(probs[0].argmax())
    for key, p in zip(("p", "p_in", "p_out"), probs, strict=True):
        assert said[key] == pytest.approx(float(p[target]), abs=1e-5)
    assert said["explained"] == explainer.labels[target]
    assert said["kept"] == pytest.approx(float(mask.mean()), abs=1e-6)
    first = said["sounds"]["explanation"]["url"]
    again = one.paint(sound.id, {**painting, "class": explainer.labels[0]})
    assert again["explained"] == explainer.labels[0]
    # A sound that plays is not written over.
    assert again["sounds"]["explanation"]["url"] != first and one.file("/" + first).is_file()


def test_painting_starts_from_an_explanation(desk, explainer, tmp_path):
    path, one = write_noise(tmp_path / "x.wav", 1.0), desk()
    sound = one.add(path.read_bytes(), "x.wav")
    one.ask(sound.id, OWN)
    made = finished(one, sound)["data"]["explanations"][0]
    start = {"method": made["method"], "asked": made["asked"]}
    said = one.paint(sound.id, {"start": start, "strokes": []})
    assert said["p_in"] == pytest.approx(made["p_in"], abs=5e-3)  # the mask has 8 bits
    all_of_it = one.paint(sound.id, {"start": "everything", "strokes": []})
    assert all_of_it["p_in"] == all_of_it["p"] and all_of_it["kept"] == 1


@pytest.mark.parametrize(
    "painting,said",
    [
        ([], "start: expected"),
        ({"start": {"method": "IG", "asked": None}, "strokes": []}, "start: expected"),
        ({"start": {"method": ["IG"]}, "strokes": []}, "start: expected"),
        ({"start": "nothing", "strokes": 3}, "strokes: expected a list"),
        ({"start": "nothing", "strokes": [], "class": "no class"}, "There is no class 'no class'"),
        ({"start": "nothing", "strokes": [], "class": [1]}, "There is no class"),
    ],
)
def test_a_painting_that_makes_no_sense_is_refused(desk, tmp_path, painting, said):
    one = desk()
    sound = one.add(write_noise(tmp_path / "x.wav", 0.3).read_bytes(), "x.wav")
    with pytest.raises(Refused, match=said):
        one.paint(sound.id, painting)
    with pytest.raises(Refused, match="not kept any more"):
        one.paint("nobody", painting)


def test_who_paints_sees_p_change(page, tmp_path):
    """Strokes with the pointer, undo, and a rectangle by numbers; sounds and files follow."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    upload(page, write_noise(tmp_path / "paint.wav", 1.0))
    shown(page, "paint.wav")
    click(page, ".paint > summary")
    numbers = (
        "return [...document.querySelectorAll('.paint .bars .number')].map(e => e.textContent)"
    )
    until(page, lambda: all(page.execute_script(numbers)), "the empty mask is scored")
    empty = page.execute_script(numbers)
    canvas = page.find_element(By.CSS_SELECTOR, ".paint canvas")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    dark = (
        "const c = document.querySelector('.paint canvas'), d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; let n = 0;"
        "for (let i = 3; i < d.length; i += 4) n += d[i] > 127; return n / (c.width * c.height)"
    )
    assert page.execute_script(dark) == 1
    (ActionChains(page).move_to_element_with_offset(canvas, -100, 40).click_and_hold()
     .move_by_offset(180, -60).release().perform())  # fmt: skip
    strokes = "return result.painter.strokes.length"
    assert page.execute_script(strokes) == 1 and 0.5 < page.execute_script(dark) < 0.9955
    kept = "return document.querySelector('.paint [role=status]').textContent"
    until(page, lambda: "(0 %" not in page.execute_script(kept), "the stroke is scored")
    until(page, lambda: page.execute_script("return !result.painter.busy"), "nothing is asked")
    click(page, ".paint .buttons button:nth-child(2)")
    until(page, lambda: any("painted-" in a["src"] for a in playing(page)), "what is kept plays")
    page.execute_script("result.player.pause()")
    names = "return [...document.querySelectorAll('.paint .downloads a')].map(a => a.download)"
    assert {"explanation.wav", "painting.json", "painting.png"} <= set(page.execute_script(names))
    click(page, ".paint > .line button")  # undo
    until(page, lambda: page.execute_script(numbers) == empty, "as before")
    assert page.execute_script(strokes) == 0
    click(page, ".paint details summary")
    click(page, ".paint form button")  # all of it
    until(page, lambda: "100 % of the map" in page.execute_script(kept), "everything is kept")
    p, p_in, _ = page.execute_script(numbers)
    assert p == p_in and page.execute_script(dark) == 0
