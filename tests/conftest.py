# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by all tests: the reference data, and the rule that CI skips nothing."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's own folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real radiographs, masks and vocabularies beside the checkout; a visible skip without them."""
    folder = ROOT.parent / "shared"
    if not (folder / "data" / "cxr" / "index.csv").is_file():
        pytest.skip("the reference data (../shared) is not on this machine")
    return folder


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With CI=true a skipped test is a failed one: CI must run everything."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {report.longrepr}"
