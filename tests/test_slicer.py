# SPDX-License-Identifier: Apache-2.0
"""The Slicer extension's own tests, run in their own environment with this Python as the runner."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slicer.environment import PATIENCE, RUNNER, interpreter

PATIENCE_TESTS = 1500  # seconds


@pytest.fixture(scope="module")
def python() -> Path:
    """Python of the Slicer environment."""
    return interpreter()


@pytest.mark.timeout(PATIENCE + PATIENCE_TESTS)
def test_the_extension_passes_its_own_tests_beside_slicers_libraries(
    python: Path, root: Path, tmp_path: Path
) -> None:
    # As in Slicer: the product's environment is not inherited, only named.
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    kept = {name: value for name, value in kept.items() if not name.startswith("PYTEST_XDIST")}
    told = kept | {RUNNER: sys.executable, "QT_QPA_PLATFORM": "offscreen"}
    words = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/slicer"]
    done = subprocess.run(
        [*words, f"--basetemp={tmp_path / 'inner'}"],
        cwd=root, env=told, check=False, capture_output=True, text=True, timeout=PATIENCE_TESTS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-4000:]
    assert " passed" in done.stdout
