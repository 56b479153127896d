# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium of the system, driven by Selenium; a visible skip where it is missing."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1440,940"),
)
PATIENCE = 400.0  # seconds; a run on a busy machine


class Browser:
    """One page; elements go by their ids.

    Args:
        profile: a new folder for the user's data.
        downloads: where files land.
    """

    def __init__(self, profile: Path, downloads: Path) -> None:
        selenium = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
        from selenium.webdriver.chrome.service import Service

        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip("Chromium is not installed (apt-get install chromium chromium-driver)")
        options = selenium.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = selenium.Chrome(options=options, service=Service(driver))
        self.downloads = downloads

    def element(self, name: str):  # type: ignore[no-untyped-def]
        """The element of an id."""
        return self.driver.find_element("id", name)

    def text(self, name: str) -> str:
        """What an element says."""
        return str(self.element(name).text)

    def shown(self, *names: str) -> bool:
        """Whether all of these can be seen."""
        return all(self.element(name).is_displayed() for name in names)

    def keys(self, *keys: str) -> None:
        """Type into whatever has the focus."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self) -> str:
        """The id of what has the focus."""
        return str(self.driver.switch_to.active_element.get_attribute("id"))

    def until(self, good: Callable[[], object]) -> None:
        """Wait until it holds; an error that the page shows ends the wait."""
        end = time.monotonic() + PATIENCE
        while not good():
            assert not self.shown("alert"), self.text("alert")
            assert time.monotonic() < end, self.text("status")
            time.sleep(0.1)

    def complained(self) -> None:
        """Wait until the page shows an error."""
        end = time.monotonic() + PATIENCE
        while not self.shown("alert"):
            assert time.monotonic() < end, self.text("status")
            time.sleep(0.1)

    def complaints(self) -> list[str]:
        """What the browser's console holds: errors, refused scripts and styles."""
        found = self.driver.get_log("browser")
        told = [entry["message"] for entry in found if entry["level"] in ("SEVERE", "WARNING")]
        return [text for text in told if "401 (Unauthorized)" not in text]  # before the key

    def downloaded(self, pattern: str) -> Path:
        """A file that has arrived whole."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = [p for p in self.downloads.glob(pattern) if p.suffix != ".crdownload"]
            if found and not list(self.downloads.glob("*.crdownload")):
                return found[0]
            time.sleep(0.1)
        raise AssertionError(f"no {pattern} arrived")

    def painted(self, canvas: str) -> float:
        """The share of a canvas that is not transparent."""
        script = """const c = document.getElementById(arguments[0]);
          const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
          let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i]) n += 1;
          return 4 * n / d.length;"""
        return float(self.driver.execute_script(script, canvas))
