"""axe-core on a page, as a desktop and a phone show it, light and dark."""

import importlib.util
from functools import cache
from pathlib import Path

SIZES = {"desktop": (1280, 900, False), "phone": (390, 844, True)}
LOOKS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


@cache
def _script():
    """axe-core is in the package of another driver, of which nothing else is needed."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        raise ModuleNotFoundError(
            "axe-core is missing: pip install --no-deps axe-playwright-python (see the Makefile)."
        )
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def look(driver, size="desktop", scheme="light"):
    """Show the page as a desktop or a phone does, in a light or a dark scheme."""
    width, height, mobile = SIZES[size]
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
    )
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )


def usual(driver):
    """Undo :func:`look`."""
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def violations(driver):
    """What axe-core finds wrong on the page as it is, each with the elements; all its rules."""
    driver.execute_script(_script())
    found = driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']})"
        ".then((r) => done(r.violations), (e) => done([{id: String(e), nodes: []}]))"
    )
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]
