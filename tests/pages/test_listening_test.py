"""The listening test, taken in a real browser."""

import json
import re
import time

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import torchaudio

from lmac.pages.study.analysis import analyse
from lmac.pages.study.listening_test import main, make_test
from lmac.pages.study.responses import QUESTIONS, read_test

from .axe import LOOKS, look, violations
from .driving import click, playing, press, until
from .made import (
    METHODS,
    NASTY,
    NASTY_CLASS,
    RATE,
    RECORDINGS,
    answers,
    make_results,
    tone,
    write_json,
)

REFERENCE = "hidden reference"
CONDITIONS = {REFERENCE, "Random", "L-MAC", "Saliency"}


# --- what is made ---


def test_every_clip_has_every_condition_once_and_a_training(mushra):
    manifest, key = read_test(mushra)
    assert len(manifest["trials"]) == 2
    for trial in [manifest["training"], *manifest["trials"]]:
        known = [key["stimuli"][s] for s in trial["stimuli"]]
        assert {k["condition"] for k in known} == CONDITIONS and len(known) == 4
        assert {k["trial"] for k in known} == {trial["trial"]}
        assert trial["stimuli"] == sorted(trial["stimuli"])
        assert key["stimuli"][trial["reference"]]["role"] == "reference"
    used = {key["trials"][t]["ID"] for t in key["trials"]}
    assert used == {c[0] for c in RECORDINGS[:3]}  # not the one whose decision is wrong


def test_stimuli_are_the_right_sounds_at_one_loudness(mushra, results):
    """Every tone has its own frequency: the key is checked by ear, so to speak."""
    _, key = read_test(mushra)
    levels = {}
    for name, known in key["stimuli"].items():
        wave, rate = soundfile.read(mushra / "page" / "stimuli" / f"{name}.wav")
        clip = [c[0] for c in RECORDINGS].index(key["trials"][known["trial"]]["ID"])
        method = 0 if known["condition"] == REFERENCE else METHODS.index(known["condition"])
        heard = np.argmax(np.abs(np.fft.rfft(wave))) * rate / len(wave)
        assert heard == pytest.approx(300 + 50 * clip + 20 * method, abs=1.5)
        levels[known["condition"]] = np.sqrt(np.mean(wave**2)) * 2**0.5
    for condition in CONDITIONS:  # tones, so that the root mean square says it, too
        assert levels[condition] == pytest.approx(levels[REFERENCE], rel=0.05)


def bs1770(path):
    """Loudness in LUFS and peak of a WAV, by torchaudio: another implementation of the standard."""
    wave, rate = soundfile.read(path, dtype="float32")
    lufs = torchaudio.functional.loudness(torch.from_numpy(wave)[None], rate)
    return float(lufs), float(np.abs(wave).max())


