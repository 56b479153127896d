# SPDX-License-Identifier: Apache-2.0
"""Makes the environment of the Slicer tests once, keeps it between runs, and names the runner.

slicer-core, PySide6, dcmqi, pydicom and pytest at fixed versions (``constraints.txt``). The
product stays outside of it, as in Slicer.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE / "constraints.txt"
RUNNER = "MONAI_CXR_CF_PYTHON"
PATIENCE = 1200  # seconds for 400 MB of wheels


@dataclass(frozen=True)
class Runner:
    """The Python that runs edits, and the checkout it must find the package in."""

    python: str
    checkout: str

    def environment(self) -> dict[str, str]:
        """This process's environment made fit for it: one thread, this checkout's package."""
        return {**os.environ, "PYTHONPATH": self.checkout, "OMP_NUM_THREADS": "1"}


def environment() -> Path:
    """Folder of a virtual environment for the tests; a visible skip without the registry."""
    words = CONSTRAINTS.read_bytes() + sys.executable.encode()
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cxr-cf"
    folder = base / f"slicer-{sha256(words).hexdigest()[:12]}"
    if not (folder / "complete").is_file():
        _make(folder)
    return folder


def interpreter() -> Path:
    """Its Python."""
    return environment() / "bin" / "python"


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    for words in (
        [sys.executable, "-m", "venv", str(folder)],
        [*install, "--only-binary=:all:", "-r", str(CONSTRAINTS)],
    ):
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            pytest.skip(f"the Slicer environment cannot be installed: {done.stderr[-300:]}")
    (folder / "complete").touch()
