# SPDX-License-Identifier: Apache-2.0
"""The floors of pyproject.toml are those that ``make oldest`` installs, and its tests exist."""

import runpy
from pathlib import Path
from typing import Any

import pytest

# Found by running: one version lower does not load the shipped weights, cannot write the record,
# or cannot be installed beside the others.
RUN = {
    "transformers": "5.6",  # 5.5.4 does not know the keys of the shipped text encoder
    "highdicom": "0.28",  # 0.27 has no family of an algorithm
    "tokenizers": "0.22.2",  # 0.22.0 excludes the hub library that transformers 5.6 needs
    "safetensors": "0.8",  # what diffusers 0.38 needs
    "python-gdcm": "3.0.24.1",  # the first release of 3.0.24
    "onnxruntime": "1.19",  # 1.18 cannot be loaded beside NumPy 2
    "pyarrow": "18",
    "pytorch-ignite": "0.5.1",
    "tensorboard": "2.17",  # 2.16.0 pulls in a nightly TensorFlow
    "torch": "2.13",
    "numpy": "1.26",
}


@pytest.fixture(scope="module")
def oldest(root: Path) -> dict[str, Any]:
    """What the script defines."""
    return runpy.run_path(str(root / ".ci" / "oldest"))


def test_every_dependency_has_a_floor_and_it_is_one_that_was_run(oldest: dict[str, Any]) -> None:
    floors = dict(line.split("==") for line in oldest["floors"]())
    assert len(floors) >= 29
    assert {name: floors[name] for name in RUN} == RUN


def test_the_tests_that_it_runs_are_there(root: Path, oldest: dict[str, Any]) -> None:
    assert all((root / name).exists() for name in oldest["TESTS"])
    assert (root / ".ci" / "oldest").stat().st_mode & 0o100
    assert ".ci/oldest" in (root / "Makefile").read_text()
