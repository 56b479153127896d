# SPDX-License-Identifier: Apache-2.0
"""Only whole lines count; what follows the last one was never there."""

import errno
import os

import pytest

from monai_cxr_cf.batch.store.results import Results, histories, read_lines
from monai_cxr_cf.errors import UnreadableInput


def line(n, state, **more):
    """A line of a row."""
    return {"state": state, "n": n, "id": f"r{n}", **more}


def test_lines_come_back(tmp_path):
    results = Results(tmp_path / "0.jsonl")
    results.append([line(1, "done"), line(2, "refused")])
    results.append([line(3, "done")])
    results.close()
    assert [told["n"] for told in read_lines(tmp_path / "0.jsonl")] == [1, 2, 3]


@pytest.mark.parametrize("torn", [b'{"state": "do', b"\x00\x00\x00", b'{"state": "done", "n": 2}'])
def test_a_torn_last_line_is_cut_off(torn, tmp_path):
    path = tmp_path / "0.jsonl"
    results = Results(path)
    results.append([line(1, "done")])
    results.close()
    with path.open("ab") as stream:
        stream.write(torn)
    assert [told["n"] for told in read_lines(path)] == [1]
    results = Results(path)
    results.append([line(2, "done")])
    results.close()
    assert [told["n"] for told in read_lines(path)] == [1, 2]


def test_a_damaged_line_is_told_by_its_number(tmp_path):
    (tmp_path / "0.jsonl").write_text('{"state": "done", "n": 1}\nhello\n')
    with pytest.raises(UnreadableInput, match=r"Line 2 of results/0\.jsonl is damaged"):
        list(read_lines(tmp_path / "0.jsonl"))


def test_a_disk_that_fills_up_in_a_line_leaves_none_of_it(tmp_path, monkeypatch):
    path = tmp_path / "0.jsonl"
    results = Results(path)
    results.append([line(1, "done")])
    before, write = path.read_bytes(), os.write

    def full(handle, data):
        write(handle, data[:10])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        results.append([line(2, "done")])
    monkeypatch.undo()
    assert path.read_bytes() == before
    results.close()


def test_the_first_settled_line_of_a_row_counts():
    told = [line(1, "failed", final=False), line(1, "killed", final=False)]
    told += [line(1, "done", key="a"), line(1, "done", key="b"), line(2, "failed", final=True)]
    found = histories(told)
    assert (found[1].last["key"], found[1].failed, found[1].killed) == ("a", 1, 1)
    assert found[1].settled
    assert found[2].over
    assert not found[2].settled
