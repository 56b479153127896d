# SPDX-License-Identifier: Apache-2.0
"""Runs on the shipped weights in the page: compare, fade, change map, series, cancel, an error."""

import io
import math
import time
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from selenium.webdriver.common.keys import Keys

from tests.viewer.page import Page, differing

pytestmark = [pytest.mark.timeout(1500), pytest.mark.weights]
RUNNER = b"monai_cxr_cf.cli"
GONE_S = 2.0


@pytest.fixture(scope="module")
def done(page: Page) -> Page:
    """The page after a run of three severities of a left effusion in the sample."""
    page.element("sample").click()
    page.wait(lambda: page.text("title") == "Ready")
    page.choose("side", "left")
    page.choose("preset", "fast")
    page.type_in("levels", "0.25, 0.5, 1")
    page.wait(lambda: page.element("run").is_enabled())
    page.run()
    page.wait(lambda: page.there("dials"))
    return page


def runners(page_folder: str) -> list[int]:
    """Processes of edits that write below a folder (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if RUNNER in words and b"\0edit\0" in words and page_folder.encode() in words:
            found.append(int(path.parent.name))
    return found


def apart(views: list[NDArray[np.int16]]) -> float:
    """The share of pixels in which the two views differ; not a number where there is one view."""
    return differing(*views) if len(views) == 2 else math.nan


def coloured(views: list[NDArray[np.int16]]) -> float:
    """The share of pixels of the right view that are plainly not grey."""
    return float((np.ptp(views[1], axis=2) > 40).mean()) if len(views) == 2 else math.nan


def test_source_and_counterfactual_lie_side_by_side(done: Page) -> None:
    done.settled(lambda views: 0.001 < apart(views) < 0.2)
    done.photograph("result")
    assert "largest difference 0" in done.text("outside")
    assert "No radiologist has judged" in done.text("verdict")
    caption = done.driver.find_elements("css selector", ".caption")
    assert [each.text for each in caption] == ["Source", "Counterfactual (SYNTHETIC)"]


def test_the_mark_stands_on_the_synthetic_view_only(done: Page) -> None:
    shown = done.driver.find_elements("css selector", ".layout-grid-item img")
    from PIL import Image

    tops = [np.asarray(Image.open(io.BytesIO(each.screenshot_as_png)).convert("RGB"), int)[:45]
            for each in shown]  # fmt: skip
    assert [bool(((top[..., 0] - top[..., 2]) > 60).sum() > 100) for top in tops] == [False, True]


def test_fading_out_leaves_the_source(done: Page) -> None:
    done.slide("Fade", Keys.HOME)
    done.settled(lambda views: apart(views) == 0)
    done.slide("Fade", Keys.END)
    done.settled(lambda views: 0.001 < apart(views) < 0.2)


def test_the_severity_slider_shows_another_member(done: Page) -> None:
    (_, strong) = done.settled()
    assert "severity 1.00" in done.text("member")
    done.slide("Severity of the series", Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    done.wait(lambda: "severity 0.25" in done.text("member"))
    done.settled(lambda views: 0 < apart(views) < differing(views[0], strong))
    done.slide("Severity of the series", Keys.END)
    done.wait(lambda: "severity 1.00" in done.text("member"))
    done.settled(lambda views: differing(views[-1], strong) == 0)


def test_the_change_map_is_coloured(done: Page) -> None:
    done.element("outlined").click()
    done.settled(lambda views: coloured(views) < 0.0005)
    done.element("mapped").click()
    done.settled(lambda views: coloured(views) > 0.002)
    done.photograph("change")
    done.element("mapped").click()
    done.settled(lambda views: coloured(views) < 0.0005)
    done.element("outlined").click()
    done.settled(lambda views: coloured(views) > 0.0005)


def test_both_views_zoom_together(done: Page) -> None:
    before = done.settled()
    place = done.driver.find_element("css selector", ".layout-grid-item img").rect
    where = {"x": place["x"] + 150, "y": place["y"] + 300}
    wheel = {"type": "mouseWheel", **where, "deltaX": 0, "deltaY": -200, "modifiers": 2}
    done.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", **where})
    for _ in range(3):
        done.driver.execute_cdp_cmd("Input.dispatchMouseEvent", wheel)
    done.wait(lambda: differing(before[0], done.views()[0]) > 0.1)
    # The same place in both:
    done.settled(lambda views: apart(views) < 0.25 and differing(before[1], views[1]) > 0.1)


def test_one_view_fades_half_way(done: Page) -> None:
    done.element("one-view").click()
    done.wait(lambda: len(done.views()) == 1)
    done.settled()
    done.photograph("one-view")
    thumb = done.driver.find_element("css selector", "[role=slider][aria-label='Fade']")
    assert float(thumb.get_attribute("aria-valuenow")) == 0.5
    done.element("one-view").click()
    done.wait(lambda: len(done.views()) == 2)


def test_the_files_of_the_run_can_be_saved(done: Page) -> None:
    script = """const done = arguments[0];
      fetch('result.zip').then(r => r.blob()).then(b => { const f = new FileReader();
        f.onload = () => done(f.result.split(',')[1]); f.readAsDataURL(b); })"""
    import base64

    data = base64.b64decode(done.driver.execute_async_script(script))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        ds = pydicom.dcmread(io.BytesIO(archive.read(names[names.index("cf/0001.dcm")])))
    assert {"seg.dcm", "sr.dcm", "report.json"} <= set(names)
    assert ds.PatientName == "Drawn^Chest"
    assert "SYNTHETIC" in str(ds.SeriesDescription)


def test_a_reload_of_the_page_loses_nothing(done: Page) -> None:
    done.driver.refresh()
    done.wait(lambda: done.text("title") == "Done" and done.there("dials"))
    assert "largest difference 0" in done.text("outside")
    done.wait(lambda: len(done.views()) == 2)


def test_cancel_ends_the_process_within_two_seconds(done: Page) -> None:
    folder = str(done.downloads.parent)
    done.element("run").click()
    done.wait(lambda: done.there("cancel") and runners(folder))
    done.wait(lambda: "Stage" in done.text("message"))
    done.photograph("running")
    began = time.monotonic()
    done.element("cancel").click()
    while runners(folder) and time.monotonic() < began + 10:
        time.sleep(0.02)
    assert time.monotonic() - began < GONE_S
    done.wait(lambda: done.text("title") == "Ready")
    assert not list(Path(folder).glob("cxr-cf-viewer-*/*/out*"))
    assert not list(Path(folder).glob("cxr-cf-viewer-*/*/.out*"))


def test_an_error_says_what_to_do(done: Page) -> None:
    done.element("type").click()
    done.wait(lambda: done.there("prompt"))
    done.type_in("prompt", "purple elephant", Keys.TAB)
    done.wait(lambda: done.element("run").is_enabled())
    done.run("It did not work")
    assert "'purple' is not understood" in done.text("message")
    assert "Use a known finding" in done.text("hint")
    done.element("details-button").click()
    done.wait(lambda: done.there("details") and done.there("report"))
    done.photograph("error")
    assert "purple" in done.text("details")
    assert "purple" not in done.text("report")
    done.element("dismiss").click()
    done.wait(lambda: done.text("title") == "Ready")


def test_another_radiograph_starts_afresh(done: Page, root: Path) -> None:
    done.open(root / "docs" / "example.dcm")
    done.wait(lambda: done.text("source-name") == "example.dcm")
    assert not done.there("dials")
    assert len(done.settled()) == 1


def test_the_console_of_the_browser_holds_no_complaint(done: Page) -> None:
    # trame looks for a launcher before it connects directly.
    told = [text for text in done.complaints() if "/paraview/" not in text]
    assert not told
