"""The listening test, taken in a real browser."""

import json
import re
import time

import numpy as np
import pandas as pd
import pytest
import soundfile

from lmac.study.analysis import analyse
from lmac.study.listening_test import main, make_test
from lmac.study.responses import QUESTIONS, read_test

from .axe import look
from .driving import click, playing, until
from .made import METHODS, NASTY, NASTY_CLASS, RECORDINGS, make_results, write_json

CONDITIONS = {"input", "Random", "L-MAC", "Saliency"}


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
        method = 0 if known["condition"] == "input" else METHODS.index(known["condition"])
        heard = np.argmax(np.abs(np.fft.rfft(wave))) * rate / len(wave)
        assert heard == pytest.approx(300 + 50 * clip + 20 * method, abs=1.5)
        levels[known["condition"]] = np.sqrt(np.mean(wave**2)) * 2**0.5
    # Random's 0.5 / 16 is more than 20 dB below the input, the others come down to 20 dB.
    assert levels["Random"] == pytest.approx(0.5 / 16, rel=0.01)
    for condition in CONDITIONS - {"Random"}:
        assert levels[condition] == pytest.approx(0.05, rel=0.01)


def test_as_written_keeps_the_levels(results, tmp_path):
    make_test([results], tmp_path / "t", clips=1, loudness="as_written")
    _, key = read_test(tmp_path / "t")
    for name, known in key["stimuli"].items():
        wave, _ = soundfile.read(tmp_path / "t/page/stimuli" / f"{name}.wav")
        if known["condition"] == "input":
            assert abs(wave).max() == pytest.approx(0.5, abs=0.001)


def test_nothing_on_the_page_tells_a_method(mushra, results):
    page = mushra / "page"
    files = [p.relative_to(page).as_posix() for p in page.rglob("*") if p.is_file()]
    stimuli = [f for f in files if f != "index.html"]
    assert len(stimuli) == 3 * 5
    assert all(re.fullmatch(r"stimuli/[0-9a-f]{16}\.wav", f) for f in stimuli)
    text = (page / "index.html").read_text() + (mushra / "manifest.json").read_text()
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
        assert duration == pytest.approx(0.7, abs=0.02)
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
    return browser.execute_script("return $('screen-title').textContent")


def take(browser, screens, seed=5):
    """Take the test from the first screen on; ratings by stimulus, as the page showed them."""
    rng = np.random.default_rng(seed)
    ratings = {}
    for number in range(screens):
        training = browser.execute_script("return !$('training-note').hidden")
        names = hear_everything(browser)
        shown = rate_everything(browser, rng)
        if not training:
            ratings |= dict(zip(names, shown, strict=True))
        click(browser, "#next")
        assert browser.execute_script("return state.screen") == number + 1
    return ratings


def assert_analysis_returns(folder, responses, ratings):
    """The unblinded table has exactly the ratings that were clicked."""
    _, key = read_test(folder)
    analyse(folder, responses, responses / "analysis", n_boot=10, keep_all=True)
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
    assert title(browser) == "Training"
    ratings = take(browser, 3)
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


def test_a_whole_mos_test_sent_to_the_server(browser, mos, server):
    begin(browser, f"http://127.0.0.1:{server.server_port}/", "Q-1")
    ratings = take(browser, 3 + 4)  # training is three screens of the four sounds
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
    assert browser.execute_script("return localStorage.length") == 0


def test_class_names_are_text_and_underscores_are_blanks(browser, mushra):
    begin(browser, (mushra / "page" / "index.html").as_uri())
    seen = set()
    for number in range(3):
        browser.execute_script("state.screen = arguments[0]; show()", number)
        seen.add(browser.execute_script("return $('class').textContent"))
    assert seen == {"dog", "sea waves", NASTY_CLASS}
    assert browser.execute_script("return document.querySelectorAll('script').length") == 3
    assert browser.execute_script("return document.querySelectorAll('#bar b').length") == 0


def test_no_way_round_hearing_and_rating(browser, mushra):
    begin(browser, (mushra / "page" / "index.html").as_uri(), "bad name!")
    assert "Please give a name" in browser.execute_script("return $('participant-error').innerText")
    begin(browser, (mushra / "page" / "index.html").as_uri())
    click(browser, "#next")
    told = "return $('todo').textContent"
    assert browser.execute_script(told).startswith("Please still hear Input to its end, hear Sound")
    # Rated, but not heard; the end of a sound alone is not enough.
    rate_everything(browser, np.random.default_rng(0))
    browser.execute_script("sounds[0].button.click(); player.seek(0.55)")
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


def test_reload_keeps_progress(browser, mushra):
    begin(browser, (mushra / "page" / "index.html").as_uri(), "P07")
    take(browser, 1)
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
        "return [...Array(300).keys()].map((i) => order(`P${i}`).map((s) => s.stimuli))"
    )
    assert orders[7] == browser.execute_script("return order('P7').map((s) => s.stimuli)")
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
    _driver.execute_script("sounds[1].url = 'stimuli/gone.wav'; sounds[1].button.click()")
    told = "return sounds[1].told.textContent"
    until(_driver, lambda: _driver.execute_script(told) == "cannot be loaded", "it says so")
    _driver.get_log("browser")


@pytest.mark.parametrize("kind", ["mushra", "mos"])
def test_phone_width_and_names_of_controls(browser, request, kind):
    folder = request.getfixturevalue(kind)
    look(browser, "phone")
    begin(browser, (folder / "page" / "index.html").as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    nameless = (
        "return [...document.querySelectorAll('button, input, textarea, progress')].filter((e) =>"
        "!(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length)))"
        ".length"
    )
    assert browser.execute_script(nameless) == 0
