# SPDX-License-Identifier: Apache-2.0
"""The page before a run: opens files, refuses what is none, offers the vocabulary, by keyboard."""

import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from selenium.webdriver.common.keys import Keys

from tests.viewer.page import PATIENCE, Page

pytestmark = pytest.mark.timeout(900)


def outlined(picture: "NDArray[np.int16]") -> "NDArray[np.bool_]":
    """Where a view is amber."""
    found: NDArray[np.bool_] = (picture[..., 0] - picture[..., 2]) > 60
    return found


@pytest.fixture
def ready(page: Page) -> Page:
    """The page with the sample open."""
    page.element("sample").click()
    page.wait(lambda: page.text("title") == "Ready")
    return page


def test_a_new_page_says_what_it_is_and_what_to_do(page: Page) -> None:
    page.photograph("start")
    assert "SYNTHETIC" in page.text("badge")
    assert "never for diagnosis" in page.text("badge")
    assert page.text("title") == "Pick a radiograph"
    assert not page.element("run").is_enabled()
    assert page.there("empty")


def test_a_file_that_is_no_dicom_is_refused_in_a_sentence(page: Page, root: Path) -> None:
    page.open(root / "README.md")
    page.wait(lambda: page.there("source-words"))
    assert "not a DICOM image" in page.text("source-words")
    assert not page.element("run").is_enabled()


def test_a_picked_radiograph_is_seen(page: Page, root: Path) -> None:
    page.open(root / "docs" / "example.dcm")
    page.wait(lambda: page.text("title") == "Ready")
    assert page.text("source-name") == "example.dcm"
    assert not page.there("source-words")
    (shown,) = page.settled(lambda views: np.ptp(views[0]) > 150)
    assert outlined(shown).mean() < 0.02, "grey but for the region"


def test_what_is_typed_is_completed_from_the_vocabulary(ready: Page) -> None:
    ready.element("type").click()
    ready.wait(lambda: ready.there("prompt"))
    ready.wait(lambda: "Type what should be seen" in ready.text("message"))
    ready.type_in("prompt", "moderate left pl")
    found = ".v-overlay--active .v-list-item"
    ready.wait(lambda: ready.driver.find_elements("css selector", found))
    offered = [each.text for each in ready.driver.find_elements("css selector", found)]
    assert "moderate left pleural effusion" in offered
    ready.element("prompt").send_keys(Keys.ESCAPE)
    ready.element("pick").click()
    ready.wait(lambda: ready.there("finding"))


def test_a_finding_on_the_midline_has_no_side(ready: Page) -> None:
    ready.choose("finding", "cardiomegaly")
    ready.wait(lambda: not ready.element("side").is_enabled())
    ready.choose("finding", "pleural effusion")
    ready.wait(lambda: ready.element("side").is_enabled())


def test_what_can_be_pressed_can_be_reached_by_keyboard(ready: Page) -> None:
    ready.wait(lambda: "Outlined" in ready.text("region-words"), PATIENCE)
    ready.element("open").send_keys("")
    reached = set()
    for _ in range(25):
        reached.add(ready.focused())
        ready.keys(Keys.TAB)
    assert {"open", "sample", "finding", "side", "preset", "region", "run"} <= reached


def test_every_field_has_a_name(ready: Page) -> None:
    nameless = ready.driver.execute_script(
        """return [...document.querySelectorAll('input, button, [role=slider]')].filter(e =>
          e.offsetParent && !(e.textContent || e.getAttribute('aria-label') || e.title
          || e.getAttribute('aria-labelledby') || (e.labels && e.labels.length)))
          .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert not nameless


def test_the_region_is_outlined_before_anything_runs_and_follows_the_request(ready: Page) -> None:
    ready.wait(lambda: "Outlined" in ready.text("region-words"), PATIENCE)
    both = outlined(ready.settled(lambda views: outlined(views[0]).any())[0])
    ready.photograph("region")
    ready.choose("side", "left")
    ready.wait(lambda: "Looking" in ready.text("region-words"))
    ready.wait(lambda: "Outlined" in ready.text("region-words"), PATIENCE)
    half = both.shape[1] // 2

    def on_the_right(views: "list[NDArray[np.int16]]") -> bool:
        """The patient's left is on the right of the screen."""
        amber = outlined(views[0])
        return bool(amber[:, half:].any() and not amber[:, :half].any())

    left = outlined(ready.settled(on_the_right)[0])
    assert 200 < left.sum() < both.sum() < 0.05 * both.size


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("index.html", {}),
        ("index.html?key=guessed", {}),
        ("index.html", {"Host": "radiology.example"}),
        ("upload", {"Origin": "http://radiology.example"}),
        ("result.zip", {}),
    ],
)
def test_nobody_else_is_let_in(page: Page, path: str, headers: dict[str, str]) -> None:
    place = page.address.partition("?")[0]
    key = page.address.partition("key=")[2] if headers else ""
    address = f"{place}{path}" + (f"?key={key}" if key else "")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20)
    assert refused.value.code == 403
