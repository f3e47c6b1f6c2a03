"""A real Chromium, without a screen, to look at pages with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage
--window-size=2000,1300""".split()
SECONDS = 60
"""How long a page may take on a busy machine."""


def unavailable(reason: str) -> NoReturn:
    """Skip on a person's machine; in CI everything is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class Browser:
    """Chromium, without a screen."""

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        self.driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))

    def open(self, url: str) -> None:
        """Load a page afresh: another fragment alone would not."""
        self.driver.get("about:blank")
        self.driver.get(url)

    def all(self, css: str) -> list[Any]:
        return self.driver.find_elements("css selector", css)

    def wait(self, what: Callable[[], Any]) -> Any:
        """Return what the page shows as soon as it does."""
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.wait import WebDriverWait

        ignored = [StaleElementReferenceException]
        wait = WebDriverWait(self.driver, SECONDS, ignored_exceptions=ignored)
        return wait.until(lambda driver: what(), f"not on {self.driver.current_url}")

    def runs(self) -> dict[str, Any]:
        """Return the cells of the table's runs by name, from the top."""
        cells = self.all('[role=gridcell][col-id="attributes.`Run Name`"]')
        cells.sort(key=lambda cell: cell.location["y"])
        return {cell.find_element("css selector", "a").text: cell for cell in cells}

    def text(self) -> str:
        return self.driver.find_element("css selector", "body").text


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not CHROMIUM or not shutil.which("chromedriver"):
        unavailable("needs Chromium: apt install chromium chromium-driver")
    try:
        started = Browser(tmp_path_factory.mktemp("chromium"))
    except ImportError:
        unavailable("needs selenium: pip install 'catdog-lab[dev]'")
    yield started
    started.driver.quit()
