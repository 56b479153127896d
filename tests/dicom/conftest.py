# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the DICOM tests: files made in code, and a check that reading leaves nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dicom.factory import Spec, save

MakeFile = Callable[..., Path]


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """``make_file(spec)`` writes one file of that kind and returns its path."""

    def make(spec: Spec = Spec(), name: str = "image.dcm") -> Path:  # noqa: B008
        return save(tmp_path / name, spec)

    return make


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Call it once the inputs are made; afterwards the folder must hold the same files."""
    before: list[set[Path]] = []
    yield lambda: before.append(set(tmp_path.rglob("*")))
    assert before, "the test never called nothing_left()"
    assert set(tmp_path.rglob("*")) == before[0]