@pytest.fixture(scope="module")
def unequal(tmp_path_factory):
    """Results as different as a loud input, a whisper, clicks, bursts and a hum; 24 bits."""
    folder = make_results(tmp_path_factory.mktemp("unequal"), RECORDINGS[:2], seconds=3.0)
    rng = np.random.default_rng(3)
    n = 3 * RATE
    clicks = np.zeros(n)
    for start in range(100, n, 3001):
        clicks[start : start + 80] = rng.normal(size=80)
    bursts = rng.normal(size=n) * (np.arange(n) % RATE < RATE // 8)
    for sample in folder.glob("samples/*"):
        for name, wave in {
            "input": 0.2 * rng.normal(size=n), "L-MAC/explanation": 0.03 * bursts,
            "Saliency/explanation": 0.0005 * clicks, "All-ones/explanation": 0.8 * tone(3.0),
            "Random/explanation": 0.001 * rng.normal(size=n),
        }.items():  # fmt: skip
            wave = np.clip(wave, -1, 1)
            soundfile.write(sample / f"{name}.wav", wave, RATE, subtype="PCM_24")
    return folder


def test_no_method_can_be_told_by_its_level(unequal, tmp_path, caplog):
    methods = ["L-MAC", "Saliency", "All-ones"]
    folder = make_test([unequal], tmp_path / "t", clips=1, methods=methods).parents[1]
    assert not caplog.text
    manifest, key = read_test(folder)
    for trial in [manifest["training"], *manifest["trials"]]:
        measured = [
            bs1770(folder / "page/stimuli" / f"{name}.wav")
            for name in [trial["reference"], *trial["stimuli"]]
        ]
        levels, peaks = zip(*measured, strict=True)
        # Ramps at both ends, of noise as of tones: no click where a loop begins anew.
        for name in [trial["reference"], *trial["stimuli"]]:
            wave, _ = soundfile.read(folder / "page/stimuli" / f"{name}.wav")
            ends = max(abs(wave[0]), abs(wave[-1]))
            assert ends < 0.001 and abs(wave[200:-200]).max() > 50 * ends
        assert len(levels) == 6 and max(levels) - min(levels) < 0.3  # dB; 1 is what is asked
        assert max(peaks) < 10 ** (-0.5 / 20)  # headroom
        # The clicks have the highest peaks: all come down with them, and no further.
        assert 10 ** (-2.5 / 20) < max(peaks) and -40 < min(levels) < -23
        noted = key["trials"][trial["trial"]]["loudness_lufs"]
        assert noted == pytest.approx(np.mean(levels), abs=0.3)


def test_sounds_without_peaks_reach_the_target(results, tmp_path):
    folder = make_test([results], tmp_path / "t", clips=1).parents[1]
    _, key = read_test(folder)
    assert [t["loudness_lufs"] for t in key["trials"].values()] == [-23, -23]
    for path in (folder / "page" / "stimuli").iterdir():
        wave, rate = soundfile.read(path)
        # What is shorter than a block of the gate is one block: no gate, the filter is left.
        lufs = torchaudio.functional.loudness(torch.from_numpy(np.tile(wave, 3))[None], rate)
        assert float(lufs) == pytest.approx(-23, abs=0.5)


def test_what_is_silent_stays_silent_and_16_bits_that_are_raised_are_told(
    results, tmp_path, caplog
):
    folder = tmp_path / "r"
    make_results(folder, RECORDINGS[:2], seconds=0.5)
    for path in folder.glob("samples/*/Saliency/explanation.wav"):
        soundfile.write(path, np.zeros(RATE // 2), RATE, subtype="PCM_16")
    for path in folder.glob("samples/*/L-MAC/explanation.wav"):
        soundfile.write(path, 0.002 * tone(0.5), RATE, subtype="PCM_16")
    make_test([folder], tmp_path / "t", clips=1)
    assert "2 sounds have 16 bits and were raised by more than 30 dB" in caplog.text
    _, key = read_test(tmp_path / "t")
    for name, known in key["stimuli"].items():
        wave = soundfile.read(tmp_path / "t/page/stimuli" / f"{name}.wav")[0]
        assert (abs(wave).max() > 0.1) == (known["condition"] != "Saliency")
    for path in folder.glob("samples/*/input.wav"):
        soundfile.write(path, np.zeros(RATE // 2), RATE)
    with pytest.raises(ValueError, match="input.wav is silent: nobody can hear"):
        make_test([folder], tmp_path / "t2", clips=1)


def test_as_written_keeps_the_differences(results, tmp_path):
    make_test([results], tmp_path / "t", clips=1, loudness="as_written")
    _, key = read_test(tmp_path / "t")
    for trial in key["trials"]:
        peaks = {
            known["condition"]: abs(
                soundfile.read(tmp_path / "t/page/stimuli" / f"{name}.wav")[0]
            ).max()
            for name, known in key["stimuli"].items()
            if known["trial"] == trial
        }
        # The input is where a matched one would be, and the methods are below it as written.
        assert peaks["L-MAC"] == pytest.approx(peaks[REFERENCE] / 2, rel=0.01)
        assert peaks["Saliency"] == pytest.approx(peaks[REFERENCE] / 4, rel=0.01)
        assert key["trials"][trial]["loudness_lufs"] == -23


def test_nothing_on_the_page_tells_a_method(mushra, results):
    page = mushra / "page"
    files = [p.relative_to(page).as_posix() for p in page.rglob("*") if p.is_file()]
    stimuli = [f for f in files if f != "index.html"]
    assert len(stimuli) == 3 * 5
    assert all(re.fullmatch(r"stimuli/[0-9a-f]{16}\.wav", f) for f in stimuli)
    text = (page / "index.html").read_text() + (mushra / "manifest.json").read_text()
    text = text.replace("crypto.getRandomValues", "")
    for secret in (*METHODS, "Secret-", "key.json", str(results.parent), "anchor"):
        assert secret not in text, secret
    assert not re.search(r"https?:|src=\"(?!data)|@import|url\(", text)
    # Neither do sizes, nor names that could be guessed from the results.
    assert len({(page / f).stat().st_size for f in stimuli}) == 1


def test_names_differ_between_tests_of_the_same_results(results, tmp_path):
    tests = [make_test([results], tmp_path / n, clips=2).parents[1] for n in "ab"]
    (one, key_one), (two, key_two) = map(read_test, tests)
    assert not set(key_one["stimuli"]) & set(key_two["stimuli"]) and one["test"] != two["test"]
    chosen = [[t["ID"] for t in k["trials"].values()] for k in (key_one, key_two)]
    assert chosen[0] == chosen[1]  # the seed chooses the clips


@pytest.mark.parametrize(
    "options,message",
    [
        (["--clips=3"], "3 clips have a right decision .* but 4 are needed .one is for training"),
        (["--clips=0"], "--clips must be 1 or more, got 0"),
        (["--scale=nps"], "--scale: unknown 'nps'; expected mushra or mos"),
        (["--loudness=loud"], "--loudness: unknown 'loud'; expected matched or as_written"),
        (["--methods=[L-MAC,Nope]"], "--methods: 'Nope' cannot be tested; all results have L-MAC"),
        (["--methods=Random"], "--methods: 'Random' cannot be tested"),
    ],
)
def test_mistakes_get_one_sentence(results, tmp_path, options, message):
    with pytest.raises(ValueError, match=message) as error:
        main([str(results), f"--output={tmp_path / 'new'}", *options])
    assert "\n" not in str(error.value) and not (tmp_path / "new").exists()


def test_a_test_is_never_overwritten_and_needs_its_anchor(results, mushra, tmp_path):
    with pytest.raises(ValueError, match="is not empty: give a new --output"):
        make_test([results], mushra, clips=2)
    make_results(tmp_path / "r", RECORDINGS[:2], METHODS[:2], seconds=0.02)
    with pytest.raises(ValueError, match="has no method 'Random', which is a hidden anchor"):
        make_test([tmp_path / "r"], tmp_path / "t", clips=1)


# --- taking it ---


def forgotten(browser):
    """Whether the page begins anew. Chromium empties its storage in its own time, and a page that
    loads before shows the participant of the test before."""
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    return browser.execute_script("return state === null")


def begin(browser, address, name="P01"):
    browser.get(address)
    until(browser, lambda: forgotten(browser), "a page that remembers nobody")
    click(browser, "#participant")
    browser.switch_to.active_element.send_keys(name)
    click(browser, "#start button")
    # The server is asked whether the name is free.
    asking = "return $('begin').disabled"
    until(browser, lambda: not browser.execute_script(asking), "it knows")


def hear_everything(browser):
    """Play every sound of the screen to its end; names of the rated ones in their order."""
    count = browser.execute_script("return sounds.length")
    audio = "const a = player.loaded.get(player.sound); return [a.src, a.duration]"
    told = "return sounds[arguments[0]].told.textContent"
    names = []
    for i in range(count):
        browser.execute_script("sounds[arguments[0]].button.click()", i)
        until(browser, lambda: browser.execute_script(audio)[1], "it loads")
        source, duration = browser.execute_script(audio)
        names.append(re.search(r"stimuli/(\w+)\.wav", source)[1])
        assert duration == pytest.approx(0.4, abs=0.02)
        until(browser, lambda i=i: browser.execute_script(told, i) == "✓ heard", "heard")
        until(browser, lambda: not playing(browser), "the end")
    return names[1:]


def rate_everything(browser, rng):
    """Real clicks somewhere on each scale; what the page then shows, {row: {question: value}}."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    shown = []
    for box in browser.find_elements(By.CSS_SELECTOR, ".stimulus"):
        given = {}
        for question, field in zip(
            QUESTIONS, box.find_elements(By.TAG_NAME, "fieldset"), strict=True
        ):
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
            share = rng.uniform(0.05, 0.95)
            scale = field.find_element(By.CSS_SELECTOR, "input[type=range], .choices")
            offset = round((share - 0.5) * scale.size["width"])
            ActionChains(browser).move_to_element_with_offset(scale, offset, 0).click().perform()
            value = int(field.find_element(By.TAG_NAME, "output").text)
            if "choices" in scale.get_attribute("class"):
                assert value == int(5 * share) + 1 or abs(5 * share % 1 - 0.5) > 0.45
            else:
                assert value == pytest.approx(100 * share, abs=3)
            given[question] = value
        shown.append(given)
    return shown


def title(browser):
    return browser.execute_script("return $('screen-title').textContent").split(",")[0]


def go_to(browser, number):
    """Show a screen, 0 being that of the volume, as if all before it were done."""
    browser.execute_script("state.screen = arguments[0]; keep(); show()", number)


def take(browser, screens, seed=5):
    """Take the test from the first screen on; ratings by stimulus, as the page showed them."""
    rng = np.random.default_rng(seed)
    ratings = {}
    for number in range(screens):
        kind = browser.execute_script("return screens[state.screen].kind")
        names = hear_everything(browser)
        shown = rate_everything(browser, rng)
        if kind == "rated":
            ratings |= dict(zip(names, shown, strict=True))
        click(browser, "#next")
        assert browser.execute_script("return state.screen") == number + 1
    return ratings


def assert_analysis_returns(folder, responses, ratings):
    """The unblinded table has exactly the ratings that were clicked."""
    _, key = read_test(folder)
    analyse(folder, responses, responses / "analysis", n_boot=10, keep_all=True)
    for name in ("report.md", "scores.tex", "significance.tex", "scores.png"):
        assert (responses / "analysis" / name).stat().st_size > 300, name
    table = pd.read_csv(responses / "analysis" / "ratings.csv")
    assert len(table) == 2 * len(ratings)
    cells = table.set_index(["ID", "condition", "question"])["rating"]
    for name, given in ratings.items():
        known = key["stimuli"][name]
        for question, value in given.items():
            ID = key["trials"][known["trial"]]["ID"]
            assert cells[ID, known["condition"], question] == value


def test_a_whole_mushra_test_from_a_file(browser, mushra, downloads, tmp_path):
    begin(browser, (mushra / "page" / "index.html").as_uri())
    assert browser.title == f"Test {NASTY}"
    assert title(browser) == "Volume"
    ratings = take(browser, 4)
    assert len(ratings) == 2 * 4
    assert browser.execute_script("return $('end').checkVisibility()")
    assert not browser.execute_script("return $('send').checkVisibility()")  # no server here
    click(browser, "#comment")
    browser.switch_to.active_element.send_keys('Schön, <b>"ja"</b>')
    click(browser, "#save")
    path = downloads / f"{read_test(mushra)[0]['test']}_P01.json"
    until(browser, path.exists, "the file is saved")
    until(browser, lambda: path.stat().st_size, "it is written")
    content = json.loads(path.read_text())
    assert content["comment"] == 'Schön, <b>"ja"</b>'
    assert sorted(r["position"] for r in content["ratings"]) == list(range(8))
    assert all(r["plays"] == 1 for r in content["ratings"])
    write_json(tmp_path / path.name, content)
    assert_analysis_returns(mushra, tmp_path, ratings)


def test_a_whole_mos_test_sent_to_the_server(browser, mos, server, served):
    begin(browser, served, "Q-1")
    ratings = take(browser, 1 + 3 + 4)  # volume, and training is three screens of the four sounds
    assert len(ratings) == 4
    click(browser, "#send")
    outcome = "return $('outcome').textContent"
    until(browser, lambda: "have arrived" in browser.execute_script(outcome), "sent")
    click(browser, "#send")  # once more does no harm
    time.sleep(0.5)
    assert "have arrived" in browser.execute_script(outcome)
    files = list(server.responses.iterdir())
    assert [f.name for f in files] == [f"{read_test(mos)[0]['test']}_Q-1.json"]
    assert_analysis_returns(mos, server.responses, ratings)
    click(browser, "#again")
    assert browser.execute_script("return $('welcome').checkVisibility()")
    kept = browser.execute_script("return Object.entries(localStorage)")
    assert [json.loads(value) for _, value in kept] == [["Q-1"]]  # the name, and nothing else


def test_class_names_are_text_and_underscores_are_blanks(browser, mushra):
    begin(browser, (mushra / "page" / "index.html").as_uri())
    seen = set()
    for number in (1, 2, 3):
        go_to(browser, number)
        heading = browser.execute_script("return $('screen-title').textContent")
        seen.add(heading.split(", class: ", 1)[1])
    assert seen == {"dog", "sea waves", NASTY_CLASS}
    assert browser.execute_script("return document.querySelectorAll('script').length") == 3
    assert browser.execute_script("return document.querySelectorAll('#screen b').length") == 0


def test_no_way_round_hearing_and_rating(browser, mushra):
    begin(browser, (mushra / "page" / "index.html").as_uri(), "bad name!")
    assert "Please give a name" in browser.execute_script("return $('participant-error').innerText")
    begin(browser, (mushra / "page" / "index.html").as_uri())
    click(browser, "#next")
    told = "return $('todo').textContent"
    assert browser.execute_script(told) == "Please still hear Input to its end."
    go_to(browser, 1)
    click(browser, "#next")
    assert browser.execute_script(told).startswith("Please still hear Input to its end, hear Sound")
    # Rated, but not heard; the end of a sound alone is not enough.
    rate_everything(browser, np.random.default_rng(0))
    browser.execute_script("sounds[0].button.click(); player.seek(0.3)")
    until(browser, lambda: not playing(browser), "the end of the sound")
    click(browser, "#next")
    assert title(browser) == "Training"
    assert browser.execute_script(told).startswith("Please still hear Input to its end")
    assert browser.execute_script("return document.activeElement === sounds[0].button")
    hear_everything(browser)
    browser.execute_script("delete state.ratings[sounds[2].name].quality; show()")
    click(browser, "#next")
    assert browser.execute_script(told) == "Please still answer 2. Audio quality of Sound B."
    # The middle of the scale, chosen by a key and left where it is, is an answer.
    browser.switch_to.active_element.send_keys("\ue007")
    click(browser, "#next")
    assert title(browser) == "Recording 1"


def test_reload_keeps_progress(browser, results, tmp_path):
    # A test of its own, so that Chromium's storage cannot bring another test's participant back.
    page = make_test([results], tmp_path / "own", clips=2, seed=5)
    begin(browser, page.as_uri(), "P07")
    take(browser, 2)
    names = hear_everything(browser)
    shown = rate_everything(browser, np.random.default_rng(1))
    browser.refresh()
    assert title(browser) == "Recording 1"
    assert browser.execute_script("return state.participant") == "P07"
    again = browser.execute_script("return sounds.slice(1).map((s) => s.name)")
    assert again == names
    outputs = "return [...document.querySelectorAll('.stimulus output')].map((o) => o.textContent)"
    expected = [str(given[q]) for given in shown for q in QUESTIONS]
    assert browser.execute_script(outputs) == expected
    sliders = "return [...document.querySelectorAll('.stimulus input')].map((o) => o.value)"
    assert browser.execute_script(sliders) == expected
    click(browser, "#next")  # what was heard is still heard
    assert title(browser) == "Recording 2"


def test_order_follows_the_participant_and_favours_nothing(browser, mushra):
    browser.get((mushra / "page" / "index.html").as_uri())
    orders = browser.execute_script(
        "return [...Array(300).keys()].map((i) => order(`P${i}`).slice(1).map((s) => s.stimuli))"
    )
    assert orders[7] == browser.execute_script("return order('P7').slice(1).map((s) => s.stimuli)")
    manifest, _ = read_test(mushra)
    rated = sorted(s for t in manifest["trials"] for s in t["stimuli"])
    places = {name: [] for name in rated}
    for screens in orders:
        assert sorted(screens[0]) == manifest["training"]["stimuli"]
        assert sorted(screens[1] + screens[2]) == rated
        for place, name in enumerate(screens[1] + screens[2]):
            places[name].append(place)
    assert len({json.dumps(o) for o in orders}) > 280
    for given in places.values():
        counts = np.bincount(given, minlength=8)
        # 300 / 8 = 37.5 each; chi-squared with 7 degrees of freedom, far beyond 0.001.
        assert ((counts - 37.5) ** 2 / 37.5).sum() < 30


def test_a_missing_stimulus_is_said(_driver, mushra):
    begin(_driver, (mushra / "page" / "index.html").as_uri())
    go_to(_driver, 1)
    _driver.execute_script(
        "player.release(); sounds[1].url = 'stimuli/gone.wav'; sounds[1].button.click()"
    )
    told = "return sounds[1].told.textContent"
    until(_driver, lambda: _driver.execute_script(told) == "cannot be loaded", "it says so")
    _driver.get_log("browser")


@pytest.mark.parametrize("size,scheme", LOOKS)
@pytest.mark.parametrize("kind", ["mushra", "mos"])
def test_axe_finds_nothing_on_any_screen(browser, request, kind, size, scheme):
    folder = request.getfixturevalue(kind)
    look(browser, size, scheme)
    browser.get((folder / "page" / "index.html").as_uri())
    until(browser, lambda: forgotten(browser), "a page that remembers nobody")
    width = browser.execute_script("return document.documentElement.clientWidth")
    for number in (None, 0, 1, "end"):
        if number is None:
            assert violations(browser) == []
            click(browser, "#participant")
            browser.switch_to.active_element.send_keys("P01")
            click(browser, "#start button")
        else:
            go_to(browser, 99 if number == "end" else number)
            assert violations(browser) == [], number
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_twelve_sounds_fit_on_one_screen(browser, tmp_path):
    """The most that BS.1534 advises: ten methods, the hidden reference and the anchor."""
    methods = [f"Method {i}" for i in range(10)] + ["Random"]
    results = make_results(tmp_path / "r", RECORDINGS[:2], methods, seconds=0.1)
    page = make_test([results], tmp_path / "t", clips=1)
    look(browser, "desktop")
    begin(browser, page.as_uri())
    go_to(browser, 2)
    assert title(browser) == "Recording 1"
    assert browser.execute_script("return sounds.length") == 13
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#bar, .stimulus, #next')]"
        ".map((e) => e.getBoundingClientRect()).map((r) => [r.top, r.bottom])"
    )
    assert len(rows) == 14 and min(r[0] for r in rows) >= 0 and max(r[1] for r in rows) <= 900
    assert browser.execute_script("return document.documentElement.scrollHeight") <= 900


def test_volume_is_set_first_and_holds(browser, mushra):
    begin(browser, (mushra / "page" / "index.html").as_uri())
    assert title(browser) == "Volume"
    browser.execute_script("$('loop').click(); sounds[0].button.click()")
    until(browser, lambda: playing(browser), "it plays")
    browser.execute_script("$('volume').value = 30; $('volume').dispatchEvent(new Event('input'))")
    assert [a["volume"] for a in playing(browser)] == [0.3]
    until(browser, lambda: browser.execute_script("return missing().length") == 0, "heard")
    browser.execute_script("document.activeElement.blur()")
    press(browser, "n")
    assert title(browser) == "Training" and playing(browser) == []
    assert not browser.execute_script("return $('volume-field').checkVisibility()")
    press(browser, "a")
    until(browser, lambda: [a["volume"] for a in playing(browser)] == [0.3], "as loud as before")
    browser.refresh()
    until(browser, lambda: title(browser) == "Training", "the same screen")
    press(browser, "r", "0")  # in a loop, or a slow machine looks when it has ended
    until(browser, lambda: [a["volume"] for a in playing(browser)] == [0.3], "after a reload, too")


def test_a_loop_goes_on_and_switching_keeps_the_position(browser, unequal, tmp_path):
    page = make_test([unequal], tmp_path / "t", clips=1, methods=["L-MAC", "Saliency"])
    begin(browser, page.as_uri())
    go_to(browser, 1)
    press(browser, "r", "a")
    assert browser.execute_script("return $('loop').checked")
    until(browser, lambda: playing(browser) and playing(browser)[0]["time"] > 0.2, "it plays")
    browser.execute_script("player.seek(2.8)")
    until(browser, lambda: playing(browser) and playing(browser)[0]["time"] < 2, "it began anew")
    # In one script, so that a slow machine cannot spend the time of the sound.
    apart = browser.execute_async_script(
        "const done = arguments[0], old = player.loaded.get(player.sound);"
        "play(sounds[2]); const fresh = player.loaded.get(player.sound);"
        "const look = () => fresh.currentTime > 0 && fresh !== old && !fresh.seeking"
        " ? done(Math.abs(fresh.currentTime - old.currentTime)) : setTimeout(look, 2); look()"
    )
    assert apart < 0.25
    until(browser, lambda: len(playing(browser)) == 1, "only one is left")
    press(browser, " ")
    until(browser, lambda: playing(browser) == [], "paused")


def test_keys_reach_everything_and_space_always_plays(browser, mushra):
    begin(browser, (mushra / "page" / "index.html").as_uri())
    go_to(browser, 2)
    label = "return player.sound && player.sound.label"
    press(browser, "b")
    assert browser.execute_script(label) == "Sound B"
    press(browser, "0")
    assert browser.execute_script(label) == "Input"
    until(browser, lambda: playing(browser) == [], "the end")
    browser.execute_script("$('next').focus()")
    press(browser, " ")  # on a button: it plays, and presses nothing
    assert title(browser) == "Recording 1" and not browser.execute_script(
        "return $('todo').textContent"
    )
    assert browser.execute_script("return state.plays[sounds[0].name]") == 2
    press(browser, "n")
    told = browser.execute_script("return $('todo').textContent")
    assert told.startswith("Please still hear")
    slider = "document.querySelectorAll('.stimulus input')[0]"
    browser.execute_script(f"{slider}.focus()")
    press(browser, "\ue014")  # arrow right
    assert browser.execute_script(f"return {slider}.value") == "51"
    press(browser, "p")
    assert title(browser) == "Training"
    press(browser, "p", "p")
    assert title(browser) == "Volume"  # and no further


def test_back_shows_what_was_answered_and_lets_it_be_changed(browser, mushra):
    begin(browser, (mushra / "page" / "index.html").as_uri(), "P08")
    browser.execute_script(
        "for (const s of screens) {"
        "  state.heard[s.trial.reference] = true;"
        "  for (const n of s.stimuli) {"
        "    state.heard[n] = true; state.ratings[n] = {correspondence: 40, quality: 60}; } }"
    )
    go_to(browser, 3)
    click(browser, "#next")
    assert browser.execute_script("return $('end').checkVisibility()")
    finished = browser.execute_script("return state.finished")
    time.sleep(0.01)
    click(browser, "#review")
    assert title(browser) == "Recording 2"
    click(browser, "#back")
    assert title(browser) == "Recording 1"
    outputs = "return [...document.querySelectorAll('.stimulus output')].map((o) => o.textContent)"
    assert browser.execute_script(outputs) == ["40", "60"] * 4
    name = browser.execute_script(
        "const input = document.querySelector('.stimulus input'); input.value = 77;"
        "input.dispatchEvent(new Event('input')); return sounds[1].name"
    )
    click(browser, "#next")
    click(browser, "#next")
    answer = json.loads(browser.execute_script("return response()"))
    given = {r["stimulus"]: r["correspondence"] for r in answer["ratings"]}
    assert given.pop(name) == 77 and set(given.values()) == {40}
    assert answer["finished"] > finished


def test_sounds_are_there_before_they_are_asked_for(browser, served):
    begin(browser, served, "Q-9")
    go_to(browser, 1)
    loaded = "return sounds.every((s) => player.loaded.get(s).readyState >= 3)"
    until(browser, lambda: browser.execute_script(loaded), "this screen's are loaded")
    until(
        browser,
        lambda: browser.execute_script("return warm.length > 0 && warm.every((a) => a.readyState)"),
        "and the next one's",
    )
    assert (
        browser.execute_script("return sounds.map((s) => s.told.textContent)")
        == ["not heard yet"] * 2
    )


def test_names_are_told_to_be_taken_at_the_start(browser, mos, server, served):
    manifest, key = read_test(mos)
    write_json(
        server.responses / f"{manifest['test']}_Done.json",
        answers(manifest, key, "Done", lambda *_: 3),
    )
    error = "return $('participant-error').textContent"
    begin(browser, served, "Done")
    until(browser, lambda: browser.execute_script(error), "it says so")
    assert browser.execute_script(error).startswith("Somebody has begun or answered under this")
    assert browser.execute_script("return state") is None
    begin(browser, served, "Begun")
    until(browser, lambda: title(browser) == "Volume", "it begins")
    begin(browser, served, "Begun")  # another browser, so to speak: nothing is kept
    until(browser, lambda: browser.execute_script(error), "it says so")
    begin(browser, served, "Other")
    until(browser, lambda: title(browser) == "Volume", "another name is free")


def test_a_name_that_ended_here_is_taken_without_a_server(browser, mushra):
    begin(browser, (mushra / "page" / "index.html").as_uri(), "P01")
    go_to(browser, 99)
    click(browser, "#save")
    click(browser, "#again")
    click(browser, "#participant")
    browser.switch_to.active_element.send_keys("P01")
    click(browser, "#start button")
    error = browser.execute_script("return $('participant-error').textContent")
    assert error.startswith("Answers were given under this name with this browser already")


def test_consent_and_device_are_asked_by_option_and_kept(browser, results, tmp_path):
    (tmp_path / "consent.txt").write_text(f"First {NASTY}.\nStill first.\n\nSecond.\n")
    folder = tmp_path / "t"
    main([str(results), f"--output={folder}", "--clips=1", f"--consent={tmp_path}/consent.txt",
          "--headphones=True"])  # fmt: skip
    manifest, key = read_test(folder)
    assert manifest["consent"] == [f"First {NASTY}. Still first.", "Second."]
    begin(browser, (folder / "page" / "index.html").as_uri())
    text = browser.execute_script("return document.querySelector('#start').textContent")
    assert f"First {NASTY}. Still first." in text
    assert violations(browser) == []
    assert browser.execute_script("return $('consent-error').textContent") == (
        "Please agree, or do not take part."
    )
    click(browser, "#consent")
    click(browser, "#begin")
    assert browser.execute_script("return $('device-error').textContent") == (
        "Please say what you listen with."
    )
    click(browser, "input[value=earphones]")
    click(browser, "#begin")
    until(browser, lambda: title(browser) == "Volume", "it begins")
    answer = json.loads(browser.execute_script("return response()"))
    assert (answer["consent"], answer["device"]) == (True, "earphones")
    for name, device in (("P1", "earphones"), ("P2", "loudspeakers"), ("P3", "earphones")):
        content = answers(manifest, key, name, lambda c, q: 95 if c == REFERENCE else 10 + len(c))
        write_json(tmp_path / "answers" / f"{name}.json", {**content, "device": device})
    text = analyse(folder, tmp_path / "answers", n_boot=10)
    assert "3 listeners took part, 2 with earphones, 1 with loudspeakers." in text
    content["device"] = "a horn"
    write_json(tmp_path / "answers" / "P3.json", content)
    with pytest.raises(ValueError, match="device must be 'headphones' or .*, got 'a horn'"):
        analyse(folder, tmp_path / "answers")


def test_a_consent_that_is_no_text_is_refused(results, tmp_path):
    (tmp_path / "empty.txt").write_text(" \n\n")
    (tmp_path / "latin.txt").write_bytes(b"Gr\xfc\xdfe")
    for name, message in (("empty", "is empty"), ("latin", "cannot"), ("none", "cannot be read")):
        with pytest.raises(ValueError, match=f"--consent=.*{message}") as error:
            make_test([results], tmp_path / "t", clips=1, consent=tmp_path / f"{name}.txt")
        assert "\n" not in str(error.value) and not (tmp_path / "t").exists()
