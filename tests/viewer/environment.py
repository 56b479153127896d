# SPDX-License-Identifier: Apache-2.0
"""Makes the viewer's environment once as ``cxr-cf viewer --install`` does, and keeps it for tests.

Only pytest is added, at the product's own versions, for the tests that run inside of it.
"""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from monai_cxr_cf.commands import viewer_environment

LOCK = Path(__file__).resolve().parents[2] / "constraints.txt"
INSIDE = ("iniconfig", "pluggy", "Pygments", "pytest", "pytest-timeout")
PATIENCE = 1200  # seconds for 500 MB of wheels


def environment() -> Path:
    """Folder of the environment; a visible skip without the registry."""
    pins = [line for line in LOCK.read_text().split() if line.partition("==")[0] in INSIDE]
    words = viewer_environment.PINS.read_bytes() + " ".join(pins).encode()
    words += sys.executable.encode()
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cxr-cf"
    folder = base / f"viewer-tests-{sha256(words).hexdigest()[:12]}"
    from filelock import FileLock  # here: the viewer's own environment has none

    base.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # two files of tests on two workers want it at once
        if not (folder / viewer_environment.DONE).is_file():
            _make(folder, pins)
    return folder


def interpreter() -> Path:
    """Its Python."""
    return viewer_environment.python_in(environment())


def _make(folder: Path, pins: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    making = viewer_environment.commands(folder)
    for words in (*making, [*making[1][:-2], *pins]):
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            pytest.skip(f"the viewer's environment cannot be installed: {done.stderr[-300:]}")
    (folder / viewer_environment.DONE).touch()
