# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser, from a file, by keyboard alone: page one, and every section."""

import json

import pytest
from selenium.webdriver.common.keys import Keys

from monai_cxr_cf.audit.figures.analyse import analyse
from monai_cxr_cf.audit.report.page import html
from monai_cxr_cf.audit.words import page
from tests.audit import stubs
from tests.server.browser import Browser


@pytest.fixture
def browser(tmp_path):
    """Showing the report of a planted classifier."""
    model = stubs.classifier(stubs.in_corner)
    figures = analyse(stubs.audited(model))
    told = {"version": "0", "page_one": page(figures), "figures": figures,
            "model": {"name": "planted", "kind": "function", "sha256": "",
                      "declared": model.declared.as_dict()},
            "edits": {"manifest": "", "fields": {}, "levels_by": "blended", "weights": {},
                      "refused": {}}}  # fmt: skip
    (tmp_path / "index.html").write_text(html(json.loads(json.dumps(told)), []))
    found = Browser(tmp_path / "profile", tmp_path)
    found.driver.get((tmp_path / "index.html").as_uri())
    yield found
    found.driver.quit()


def test_the_report_is_read_by_keyboard(browser):
    assert "100% left costophrenic angle" in browser.text("page-one")
    assert browser.driver.find_element("id", "limits").is_displayed()
    browser.keys(Keys.TAB)
    assert browser.driver.switch_to.active_element.text == "Skip to the details"
    browser.keys(Keys.ENTER)
    assert browser.driver.current_url.endswith("#more")
    opened = []
    for _ in range(40):
        browser.keys(Keys.TAB)
        focus = browser.driver.switch_to.active_element
        if focus.tag_name == "summary" and focus.text not in opened:
            opened.append(focus.text)
            if len(opened) > 1:  # the first is open
                browser.keys(Keys.SPACE)
    sections = browser.driver.find_elements("css selector", "details")
    assert len(opened) == len(sections) == 10
    assert all(section.get_attribute("open") for section in sections)
    assert not [line for line in browser.driver.get_log("browser") if line["level"] == "SEVERE"]
