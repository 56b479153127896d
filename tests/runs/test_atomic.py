# SPDX-License-Identifier: Apache-2.0
"""An output folder appears whole or not at all."""

import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.runs.atomic import staged


def test_a_finished_run_appears_and_leaves_no_trace_beside_it(tmp_path):
    with staged(tmp_path / "new" / "out") as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "new" / "out").exists()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]
    assert (tmp_path / "new" / "out" / "a.txt").read_text() == "a"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_stopped_run_leaves_nothing(tmp_path, error):
    def stopped():
        with staged(tmp_path / "out") as folder:
            (folder / "half.dcm").write_bytes(b"x")
            raise error

    with pytest.raises(error):
        stopped()
    assert not list(tmp_path.iterdir())


def test_a_stopped_overwrite_leaves_the_old_result(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(RuntimeError), staged(tmp_path / "out", overwrite=True):
        raise RuntimeError
    assert (tmp_path / "out" / "old").read_text() == "old"
    with staged(tmp_path / "out", overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]


def test_a_folder_with_files_is_refused_unless_overwriting(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("a")
    with pytest.raises(BadRequest, match="--overwrite"), staged(tmp_path / "out"):
        pass
    (tmp_path / "file").write_text("a")
    with pytest.raises(BadRequest, match="is a file"), staged(tmp_path / "file"):
        pass
