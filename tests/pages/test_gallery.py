"""The gallery, looked at, listened to and operated in a real browser."""

import json
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import soundfile

from data_prep.names import safe_name
from lmac.listen.gallery import main, write_gallery
from lmac.media.loudness import matching_gains
from lmac.results.folder import EvaluationFolder

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
        for made in clip["methods"].values():
            sounds = [made["explanation"], made["removed"], made["picture"]]
            for sound in filter(None, sounds):
                assert (page.parent / unquote(sound["url"])).is_file(), sound["url"]
            assert (made["picture"]["width"], made["picture"]["height"]) == (8, 8)
    assert data["clips"][2]["ID"] == NASTY and data["clips"][2]["label"] == NASTY_CLASS
    assert data["clips"][0]["methods"]["All-ones"]["values"]["SPS"] is None


def test_levels_and_gains_against_the_known_amplitudes(folders):
    from lmac.listen.gallery import gallery_data

    clip = gallery_data([EvaluationFolder(folders[0])], folders[0] / "gallery")["clips"][0]
    # A sine of amplitude a has an RMS of a / sqrt(2); method m was written with 0.5 / 2^(m+1).
    assert clip["input"]["level"] == pytest.approx(20 * np.log10(0.5 / 2**0.5), abs=0.05)
    assert clip["input"]["seconds"] == 3
    for m, method in enumerate(METHODS):
        sound = clip["methods"][method]["explanation"]
        expected = 20 * np.log10(0.5 / 2 ** (m + 1) / 2**0.5)
        assert sound["level"] == pytest.approx(expected, abs=0.05)
        # The quietest (removed, 0.01) is 34 dB below the input, lowering ends at 20 dB.
        assert sound["gain"] == pytest.approx(min(1, 0.05 / (0.5 / 2 ** (m + 1))), rel=1e-3)
        assert clip["methods"][method]["removed"]["gain"] == 1


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
    gallery.execute_script("shown[2].card.querySelector('.method button').click()")
    now = hears(gallery, safe_name(NASTY), "L-MAC/explanation.wav")
    assert now["duration"] == pytest.approx(3.0, abs=0.02)
    first = now["time"]
    until(gallery, lambda: playing(gallery)[0]["time"] > first, "time goes on")


def test_pictures_load_and_say_what_they_show(gallery):
    gallery.execute_script("build(shown[0]); shown[0].card.scrollIntoView()")
    loaded = (
        "return [...shown[0].card.querySelectorAll('img')].every((i) => i.complete && "
        "i.naturalWidth === 8)"
    )
    until(gallery, lambda: gallery.execute_script(loaded), "pictures load")
    alt = gallery.execute_script("return shown[0].card.querySelector('img').alt")
    assert alt.startswith("Spectrograms of input, mask and explanation by L-MAC for dog 1")
    assert "decision dog, p_in 0.250, p_out 0.125" in alt


def test_the_mel_domain_has_pictures_but_no_players(gallery):
    pick(gallery, scenario="plain, mel")
    assert ids(gallery) == ["dog 1 (mel)", "cat-1 (mel)"]
    gallery.execute_script("shown.forEach(build)")
    text = gallery.execute_script("return shown[0].card.textContent")
    assert "No audio: explanations in this domain cannot be turned into sound." in text
    assert gallery.execute_script("return shown[0].card.querySelectorAll('button').length") == 0
    assert gallery.execute_script("return shown[0].card.querySelectorAll('img').length") == 2
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
    assert gallery.execute_script(seen) == ["Saliency", "All-ones", "Random"]
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
        "return [...document.querySelectorAll('button, input, select, img, article')].filter((e) =>"
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
        "shown.forEach(build); document.querySelector('footer details').open = true"
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


def test_two_evaluations_of_one_scenario_are_told_apart(tmp_path):
    from lmac.listen.gallery import gallery_data

    results = [
        EvaluationFolder(make_results(tmp_path / n, CLIPS[:1], METHODS[:1], seconds=0.05))
        for n in ("run a", "run b")
    ]
    clips = gallery_data(results, tmp_path / "gallery")["clips"]
    assert [c["scenario"] for c in clips] == [
        "mixtures, stft (1: run a)",
        "mixtures, stft (2: run b)",
    ]


def test_audio_of_another_rate_keeps_its_duration(tmp_path):
    make_results(tmp_path, CLIPS[:1], METHODS[:1])
    path = tmp_path / "samples/dog 1/L-MAC/explanation.wav"
    soundfile.write(path, np.zeros(44100), 44100)
    from lmac.listen.gallery import gallery_data

    sound = gallery_data([EvaluationFolder(tmp_path)], tmp_path)["clips"][0]["methods"]["L-MAC"]
    assert sound["explanation"]["seconds"] == 1 and sound["explanation"]["level"] is None
