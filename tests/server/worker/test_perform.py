# SPDX-License-Identifier: Apache-2.0
"""The commit of a job's result, with an edit that writes one file."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from monai_cxr_cf.runs.progress import Silent
from monai_cxr_cf.server.worker import perform as module
from monai_cxr_cf.server.worker.perform import Models, perform

JOB = {"kind": "edit", "request": {}}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that an edit was asked to write into."""
    folders = list[Path]()

    def edit(request: Any, files: Path, out: Path, **_: Any) -> dict[str, Any]:
        folders.append(out)
        assert list(out.iterdir()) == []
        (out / "a.dcm").write_bytes(b"a")
        if len(folders) == 3:
            raise MemoryError
        return {"files": [{"path": "a.dcm", "sha256": sha256(b"a").hexdigest()}]}

    monkeypatch.setattr(module, "_edit", edit)
    monkeypatch.setattr(Models, "warm_up", lambda self: {})
    return folders


def do(folder: Path) -> dict[str, Any]:
    return perform(JOB, folder, models=Models({}, ""), events=Silent())


def test_a_whole_result_is_taken_and_a_damaged_one_made_again(
    tmp_path: Path, made: list[Path]
) -> None:
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside" / "left").touch()  # by a worker that was killed
    first = do(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.dcm", "result.json"]
    assert do(tmp_path) == first
    assert len(made) == 1
    (tmp_path / "out" / "a.dcm").write_bytes(b"b")
    assert do(tmp_path) == first
    assert (tmp_path / "out" / "a.dcm").read_bytes() == b"a"
    assert len(made) == 2


def test_a_job_that_fails_leaves_nothing(tmp_path: Path, made: list[Path]) -> None:
    made += [tmp_path, tmp_path]
    with pytest.raises(MemoryError):
        do(tmp_path)
    assert list(tmp_path.iterdir()) == []
