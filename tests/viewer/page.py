# SPDX-License-Identifier: Apache-2.0
"""The viewer's page in a headless Chromium: what a person sees, picks and presses."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.server.browser import PATIENCE, Browser

BADGE_ROWS = 50  # of a view, where SYNTHETIC may stand
STOPPED_S = 20.0
SOON = 60.0  # seconds; of a page on a busy machine


@contextmanager
def viewing(root: Path, python: Path, folder: Path, *words: str) -> Iterator[str]:
    """``cxr-cf viewer`` at any free port; its address. Its temporary files go to ``folder``."""
    command = [sys.executable, "-m", "monai_cxr_cf.cli", "viewer", "--port", "0", "--no-browser"]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [*command, "--python", str(python), *words], cwd=folder, text=True,
            env={**environment, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, stderr=log,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"http://\S+", first)
        log.seek(0)
        assert found, first + log.read().decode()[-2000:]
        try:
            yield found.group()
        finally:
            process.terminate()
            process.wait(STOPPED_S)


class Page(Browser):
    """The one page of a viewer.

    Args:
        folder: for the browser's own files.
        address: with its key.
        pictures: where screenshots go.
    """

    def __init__(self, folder: Path, address: str, pictures: Path) -> None:
        super().__init__(folder / "profile", folder / "downloads")
        self.address, self._pictures = address, pictures
        self.driver.get(address)
        self.wait(lambda: self.text("title") not in ("", "Set up"))

    def wait(self, good: Callable[[], object], seconds: float = SOON) -> None:
        """Wait until it holds; an element that is not there yet does not."""
        from selenium.common.exceptions import (
            NoSuchElementException,
            StaleElementReferenceException,
        )

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if good():
                    return
            except (NoSuchElementException, StaleElementReferenceException):
                pass
            time.sleep(0.1)
        self.photograph("given-up")
        raise AssertionError(f"{self.text('title')}: {self.text('message')}")

    def there(self, name: str) -> bool:
        """Whether an element is on the page and takes room; Vuetify's inputs are transparent."""
        script = "return !!document.getElementById(arguments[0])?.offsetParent"
        return bool(self.driver.execute_script(script, name))

    def open(self, path: Path) -> None:
        """Give a file to the button that opens one."""
        self.element("file").send_keys(str(path))

    def choose(self, field: str, words: str) -> None:
        """Pick an item of a list, with or without evidence."""
        box = self.element(field).find_element("xpath", "ancestor::*[contains(@class,'v-input')]")
        box.click()
        items = ".v-overlay--active .v-list-item"

        def pick() -> bool:
            for each in self.driver.find_elements("css selector", items):
                if " ".join(each.text.split()).removesuffix(" (unproven)") == words:
                    each.click()
                    return True
            return False

        self.wait(pick)
        self.wait(lambda: not self.driver.find_elements("css selector", items))

    def type_in(self, field: str, *keys: str) -> None:
        """Go into a field and type."""
        self.element(field).click()
        self.wait(lambda: self.focused() == field)
        self.keys(*keys)

    def slide(self, words: str, *keys: str) -> None:
        """Move a slider by keys."""
        self.driver.find_element("css selector", f"[role=slider][aria-label='{words}']").send_keys(
            *keys
        )

    def run(self, expected: str = "Done") -> None:
        """Press Run and wait for its end."""
        self.element("run").click()
        self.wait(lambda: self.text("title") in ("Done", "It did not work"), PATIENCE)
        assert self.text("title") == expected, self.text("message")

    def photograph(self, name: str) -> None:
        """Keep a screenshot."""
        self.driver.save_screenshot(str(self._pictures / f"viewer-{name}.png"))

    def views(self) -> "list[NDArray[np.int16]]":
        """What each view shows now, HxWx3, left to right; the bar of words on top cut off."""
        shown = self.driver.find_elements("css selector", ".layout-grid-item img")
        painted = [each for each in shown if each.size["height"] > 2 * BADGE_ROWS]
        taken = [Image.open(BytesIO(each.screenshot_as_png)).convert("RGB") for each in painted]
        return [np.asarray(each, np.int16)[BADGE_ROWS:-BADGE_ROWS] for each in taken]

    def settled(
        self, good: "Callable[[list[NDArray[np.int16]]], object]" = bool
    ) -> "list[NDArray[np.int16]]":
        """The views when they do not change any more, and are what they are to become.

        Pictures come a moment after a press, on a busy machine after its words: that they rest is
        then not enough, and ``good`` says what to wait for.
        """
        before = self.views()
        for _ in range(100):
            time.sleep(0.4)
            now = self.views()
            same = len(now) == len(before) and all(
                a.shape == b.shape and np.array_equal(a, b)
                for a, b in zip(now, before, strict=True)
            )
            if now and same and good(now):
                return now
            before = now
        self.photograph("given-up")
        raise AssertionError("the views never came to rest, or not as they should")


def differing(a: "NDArray[np.int16]", b: "NDArray[np.int16]", by: int = 24) -> float:
    """The share of pixels that differ by more than a lossy picture does."""
    rows, columns = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    return float((np.abs(a[:rows, :columns] - b[:rows, :columns]).max(axis=2) > by).mean())
