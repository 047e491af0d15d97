"""The gallery, looked at, listened to and operated in a real browser."""

import json
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import soundfile

from lmac.evaluation.folder import EvaluationFolder
from lmac.explain.loudness import matching_gains
from lmac.io.names import safe_name
from lmac.pages.gallery import gallery_data, main, run_names, write_gallery
from metrics.summary import bootstrap_interval

from .axe import LOOKS, look, violations
from .driving import click, playing, press, until
from .made import METHODS, NASTY, NASTY_CLASS, make_results

CLIPS = [
    ("dog 1", "dog", "dog"),
    ("cat-1", "cat", "dog"),
    (NASTY, NASTY_CLASS, NASTY_CLASS),
    ("dog-2", "dog", "dog"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two evaluations in one folder with a blank and an umlaut: mixtures, and the mel domain."""
    folder = tmp_path_factory.mktemp("Übung 1")
    make_results(folder / "mix tures", CLIPS, seconds=3.0)
    make_results(folder / "mel", CLIPS[:2], METHODS[:2], "plain", "mel", audio=False)
    return folder / "mix tures", folder / "mel"


@pytest.fixture(scope="module")
def page(folders):
    return write_gallery(folders, title=f"Title of {NASTY}")


@pytest.fixture
def gallery(browser, page):
    browser.set_window_size(1280, 900)
    browser.get(page.as_uri())
    return browser


def ids(driver):
    """IDs (and domain, where it is not the usual one) of the clips shown, in order."""
    return driver.execute_script("return shown.map((c) => c.ID + (c.input ? '' : ' (mel)'))")


def pick(driver, **choices):
    for name, value in choices.items():
        driver.execute_script(
            "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
            "if (s.value !== arguments[1]) throw new Error(`no option ${arguments[1]}`);"
            "s.dispatchEvent(new Event('change', {bubbles: true}))",
            name,
            value,
        )


def columns(clip):
    """The columns of a clip of one evaluation, by method."""
    return {column["method"]: column for column in clip["columns"]}


def hears(driver, *parts):
    """Wait until exactly one sound plays, moves, and has ``parts`` in its address."""

    def one():
        now = playing(driver)
        return len(now) == 1 and now[0]["time"] > 0 and all(p in now[0]["src"] for p in parts)

    until(driver, one, f"a sound with {parts} plays")
    return playing(driver)[0] if playing(driver) else None


# --- what the page is made of ---


def test_nothing_is_copied_and_nothing_comes_from_the_network(page, folders):
    assert [p.name for p in page.parent.iterdir()] == ["index.html"]
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:|src=\"(?!data)|@import|url\(", text)
    assert str(folders[0].parent) not in text
    inlined = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    data = json.loads(inlined[1])
    for clip in data["clips"]:
        addresses = [clip["map"]["input"]]
        for made in clip["columns"]:
            sounds = [made["explanation"], made["removed"], made["picture"]]
            addresses += [made["mask"], *(sound["url"] for sound in filter(None, sounds))]
            assert (made["picture"]["width"], made["picture"]["height"]) == (8, 8)
        for address in addresses + [file["url"] for run in data["runs"] for file in run["files"]]:
            assert (page.parent / unquote(address)).is_file(), address
    assert data["clips"][2]["ID"] == NASTY and data["clips"][2]["label"] == NASTY_CLASS
    assert columns(data["clips"][0])["All-ones"]["values"]["SPS"] is None


def test_levels_and_gains_against_the_known_amplitudes(folders):
    clip = gallery_data([EvaluationFolder(folders[0])], folders[0] / "gallery")["clips"][0]
    # A sine of amplitude a has an RMS of a / sqrt(2); method m was written with 0.5 / 2^(m+1).
    assert clip["input"]["level"] == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.05)
    assert clip["input"]["seconds"] == 3
    for m, method in enumerate(METHODS):
        sound = columns(clip)[method]["explanation"]
        expected = 20 * np.log10(0.5 / 2 ** (m + 1) / 2**0.5)
        assert sound["level"] == pytest.approx(expected, abs=0.05)
        # The quietest (removed, 0.01) is 34 dB below the input, lowering ends at 20 dB.
        assert sound["gain"] == pytest.approx(min(1, 0.05 / (0.5 / 2 ** (m + 1))), rel=1e-3)
        assert columns(clip)[method]["removed"]["gain"] == 1


def test_matching_only_lowers():
    gains = matching_gains({"a": 0.5, "b": 0.1, "c": 0.2}, reference=0.5)
    assert gains == pytest.approx({"a": 0.2, "b": 1, "c": 0.5})
    assert matching_gains({"a": 0.0, "b": 1.0}, reference=1.0) == pytest.approx({"a": 1, "b": 0.1})
    assert matching_gains({}, reference=0.0) == {}


@pytest.mark.parametrize(
    "spoil,message",
    [
        (lambda f: (f / "metrics.csv").unlink(), "There is no .*metrics.csv: give the --output"),
        (lambda f: shutil.rmtree(f / "samples"), "no audio or pictures.*--listen=10"),
        (
            lambda f: (f / "metrics.csv").write_text("method,ID\na,b\n"),
            "lacks the columns scenario, domain",
        ),
        (lambda f: spoil_cell(f, "p_in", "high"), "line 2: p_in must be a number, got 'high'"),
        (lambda f: spoil_cell(f, "AI", "much"), "line 2: AI must be a number, got 'much'"),
        (
            lambda f: (f / "samples/a/L-MAC/removed.wav").write_bytes(b"RIFF"),
            "removed.wav cannot be read as audio",
        ),
        (
            lambda f: (f / "samples/a/L-MAC/explanation.png").write_bytes(b"GIF89a"),
            "explanation.png is no PNG",
        ),
        (
            lambda f: (f / "metrics.csv").write_text(
                "".join(
                    line * 2 if ",L-MAC,a," in line else line
                    for line in (f / "metrics.csv").read_text().splitlines(keepends=True)
                )
            ),
            "line 3: a second row of 'a' and 'L-MAC'",
        ),
    ],
    ids=["no table", "no samples", "columns", "cell", "metric", "wav", "png", "twice"],
)
def test_bad_results_get_one_sentence(tmp_path, spoil, message):
    make_results(tmp_path, [("a", "x", "x")], seconds=0.1)
    spoil(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        main([str(tmp_path)])
    assert "\n" not in str(error.value) and not (tmp_path / "gallery").exists()


def spoil_cell(folder, column, value):
    table = pd.read_csv(folder / "metrics.csv").astype({column: object})
    table.loc[0, column] = value
    table.to_csv(folder / "metrics.csv", index=False)


# --- in the browser ---


def test_names_are_text_and_their_audio_plays(gallery):
    assert gallery.title == f"Title of {NASTY}"
    assert gallery.execute_script("return document.querySelector('h1').textContent") == (
        f"Title of {NASTY}"
    )
    assert ids(gallery)[2] == NASTY
    heading = "return shown[2].card.querySelector('h2').textContent"
    assert gallery.execute_script(heading) == NASTY
    gallery.execute_script("build(shown[2])")
    shown = gallery.execute_script("return shown[2].card.querySelector('.verdict').textContent")
    assert f"class {NASTY_CLASS}" in shown
    # No markup came to life: as many scripts as the template has, nothing in bold by name.
    assert gallery.execute_script("return document.querySelectorAll('script').length") == 2
    assert gallery.execute_script("return document.querySelectorAll('main b').length") == 0
    gallery.execute_script("shown[2].card.querySelector('.method:not(.input) button').click()")
    now = hears(gallery, safe_name(NASTY), "L-MAC/explanation.wav")
    assert now["duration"] == pytest.approx(3.0, abs=0.02)
    first = now["time"]
    until(gallery, lambda: playing(gallery)[0]["time"] > first, "time goes on")


def test_pictures_load_and_say_what_they_show(gallery):
    gallery.execute_script("build(shown[0]); shown[0].card.scrollIntoView()")
    loaded = (
        "return [...shown[0].card.querySelectorAll('img[src]')].every((i) => i.complete && "
        "i.naturalWidth === 8)"
    )
    until(gallery, lambda: gallery.execute_script(loaded), "pictures load")
    alt = gallery.execute_script("return shown[0].card.querySelector('img').alt")
    assert alt == "Spectrogram of dog 1"
    alt = gallery.execute_script("return shown[0].card.querySelectorAll('.method img')[2].alt")
    assert alt.startswith("Spectrogram and mask by L-MAC for dog 1")
    assert "decision dog, p_in 0.250, p_out 0.125" in alt


def test_the_mel_domain_has_pictures_but_no_players(gallery):
    pick(gallery, scenario="plain, mel")
    assert ids(gallery) == ["dog 1 (mel)", "cat-1 (mel)"]
    gallery.execute_script("shown.forEach(build)")
    text = gallery.execute_script("return shown[0].card.textContent")
    assert "No audio: explanations in this domain cannot be turned into sound." in text
    assert gallery.execute_script("return shown[0].card.querySelectorAll('button').length") == 0
    assert gallery.execute_script("return shown[0].card.querySelectorAll('.mask[src]').length") == 2
    press(gallery, " ", "1", "r", "j")  # nothing to play, and no error
    assert playing(gallery) == []


def test_filters(gallery):
    assert len(ids(gallery)) == 6
    pick(gallery, scenario="mixtures, stft")
    assert ids(gallery) == [c[0] for c in CLIPS]
    pick(gallery, **{"class": "dog"})
    assert ids(gallery) == ["dog 1", "dog-2"]
    assert gallery.execute_script("return $('count').textContent") == "2 of 6 clips"
    on_page = "return [...document.querySelectorAll('main article h2')].map((h) => h.textContent)"
    assert gallery.execute_script(on_page) == ["dog 1", "dog-2"]
    pick(gallery, **{"class": NASTY_CLASS})
    assert ids(gallery) == [NASTY]
    pick(gallery, **{"class": ""}, outcome="wrong")
    assert ids(gallery) == ["cat-1"]
    pick(gallery, **{"class": "dog"})
    assert ids(gallery) == [] and gallery.execute_script("return current") is None
    press(gallery, " ", "j", "1")  # keys without any clip


def test_hidden_methods_leave_the_cards_and_the_number_keys(gallery):
    click(gallery, "#methods input[value='L-MAC']")
    seen = (
        "return [...shown[0].card.querySelectorAll('.method h3')]"
        ".filter((h) => h.checkVisibility()).map((h) => h.textContent)"
    )
    assert gallery.execute_script(seen) == [
        "Input",
        "Saliency",
        "All-ones reference",
        "Random reference",
    ]
    gallery.execute_script("document.activeElement.blur()")
    press(gallery, "1")
    hears(gallery, "dog 1/Saliency/explanation.wav")


def test_sorting_and_extremes(gallery):
    """AI is 10 * clip + method and better up; AD, 100 - AI, is better down: the same order."""
    pick(gallery, scenario="mixtures, stft", metric="AI", of="Saliency")
    falling = [c[0] for c in reversed(CLIPS)]
    assert ids(gallery) == falling
    pick(gallery, metric="AD")
    assert ids(gallery) == falling
    pick(gallery, direction="worst")
    assert ids(gallery) == falling[::-1]
    # Both scenarios: the mel clips have the same AI as their namesakes; five of six remain.
    pick(gallery, scenario="", metric="AI", direction="best", extent="best")
    assert len(ids(gallery)) == 5 and ids(gallery)[0] == "dog-2"
    pick(gallery, extent="worst")
    assert ids(gallery)[-1].startswith("dog 1") and "dog-2" not in ids(gallery)
    # Undefined for this method: neither best nor worst, and last when all are shown.
    pick(gallery, metric="SPS", of="All-ones", extent="both")
    assert ids(gallery) == []
    pick(gallery, extent="")
    assert len(ids(gallery)) == 6
    row = "return shown[0].card.querySelector('tr.sorted th').textContent"
    gallery.execute_script("build(shown[0])")
    assert gallery.execute_script(row) == "SPS ↑"


def test_switching_keeps_position_and_gain(gallery):
    gallery.execute_script(
        "$('volume').value = 50; $('volume').dispatchEvent(new Event('input'));"
        "build(shown[0]); shown[0].seek.value = 0.5;"
        "shown[0].seek.dispatchEvent(new Event('input'))"
    )
    press(gallery, " ")
    now = hears(gallery, "dog 1/input.wav")
    assert now["time"] >= 0.5 and now["volume"] == 0.5
    # In one script, so that a slow machine cannot spend the time of the sound.
    before, left, came, volume, least = gallery.execute_async_script(
        "const done = arguments[0], old = player.loaded.get(player.sound);"
        "const before = old.currentTime; let least = 1;"
        "methodKey(2); const fresh = player.loaded.get(player.sound);"
        "const heard = (audio) => audio.paused ? 0 : audio.volume;"
        "const watch = setInterval(() => {"
        "  least = Math.min(least, heard(old) + heard(fresh));"
        "  if (player.leaving) return;"
        "  clearInterval(watch);"
        "  done([before, old.currentTime, fresh.currentTime, fresh.volume, least]);"
        "}, 2)"
    )
    assert least > 0.4  # there was no gap
    assert 0.5 <= before <= left and came == pytest.approx(left, abs=0.2) and volume == 0.5
    hears(gallery, "dog 1/Saliency/explanation.wav")
    gallery.execute_script("player.seek(0.5)")  # so that a slow machine does not reach the end
    press(gallery, "r")
    assert hears(gallery, "dog 1/Saliency/removed.wav")["time"] >= 0.5
    press(gallery, "j")
    assert playing(gallery) == []
    press(gallery, " ")
    hears(gallery, "cat-1/input.wav")  # another clip starts anew
    assert gallery.execute_script("return player.loaded.size") == 1


def test_keyboard(gallery):
    current = "return current.ID"
    focused = "return document.activeElement.querySelector('h2').textContent"
    assert gallery.execute_script(current) == "dog 1"
    press(gallery, "j")
    assert gallery.execute_script(current) == gallery.execute_script(focused) == "cat-1"
    press(gallery, "j", "k", "k", "k")
    assert gallery.execute_script(current) == "dog 1"
    press(gallery, "2")
    hears(gallery, "dog 1/Saliency/explanation.wav")
    press(gallery, "0")
    hears(gallery, "dog 1/input.wav")
    press(gallery, " ")
    until(gallery, lambda: playing(gallery) == [], "paused")
    at = gallery.execute_script("return player.position(player.sound)")
    press(gallery, "\ue012")  # arrow left
    until(
        gallery,
        lambda: (
            gallery.execute_script("return player.position(player.sound)")
            == pytest.approx(max(0, at - 1), abs=0.05)
        ),
        "a second back",
    )
    press(gallery, "?")
    assert gallery.execute_script("return $('help').open")
    press(gallery, "j")
    assert gallery.execute_script(current) == "dog 1"
    press(gallery, "\ue00c")  # escape
    assert not gallery.execute_script("return $('help').open")
    assert "not matched" in gallery.execute_script("return $('loudness').textContent")
    press(gallery, "m")
    assert "Loudness is matched" in gallery.execute_script("return $('loudness').textContent")


def test_loudness_is_matched_by_lowering(gallery):
    click(gallery, "#match")
    gallery.execute_script("document.activeElement.blur()")
    press(gallery, "1")
    # 0.05 (20 dB below the input's 0.5) over L-MAC's 0.25.
    assert hears(gallery, "L-MAC/explanation.wav")["volume"] == pytest.approx(0.2, rel=0.01)
    press(gallery, "r")
    assert hears(gallery, "L-MAC/removed.wav")["volume"] == 1


def test_every_control_has_a_name_and_the_phone_page_fits(gallery):
    nameless = (
        "return [...document.querySelectorAll('button, input, select, img:not(.mask), article')]"
        ".filter((e) =>"
        "!(e.getAttribute('aria-label') || e.alt || e.textContent.trim() || "
        "(e.labels && e.labels.length) || e.getAttribute('aria-labelledby'))).length"
    )
    gallery.execute_script("shown.forEach(build)")
    assert gallery.execute_script(nameless) == 0
    look(gallery, "phone")
    gallery.refresh()
    assert gallery.execute_script("return document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("size,scheme", LOOKS)
def test_axe_finds_nothing(gallery, size, scheme):
    look(gallery, size, scheme)
    gallery.refresh()
    gallery.execute_script(
        "shown.forEach(build); document.querySelectorAll('details').forEach((d) => d.open = true)"
    )
    press(gallery, "2")
    hears(gallery, "Saliency")
    assert violations(gallery) == []
    gallery.execute_script("document.querySelector('main').append(document.createElement('input'))")
    assert [rule for rule, _ in violations(gallery)] == ["label"]  # it does look


def test_500_clips_stay_quick(browser, tmp_path):
    """No audio is fetched, few pictures and few cards are made, sorting takes no time."""
    ids_ = [(f"clip-{i:03}", f"class {i % 10}", "class 1") for i in range(500)]
    page = write_gallery([make_results(tmp_path, ids_, METHODS[:2], seconds=0.02)])
    browser.get(page.as_uri())
    assert len(ids(browser)) == 500
    counts = browser.execute_script(
        "return [document.querySelectorAll('audio').length, "
        "document.querySelectorAll('img').length,"
        "performance.getEntriesByType('resource').filter((r) => r.name.endsWith('.wav')).length]"
    )
    assert counts[0] == 0 and 0 < counts[1] < 40 and counts[2] == 0
    took = browser.execute_script(
        "const start = performance.now(); $('metric').value = 'AI'; arrange();"
        "return performance.now() - start"
    )
    assert took < 1500  # milliseconds; some 20 on a free machine
    assert ids(browser)[0] == "clip-499"
    press(browser, "j")
    assert browser.execute_script("return current.ID") == "clip-498"


def test_a_missing_sound_is_said(tmp_path, _driver):
    page = write_gallery([make_results(tmp_path, [("a", "x", "x")])])
    (tmp_path / "samples/a/input.wav").unlink()
    _driver.get(page.as_uri())
    press(_driver, " ")
    told = "return document.querySelector('.heard').textContent"
    until(_driver, lambda: "Cannot load" in _driver.execute_script(told), "the page says so")
    assert any(e["level"] == "SEVERE" for e in _driver.get_log("browser"))  # the log does work


def test_audio_of_another_rate_keeps_its_duration(tmp_path):
    make_results(tmp_path, CLIPS[:1], METHODS[:1])
    path = tmp_path / "samples/dog 1/L-MAC/explanation.wav"
    soundfile.write(path, np.zeros(44100), 44100)
    clip = gallery_data([EvaluationFolder(tmp_path)], tmp_path)["clips"][0]
    sound = columns(clip)["L-MAC"]
    assert sound["explanation"]["seconds"] == 1 and sound["explanation"]["level"] is None


# --- looking ---


def plot(driver, clip, number):
    """The number-th spectrogram of a clip on the page; 0 is that of the input."""
    driver.execute_script(
        "build(shown[arguments[0]]); shown[arguments[0]].card.scrollIntoView();", clip
    )
    return driver.execute_script(
        "return shown[arguments[0]].card.querySelectorAll('.plot')[arguments[1]]", clip, number
    )


def click_at(driver, element, share):
    from selenium.webdriver.common.action_chains import ActionChains

    offset = round((share - 0.5) * element.size["width"])
    ActionChains(driver).move_to_element_with_offset(element, offset, 0).click().perform()


def test_a_click_on_a_spectrogram_goes_there_and_the_cursor_follows(gallery):
    at = "return player.position(player.sound)"
    click_at(gallery, plot(gallery, 0, 0), 0.5)
    half = pytest.approx(1.5, abs=0.05)  # of 3 s, once the sound is loaded
    until(gallery, lambda: gallery.execute_script(at) == half, "it goes to the middle")
    assert gallery.execute_script("return player.sound.name") == "input"
    assert playing(gallery) == []  # it waits there
    lines = "return [...shown[0].card.querySelectorAll('.cursor')].map((l) => l.style.left)"

    def drawn():
        return [float(left.rstrip("%")) for left in gallery.execute_script(lines)]

    # With the next frame.
    until(gallery, lambda: drawn() == pytest.approx([50] * 5, abs=1), "five cursors in the middle")
    click_at(gallery, plot(gallery, 0, 2), 0.25)  # of Saliency: its explanation
    there = pytest.approx(0.75, abs=0.05)
    until(gallery, lambda: gallery.execute_script(at) == there, "it goes there")
    press(gallery, " ")
    now = hears(gallery, "dog 1/Saliency/explanation.wav")
    assert now["time"] >= 0.7  # within the 0.05 s of above
    moved = "return parseFloat(shown[0].card.querySelector('.cursor').style.left) > 26"
    until(gallery, lambda: gallery.execute_script(moved), "the cursor moves")


def test_the_mask_is_laid_over_the_input_as_much_as_is_wanted(gallery):
    plot(gallery, 0, 0)
    masks = (
        "return [...shown[0].card.querySelectorAll('.plot')].map((p) => [p.children[0].src,"
        "p.children[1].hidden ? null : p.children[1].src, p.children[1].style.opacity])"
    )
    seen = gallery.execute_script(masks)
    assert len({picture for picture, _, _ in seen}) == 1  # one picture of the input for all
    assert seen[0][1] is None
    # Nothing but the mask lies on the picture: no colour of its own, and none on the input.
    over = (
        "return [...shown[0].card.querySelectorAll('.mask')].map((m) => [getComputedStyle(m)"
        ".backgroundColor, getComputedStyle(m).display])"
    )
    laid = gallery.execute_script(over)
    assert {colour for colour, _ in laid} == {"rgba(0, 0, 0, 0)"}
    assert [display == "none" for _, display in laid] == [True] + 4 * [False]
    assert [unquote(m).split("/")[-2] for _, m, _ in seen[1:]] == list(METHODS)
    assert {opacity for _, _, opacity in seen} == {"0.85"}
    gallery.execute_script("$('mask').value = 30; $('mask').dispatchEvent(new Event('input'))")
    assert {opacity for _, _, opacity in gallery.execute_script(masks)} == {"0.3"}
    gallery.execute_script("build(shown[1])")  # a card that is made later, too
    other = "return shown[1].card.querySelectorAll('.mask')[1].style.opacity"
    assert gallery.execute_script(other) == "0.3"


# --- state in the address ---


def test_a_link_shows_the_same_again(gallery, page):
    pick(gallery, scenario="mixtures, stft", metric="AI", of="Saliency", **{"chart-metric": "AD"})
    click(gallery, "#references input[value='Random']")
    click(gallery, "#match")
    gallery.execute_script("$('mask').value = 40; $('mask').dispatchEvent(new Event('input'))")
    gallery.execute_script("setCurrent(shown[2]); build(current); document.activeElement.blur()")
    press(gallery, "2", "r")
    hears(gallery, "Saliency/removed.wav")
    press(gallery, " ")
    state = (
        "return [shown.map((c) => c.ID), current.ID, current.selected.part,"
        "current.selected.column.method, $('mask').value, $('match').checked,"
        "$('chart-metric').value, boxes().filter((b) => !b.checked).map((b) => b.value)]"
    )
    before = gallery.execute_script(state)
    assert before[1:3] == ["cat-1", "removed"] and before[-1] == ["Random"]
    address = gallery.current_url
    assert address.startswith(page.as_uri() + "#")
    gallery.get("about:blank")
    gallery.get(address)
    assert gallery.execute_script(state) == before
    top = "return current.card.getBoundingClientRect().top"
    assert abs(gallery.execute_script(top)) < 300  # it is on the screen
    # The same page, another address: as when a link is pasted.
    gallery.execute_script("location.hash = ''")
    until(gallery, lambda: len(ids(gallery)) == 6, "everything is shown again")
    assert gallery.execute_script("return $('match').checked") is False
    assert playing(gallery) == []


def test_every_clip_has_a_link_of_its_own(gallery):
    gallery.execute_script("shown.forEach(build); shown[2].card.querySelector('.link').click()")
    until(gallery, lambda: gallery.execute_script("return current.ID") == NASTY, "it is current")
    address = gallery.current_url
    gallery.get("about:blank")
    gallery.get(address)
    assert gallery.execute_script("return current.ID") == NASTY


@pytest.mark.parametrize("hash_", ["#clip=nothing", "#metric=no&mask=x&hide-method=", "#%%%", "#="])
def test_an_address_that_means_nothing_shows_the_page(browser, page, hash_):
    browser.get("about:blank")
    browser.get(page.as_uri() + hash_)
    assert len(ids(browser)) == 6
    choices = browser.execute_script("return CHOICES.map((id) => $(id).value === DEFAULTS[id])")
    assert all(choices)


# --- keys ---


def test_keys_reach_more_than_nine_methods(browser, tmp_path):
    methods = [f"M{i}" for i in range(1, 12)]
    page = write_gallery([make_results(tmp_path, CLIPS[:1], methods, seconds=1.0)])
    browser.get(page.as_uri())
    label = "return player.sound.column && player.sound.column.method"
    press(browser, "9")
    assert browser.execute_script(label) == "M9"
    press(browser, "n")
    assert browser.execute_script(label) == "M10"
    press(browser, "n", "n")
    assert browser.execute_script(label) == "M1"  # round the corner
    press(browser, "p")
    assert browser.execute_script(label) == "M11"
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).key_down("\ue008").send_keys("1").key_up("\ue008").perform()  # shift
    assert browser.execute_script(label) == "M10"


def test_space_plays_whatever_was_clicked_last(gallery):
    for what in ("#match", "#help-button"):
        click(gallery, what)
        press(gallery, "\ue00c")  # escape closes the dialog
        checked = gallery.execute_script("return $('match').checked")
        press(gallery, " ")
        hears(gallery, "dog 1/input.wav")
        press(gallery, " ")
        until(gallery, lambda: playing(gallery) == [], "paused")
        assert gallery.execute_script("return $('match').checked") == checked
        assert not gallery.execute_script("return $('help').open")
    gallery.execute_script("$('volume').focus()")
    press(gallery, " ")
    hears(gallery, "dog 1/input.wav")
    # Who comes with the tabulator can still set a box.
    gallery.execute_script("$('volume').focus()")
    press(gallery, "\ue004", " ")
    assert gallery.execute_script("return document.activeElement.id") == "match"
    assert gallery.execute_script("return $('match').checked") is False


def test_target_and_contaminant_beside_the_input(browser, tmp_path):
    folder = make_results(tmp_path, CLIPS[:1], METHODS, seconds=1.0)
    for name in ("target", "contaminant"):
        shutil.copy(folder / "samples/dog 1/input.wav", folder / f"samples/dog 1/{name}.wav")
    browser.get(write_gallery([folder]).as_uri())
    browser.execute_script("build(shown[0])")
    buttons = (
        "return [...shown[0].card.querySelectorAll('.input button')].map("
        "(b) => b.getAttribute('aria-label'))"
    )
    assert browser.execute_script(buttons) == ["Play input", "Play target", "Play contaminant"]
    press(browser, "t")
    hears(browser, "dog 1/target.wav")
    press(browser, "c")
    hears(browser, "dog 1/contaminant.wav")
    links = (
        "return [...shown[0].card.querySelectorAll('.files a')].map((a) => [a.download, a.href])"
    )
    given = [unquote(href).rsplit("samples/dog 1/", 1)[1] for _, href in
             browser.execute_script(links)]  # fmt: skip
    assert given[:3] == ["input.wav", "target.wav", "contaminant.wav"]
    files = ("explanation.wav", "removed.wav", "explanation.png", "mask.png")
    assert given[3:7] == [f"L-MAC/{name}" for name in files]


def test_results_of_earlier_versions_still_open(browser, tmp_path):
    """An input beside the sounds of each method, and figures only."""
    folder = make_results(tmp_path, CLIPS[:1], METHODS, seconds=1.0)
    clip = folder / "samples" / "dog 1"
    for method in METHODS:
        shutil.copy(clip / "input.wav", clip / method / "input.wav")
        (clip / method / "mask.png").unlink()
    for name in ("input.wav", "spectrogram.png"):
        (clip / name).unlink()
    (folder / "evaluation.json").unlink()
    browser.get(write_gallery([folder]).as_uri())
    browser.execute_script("build(shown[0])")
    assert browser.execute_script("return shown[0].card.querySelectorAll('.plot').length") == 0
    loaded = "return [...shown[0].card.querySelectorAll('img')].filter((i) => i.complete).length"
    until(browser, lambda: browser.execute_script(loaded) == len(METHODS), "figures load")
    press(browser, "0")
    hears(browser, "dog 1/L-MAC/input.wav")
    text = browser.execute_script("return $('runs').textContent")
    assert "This evaluation is not complete yet." in text


# --- all scored clips ---


def scored(folder, p_in, clips=6):
    """An evaluation of ``clips`` clips in two classes, of which two have samples; what is scored
    is ``p_in(clip number, method)``, as FF and SI-SDR."""
    IDs = [(f"clip {i}", "dog" if i < clips // 2 else "cat", "dog") for i in range(clips)]
    make_results(folder, IDs[:2], METHODS, seconds=3.0)
    rows = pd.DataFrame(
        {"scenario": "mixtures", "domain": "stft", "method": m, "ID": ID, "target_id": ID,
         "label": label, "decision": decision, "correct": int(label == decision), "p": 0.5,
         "p_in": 0.25, "p_out": 0.1, "FF": p_in(i, m), "SI-SDR (dB)": -10.0 * p_in(i, m),
         "SPS": 0.5}
        for m in METHODS for i, (ID, label, decision) in enumerate(IDs)
    )  # fmt: skip
    rows.to_csv(folder / "metrics.csv", index=False)
    return folder, rows


def test_bars_and_classes_are_of_all_scored_clips(browser, tmp_path):
    folder, rows = scored(tmp_path, lambda i, m: i / 10 + METHODS.index(m) / 100)
    browser.get(write_gallery([folder]).as_uri())
    heard = browser.execute_script("return $('heard').textContent")
    assert heard.startswith("2 of 6 scored clips have sound or pictures")
    options = "return [...$('chart-metric').options].map((o) => o.value)"
    assert browser.execute_script(options) == ["FF", "SPS", "SI-SDR (dB)"]
    lines = (
        "return [...document.querySelectorAll('.bars tr')].map((r) => [r.className,"
        "[...r.cells].map((c) => c.textContent)])"
    )
    shown = browser.execute_script(lines)
    assert [cells[0] for _, cells in shown] == [
        "L-MAC", "Saliency", "References: bounds and controls", "All-ones", "Random",
    ]  # fmt: skip
    assert [name for name, cells in shown if len(cells) > 1] == ["", "", "reference", "reference"]
    for _, (method, *cells) in shown:
        if cells:
            values = rows[rows["method"] == method]["FF"]
            low, high = bootstrap_interval(values, 1000, groups=list(rows["ID"].unique()))
            assert cells[1] == f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"
            assert cells[2] == "6 clips"
    # How long a bar is: 0 to the highest end of an interval.
    width = "return document.querySelector('.bar .mean').getBoundingClientRect().width"
    whole = "return document.querySelector('.bar').clientWidth"
    ends = [float(c[2].split(", ")[1].rstrip("]")) for _, c in shown if len(c) > 1]
    share = rows[rows["method"] == "L-MAC"]["FF"].mean() / max(ends)
    assert browser.execute_script(width) / browser.execute_script(whole) == pytest.approx(
        share, abs=0.02
    )
    pick(browser, **{"chart-class": "cat", "chart-metric": "SI-SDR (dB)"})
    values = rows[(rows["method"] == "L-MAC") & (rows["label"] == "cat")]["SI-SDR (dB)"]
    first = browser.execute_script(lines)[0][1]
    assert first[2].startswith(f"{values.mean():.2f} [".replace("-", "−"))
    assert first[3] == "3 clips"
    pick(browser, **{"chart-class": "", "chart-metric": "SPS"})
    told = {cells[0]: cells[2] for _, cells in browser.execute_script(lines) if len(cells) > 1}
    assert told["All-ones"] == "undefined" and told["Random"] == "0.50 [0.50, 0.50]"
    pick(browser, **{"chart-metric": "SI-SDR (dB)"})
    browser.execute_script("document.querySelector('.by-class').open = true")
    cells = browser.execute_script(
        "return [...document.querySelectorAll('.by-class tbody tr')].map((r) =>"
        "[...r.cells].map((c) => c.textContent))"
    )
    assert [row[:3] for row in cells] == [
        ["cat", "3", f"{values.mean():.2f}".replace("-", "−")], ["dog", "3", "−1.00"],
    ]  # fmt: skip


def test_the_header_states_data_classifier_accuracy_and_commit(browser, tmp_path):
    folder = make_results(tmp_path, CLIPS[:1], METHODS[:1], seconds=0.1)
    (folder / "table.md").write_text("# A table\n")
    (folder / "provenance.json").write_text("{}\n")
    browser.get(write_gallery([folder]).as_uri())
    text = browser.execute_script("return $('runs').textContent")
    for stated in (f"Data {NASTY}", "4 clips of 3 s", "accuracy 91.2 %", "commit abc1234"):
        assert stated in text
    links = browser.execute_script("return [...$('runs').querySelectorAll('a')].map((a) => a.href)")
    assert [unquote(link).rsplit("/", 1)[1] for link in links] == [
        "table.md",
        "metrics.csv",
        "provenance.json",
    ]


# --- two evaluations ---


@pytest.fixture
def two(tmp_path):
    first, _ = scored(tmp_path / "run a" / "mix", lambda i, m: i / 10)
    # Better by 0.2 for everything but the first method, in another order of clips.
    second, rows = scored(tmp_path / "run b" / "mix", lambda i, m: i / 10 + 0.2 * (m != METHODS[0]))
    rows.iloc[::-1].to_csv(second / "metrics.csv", index=False)
    return first, second


def test_two_evaluations_of_the_same_clips_are_paired(browser, two):
    browser.get(write_gallery(list(two)).as_uri())
    assert sorted(ids(browser)) == ["clip 0", "clip 1"]  # each clip once
    assert gallery_data(map(EvaluationFolder, two), two[0])["differences"][1]["n"] == 6
    browser.execute_script("shown.forEach(build)")
    heads = (
        "return [...shown.find((c) => c.ID === 'clip 1').card.querySelectorAll('h3')]"
        ".map((h) => h.textContent)"
    )
    expected = [f"{m} {run}" for m in METHODS[:2] for run in ("run a", "run b")]
    expected += [f"{m} reference {run}" for m in METHODS[2:] for run in ("run a", "run b")]
    assert browser.execute_script(heads) == ["Input", *expected]
    press(browser, "1")
    hears(browser, "run a/mix/samples", "L-MAC/explanation.wav")
    press(browser, "2")
    hears(browser, "run b/mix/samples", "L-MAC/explanation.wav")
    cells = browser.execute_script(
        "return [...document.querySelectorAll('#bars .plain')][0].querySelectorAll('tbody tr')"
        ".values().map((r) => [...r.cells].map((c) => c.textContent)).toArray()"
    )
    assert cells[0] == ["L-MAC", "0.00 [0.00, 0.00]", "6", "run b minus run a"]
    assert cells[1] == ["Saliency", "+0.20 [+0.20, +0.20]", "6", "run b minus run a"]
    click(browser, "#evaluations input[value='run a']")
    visible_ = "return current.columns.filter(isVisible).map((c) => c.run)"
    assert set(browser.execute_script(visible_)) == {"run b"}
    assert violations(browser) == []


def test_names_of_evaluations_tell_them_apart():
    assert run_names(["/r/x/mix"]) == ["mix"]
    assert run_names(["/r/x/evaluation/mix", "/r/y/evaluation/mix"]) == ["x", "y"]
    assert run_names(["/r/x/mix", "/r/x/plain"]) == ["mix", "plain"]
    assert run_names(["/r/x/a/m", "/r/y/a/m", "/r/y/b/m"]) == ["x/a", "y/a", "y/b"]
    with pytest.raises(ValueError, match="A folder is given twice"):
        run_names(["/r/x", "/r/../r/x"])
