"""The app, driven as a visitor does: a sound is sent, explained, heard, looked at, taken away."""

import http.client
import io
import json
import re
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from PIL import Image

from lmac.pages.app import App, find_examples, offered
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
    assert text(page, ".heard h2") == f"{path.name}: {result.decision}, p = {result.p:.3f}"
    first = [(name, f"{p:.3f}") for name, p in result.top_classes()]
    rows = (
        "return [...document.querySelectorAll('.classes li')].map((line) =>"
        "[line.children[0], line.children[2]].map((e) => e.textContent))"
    )
    assert [tuple(row) for row in page.execute_script(rows)] == first
    assert f"p_in = {result.p_in:.3f} for the explanation alone" in text(page, ".explained p")


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
    click(
        page,
        f"button[aria-label='Explain {page.execute_script('return result.data.top[1].name')}']",
    )
    shown(page, "an example.wav", 2)
    asked = page.execute_script(
        "return result.data && result.cards[1].article.querySelector('h2').textContent"
    )
    assert (
        asked.endswith("(asked)") and page.execute_script("return result.data.top[1].name") in asked
    )
    # A method that cannot be asked says so, and its own decision is there a click later.
    click(page, "#methods input[value='All-ones']")
    click(page, "#go")
    only = "All-ones explains the classifier's own decision only"
    until(page, lambda: text(page, "#said") == f"{only}.", "beside one that can")
    click(page, "#methods input[value='L-MAC']")
    click(page, "#go")
    sentence = f"{only}: choose no class, or another method."
    until(page, lambda: text(page, "#error") == sentence, "alone")
    page.execute_script("$('class').value = ''")
    click(page, "#go")
    shown(page, "an example.wav", 3)
    assert text(page, "#error") == ""
    assert any("400" in e["message"] for e in page.get_log("browser"))


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
        "silent.wav": "silent.wav is silent: there is nothing to explain.",
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
    monkeypatch.setattr(one, "tidy", lambda: None)  # the worker's own does not come in between
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
    assert not first.folder.exists() and one.last is None
    with pytest.raises(Refused, match="not kept any more"):
        one.status(first.id)
    several = []
    for _ in range(5):
        now[0] += 1
        several.append(one.add(path.read_bytes(), "x.wav"))
    tidy()
    assert [s.folder.is_dir() for s in several] == [False, False, True, True, True]


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
