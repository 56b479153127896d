# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the Slicer extension; the product's own Python collects nothing here.

These tests need slicer-core and PySide6, which never share an environment with the product: the
main suite starts them in one of their own (``tests/test_slicer.py``).
"""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import pytest_runtest_makereport, root, shared
from tests.slicer.environment import RUNNER, Runner
from tests.slicer.runs import runs

__all__ = ["pytest_runtest_makereport", "root", "runs", "shared"]

INSIDE = importlib.util.find_spec("slicer_core") is not None
collect_ignore_glob = [] if INSIDE else ["*.py"]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(scope="session")
def runner(root: Path) -> Runner:
    """The product's Python, for real runs; the main suite names it."""
    python = os.environ.get(RUNNER) or str(root / ".venv" / "bin" / "python")
    if not Path(python).is_file():
        pytest.skip(f"no runner: set {RUNNER} to a Python that has the product")
    return Runner(python, str(root))


@pytest.fixture(scope="session")
def application() -> object:
    """The one Qt application of the session."""
    import qt

    return qt.QApplication.instance() or qt.QApplication(sys.argv[:1])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Any]:
    """A fresh scene with a DICOM database and slice views around it (``tests.slicer.scene``)."""
    from tests.slicer.scene import open_desk

    yield from open_desk(tmp_path)
