# SPDX-License-Identifier: Apache-2.0
"""Rows of an evaluation survive an interruption, and none is taken for another."""

from pathlib import Path

import pytest

from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.evaluation.rows import Rows, key_of


def test_rows_are_found_again_by_key(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "new" / "rows.jsonl")
    rows.add("a", {"figure": 1})
    rows.add("b", {"figure": 2})
    again = Rows(tmp_path / "new" / "rows.jsonl")
    assert "a" in again
    assert "c" not in again
    assert again["b"] == {"key": "b", "figure": 2}
    assert [row["figure"] for row in again] == [1, 2]


def test_a_torn_last_line_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Rows(path).add("a", {"figure": 1})
    with path.open("a") as stream:
        stream.write('{"key": "b", "fig')
    rows = Rows(path)
    assert len(rows) == 1
    rows.add("b", {"figure": 2})
    assert len(Rows(path)) == 2


def test_looking_at_rows_that_are_being_written_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"key": "a"}\n{"key": "b", "fig')
    before = path.read_bytes()
    assert [row["key"] for row in Rows(path)] == ["a"]
    assert path.read_bytes() == before


def test_rows_of_one_trial_are_added_together_and_unwanted_ones_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = Rows(path)
    rows.extend([{"key": "a", "trial": 1}, {"key": "b", "trial": 2}, {"key": "c", "trial": 2}])
    with path.open("a") as stream:
        stream.write('{"key": "d", "tr')
    rows = Rows(path)
    rows.keep(lambda row: row["trial"] == 2)
    assert [row["key"] for row in rows] == ["b", "c"]
    assert path.read_text() == '{"key": "b", "trial": 2}\n{"key": "c", "trial": 2}\n'
    rows.add("e", {"trial": 3})
    assert [row["key"] for row in Rows(path)] == ["b", "c", "e"]


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("not a row\n")
    with pytest.raises(UnreadableInput, match=r"Line 1 of rows\.jsonl"):
        Rows(path)


def test_a_key_changes_with_anything_and_not_with_order() -> None:
    assert key_of({"a": 1, "b": (2, 3)}) == key_of({"b": [2, 3], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
