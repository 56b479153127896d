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
from statistics import median
from typing import Any

import pytest

from tests.conftest import pytest_runtest_makereport, root, shared
from tests.slicer.environment import RUNNER, Runner
from tests.slicer.helpers.runs import runs

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
    """A fresh scene with a DICOM database and slice views around it (``helpers.scene``)."""
    from tests.slicer.helpers.scene import open_desk

    yield from open_desk(tmp_path)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The longest of what tests have measured, so that a note can quote it."""
    reports = [r for outcome in ("passed", "failed") for r in terminalreporter.getreports(outcome)]
    measured: dict[str, list[float]] = {}
    for report in reports:
        for name, value in report.user_properties if report.when == "call" else ():
            measured.setdefault(name, []).append(float(value))
    for name, values in measured.items():
        longest, middle = max(values), median(values)
        terminalreporter.write_line(
            f"{name}: {len(values)} times, longest {longest:.3f}, median {middle:.3f}"
        )
