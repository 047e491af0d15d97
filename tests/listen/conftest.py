"""Results folders made of tones, and a headless Chromium."""

import os
import shutil
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import soundfile

RATE = 16000
METHODS = ("L-MAC", "Saliency", "All-ones", "Random")
# Names that break careless pages: markup, quotes, umlauts, spaces, and what means something
# in an address.
NASTY = """<script>alert("x")<'script> & Käse 100% #1?"""
NASTY_CLASS = """</script><b>Gänse "schnattern"</b>"""


def write_png(path, size=8):
    """A grey PNG, written by hand so that no library is needed."""

    def chunk(kind, body):
        data = kind + body
        return struct.pack(">I", len(body)) + data + struct.pack(">I", zlib.crc32(data))

    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\x80" * size) * size)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def tone(seconds, frequency=440.0, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def make_results(
    folder, clips, methods=METHODS, scenario="mixtures", domain="stft", seconds=1.0, audio=True
):
    """A results folder as ``eval_explanations.py`` writes it.

    ``clips`` is a list of (ID, label, decision). Metrics are a function of clip and method that
    tests can compute: AI = 10 * clip number + method number, AD = 100 - AI, SPS is undefined
    for All-ones. The amplitude is 0.5 for inputs and 0.25, 0.125, ... for the methods.
    """
    rows = []
    for c, (ID, label, decision) in enumerate(clips):
        for m, method in enumerate(methods):
            sample = folder / "samples" / ID / method
            sample.mkdir(parents=True)
            if audio:
                parts = {"input": 0.5, "explanation": 0.5 / 2 ** (m + 1), "removed": 0.01}
                for name, amplitude in parts.items():
                    wave = tone(seconds, 300 + 50 * c + 20 * m, amplitude)
                    soundfile.write(sample / f"{name}.wav", wave, RATE, subtype="PCM_16")
            write_png(sample / "explanation.png")
            score = 10.0 * c + m
            rows.append(
                {"scenario": scenario, "domain": domain, "method": method, "ID": ID,
                 "target_id": ID, "label": label, "decision": decision,
                 "correct": int(label == decision), "p": 0.5 + c / 100, "p_in": 0.25, "p_out": 0.125,
                 "AI": score, "AD": 100 - score,
                 "SPS": "" if method == "All-ones" else score / 100}
            )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)
    return folder


def missing_browser():
    """What is missing for the tests in a browser, empty if nothing is."""
    missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    try:
        import selenium  # noqa: F401
    except ImportError:
        missing.append("selenium")
    return ", ".join(missing)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def _driver(tmp_path_factory, downloads):
    missing = missing_browser()
    if missing:
        message = (
            f"THE PAGES WERE NOT TESTED IN A BROWSER: {missing} missing; install Debian's "
            "chromium and chromium-driver, and selenium with pip"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required",
        "--window-size=1280,900", f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(120)
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def browser(_driver):
    """Headless Chromium; the test fails when the page wrote an error to the console."""
    _driver.get_log("browser")
    yield _driver
    errors = [e for e in _driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
    _driver.get("about:blank")
    assert not errors
