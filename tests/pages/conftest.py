"""A headless Chromium, and listening tests to be taken in it."""

import os
import shutil
import threading

import pytest

from lmac.pages.study.listening_test import make_test
from lmac.pages.study.server import TestServer

from .axe import usual
from .made import NASTY, RECORDINGS, make_results


def missing_browser():
    """What is missing for the tests in a browser, empty if nothing is."""
    missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    try:
        import selenium  # noqa: F401
    except ImportError:
        missing.append("selenium")
    return ", ".join(missing)


def pytest_collection_modifyitems(items):
    """A test in the browser that fails is run once more; the report counts these (-rR)."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=1))


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
        "--disable-dev-shm-usage", "--force-prefers-reduced-motion",
        "--autoplay-policy=no-user-gesture-required",
        # A microphone that beeps, and no question whether a page may use it.
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
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
    usual(_driver)
    errors = [e for e in _driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
    _driver.get("about:blank")
    assert not errors


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("Prüfung 1") / "re sults", RECORDINGS, seconds=0.4)


@pytest.fixture(scope="module")
def mushra(results):
    page = make_test([results], results.parent / "mush ra", clips=2, title=f"Test {NASTY}")
    return page.parents[1]


@pytest.fixture(scope="module")
def mos(results):
    return make_test([results], results.parent / "mos", scale="mos", clips=1).parents[1]


@pytest.fixture
def server(mos, tmp_path):
    with TestServer(("127.0.0.1", 0), mos, tmp_path / "answers") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def served(browser, server):
    """Address of the test that is served; the page is left before the server ends."""
    yield f"http://127.0.0.1:{server.server_port}/"
    browser.get("about:blank")
