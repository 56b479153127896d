# SPDX-License-Identifier: Apache-2.0
"""The viewer's own tests that need trame-slicer, run in the viewer's environment."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.viewer.environment import PATIENCE, interpreter

PATIENCE_TESTS = 600  # seconds


@pytest.mark.timeout(PATIENCE + PATIENCE_TESTS)
def test_the_viewer_passes_its_own_tests_in_its_environment(root: Path, tmp_path: Path) -> None:
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    kept = {name: value for name, value in kept.items() if not name.startswith("PYTEST_XDIST")}
    words = [str(interpreter()), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/viewer"]
    done = subprocess.run(
        [*words, f"--basetemp={tmp_path / 'inner'}"],
        cwd=root, env=kept, check=False, capture_output=True, text=True, timeout=PATIENCE_TESTS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-4000:]
    assert " passed" in done.stdout
