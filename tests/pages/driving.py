"""What a person does with a page."""

import time
from urllib.parse import unquote

PATIENCE_S = 60


def until(driver, condition, what=""):
    """The first true value of ``condition()``; slow machines get a minute."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"never came true: {what or condition}")


def press(driver, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(driver).send_keys(key).perform()


def click(driver, selector):
    """A real click, at the place on the screen."""
    from selenium.webdriver.common.by import By

    found = driver.find_element(By.CSS_SELECTOR, selector)
    until(driver, found.is_displayed, f"{selector} is seen")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    found.click()


def playing(driver):
    """Address (decoded), time, duration and volume of the sounds that play now."""
    return [
        {**a, "src": unquote(a["src"])}
        for a in driver.execute_script(
            "return [...document.querySelectorAll('audio')].filter((a) => !a.paused).map((a) =>"
            "({src: a.src, time: a.currentTime, duration: a.duration, volume: a.volume}))"
        )
    ]
