# SPDX-License-Identifier: Apache-2.0
"""Makes the environment of the stock MONAI Label client once, and keeps it between runs."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE / "constraints.txt"
NEEDS_CGI = ("python3.12", "python3.11")  # the client imports cgi, which 3.13 no longer has


def environment() -> Path:
    """Folder of a virtual environment with the client; a visible skip without the registry."""
    python = sys.executable if sys.version_info < (3, 13) else _older()
    words = CONSTRAINTS.read_bytes() + python.encode()
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cxr-cf"
    folder = base / f"label-client-{sha256(words).hexdigest()[:12]}"
    if not (folder / "complete").is_file():
        _make(folder, python)
    return folder


def interpreter() -> Path:
    """Its Python."""
    return environment() / "bin" / "python"


def packages() -> Path:
    """Its packages: MONAI Label's own source, without what it depends on."""
    return next((environment() / "lib").glob("python3*/site-packages"))


def _make(folder: Path, python: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    for words in ([python, "-m", "venv", str(folder)], [*install, "-r", str(CONSTRAINTS)]):
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=600)
        if done.returncode:
            pytest.skip(f"the MONAI Label client cannot be installed: {done.stderr[-300:]}")
    (folder / "complete").touch()


def _older() -> str:
    found = next(filter(None, map(shutil.which, NEEDS_CGI)), None)
    if found is None:
        pytest.skip("the stock client needs Python 3.12 or 3.11, and neither is on this machine")
    return found
