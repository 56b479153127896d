# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the viewer, which live in two environments.

The page is driven from the product's own environment, as ``cxr-cf viewer`` starts it. What needs
trame-slicer inside is started by ``tests/test_viewer.py`` in the viewer's.
"""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import pytest_runtest_makereport, root, shared

__all__ = ["pytest_runtest_makereport", "root", "shared"]

INSIDE = importlib.util.find_spec("trame_slicer") is not None
OUTSIDE = ("test_command.py", "test_page.py", "test_page_runs.py")
INNER = ("test_children.py", "test_fields.py", "test_files.py", "test_guard.py", "test_scene.py")
collect_ignore = list(OUTSIDE if INSIDE else INNER)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: CXR_CF_SCREENSHOTS, or a temporary folder."""
    named = os.environ.get("CXR_CF_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)  # the browser says nothing where it cannot write
    return folder


@pytest.fixture(scope="module")
def page(root: Path, tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[object]:
    """The viewer in a browser, started by the product's command."""
    from tests.viewer.environment import interpreter
    from tests.viewer.page import Page, viewing

    folder = tmp_path_factory.mktemp("page")
    with viewing(root, interpreter(), folder) as address:
        opened = Page(folder, address, pictures)
        try:
            yield opened
        finally:
            opened.driver.quit()
