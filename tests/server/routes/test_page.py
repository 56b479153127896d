# SPDX-License-Identifier: Apache-2.0
"""The web page in a real browser, on the shipped weights: from an upload to the files."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.server.browser import Browser
from tests.server.serving import Serving

KEY = "a-key-for-the-page-tests"
TAB, ENTER, DOWN, RIGHT = "\ue004", "\ue007", "\ue015", "\ue014"
QUICK = "document.getElementById('preset').add(new Option('fast', 'fast', true, true), 0)"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with a key and the shipped cxr-mini."""
    found = Serving(tmp_path_factory.mktemp("page") / "data", key=KEY).start()
    yield found
    found.stop()


@pytest.fixture
def browser(serving: Serving, tmp_path: Path) -> Iterator[Browser]:
    """The page, before the key was given."""
    (tmp_path / "downloads").mkdir()
    found = Browser(tmp_path / "profile", tmp_path / "downloads")
    found.driver.get(serving.url)
    yield found
    found.driver.quit()


def enter_key(browser: Browser) -> None:
    """Type the key into the dialog and send it."""
    browser.until(lambda: browser.shown("key-dialog"))
    browser.keys(KEY, ENTER)
    browser.until(lambda: not browser.shown("key-dialog") and browser.element("preset").text)


def choose(browser: Browser, file: Path) -> None:
    """Pick a file and wait until the radiograph is shown."""
    browser.element("file").send_keys(str(file))
    browser.until(lambda: "empty" not in browser.element("view").get_attribute("class"))


def test_an_edit_from_upload_to_files_by_keyboard_alone(browser: Browser, root: Path) -> None:
    enter_key(browser)
    choose(browser, root / "docs" / "example.dcm")
    browser.until(lambda: browser.focused() == "prompt")  # a file dialog is the browser's own
    browser.keys("moderate left pleural eff")
    browser.until(lambda: browser.shown("suggestions"))
    browser.keys(DOWN, ENTER)
    assert browser.element("prompt").get_attribute("value") == "moderate left pleural effusion"
    browser.keys(ENTER)
    browser.until(lambda: browser.shown("region"))
    assert 0.01 < browser.painted("region") < 0.2
    assert not browser.shown("cf")
    browser.driver.execute_script(QUICK)
    while browser.focused() != "run":
        browser.keys(TAB)
    browser.keys(ENTER)
    browser.until(lambda: browser.shown("progress") or browser.shown("result"))
    browser.until(lambda: browser.shown("result"))
    assert browser.text("verdict")
    assert browser.shown("banner", "tag-cf"), "SYNTHETIC stays in sight"
    assert "0 stored units" in browser.text("facts")
    _slide(browser)
    _layers(browser)
    _download(browser)
    assert not browser.complaints()


def _slide(browser: Browser) -> None:
    browser.until(lambda: browser.focused() == "slider")
    before = browser.element("cf").value_of_css_property("clip-path")
    browser.keys(RIGHT * 10)
    after = browser.element("cf").value_of_css_property("clip-path")
    assert "50%" in before
    assert "60%" in after


def _layers(browser: Browser) -> None:
    assert not browser.shown("change")
    browser.keys("c")
    browser.keys("r")
    assert browser.shown("change", "region", "legend")
    assert 0 < browser.painted("change") < 0.3, "what lies outside the region is not coloured"
    browser.keys("c")
    assert not browser.shown("change")


def _download(browser: Browser) -> None:
    browser.element("files").find_element("css selector", "button").click()
    image = dcmread(browser.downloaded("*.dcm"))
    assert image.SyntheticData == "YES"
    browser.element("zip").click()
    with zipfile.ZipFile(browser.downloaded("*.zip")) as archive:
        assert {"cf/0001.dcm", "seg.dcm", "sr.dcm", "report.json"} <= set(archive.namelist())


def test_a_wrong_key_and_a_wrong_file_are_said_with_what_to_do(
    browser: Browser, tmp_path: Path
) -> None:
    browser.until(lambda: browser.shown("key-dialog"))
    browser.keys("another key of some length", ENTER)
    browser.until(lambda: browser.shown("key-wrong"))
    enter_key(browser)
    (tmp_path / "note.txt").write_text("hello")
    browser.element("file").send_keys(str(tmp_path / "note.txt"))
    browser.complained()
    assert "DICOM" in browser.text("alert-message")
    assert browser.text("alert-hint")
    browser.element("alert-close").click()
    assert not browser.shown("alert")
    assert browser.shown("banner")


def test_every_control_has_a_name_for_a_screen_reader(browser: Browser) -> None:
    script = """return [...document.querySelectorAll('input, select, button')].filter((each) =>
        !(each.labels?.length || each.getAttribute('aria-label') || each.textContent.trim()
          || each.hidden)).map((each) => each.id);"""
    assert browser.driver.execute_script(script) == []
    assert browser.element("prompt").get_attribute("role") == "combobox"
