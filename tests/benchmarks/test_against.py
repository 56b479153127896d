# SPDX-License-Identifier: Apache-2.0
"""The side-by-side benchmark: checkouts in turn, medians and spread, no name of a machine."""

import json
from pathlib import Path

import pytest

from benchmarks import against
from benchmarks.against import Figures, Row, compared


def test_checkouts_take_turns_and_ratios_are_of_medians() -> None:
    order: list[str] = []
    figures = {"a": iter([4.0, 9.0, 2.0]), "b": iter([1.0, 3.0, 2.0])}

    def take(checkout: Path) -> Figures:
        order.append(checkout.name)
        return {"wall_s": next(figures[checkout.name])}

    found = compared(Path("a"), Path("b"), Row("words", take), 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {
        "words": "words",
        "times": 3,
        "wall_s": {
            "old": {"median": 4.0, "low": 2.0, "high": 9.0},
            "new": {"median": 2.0, "low": 1.0, "high": 3.0},
            "new_over_old": 0.5,
        },
    }


def test_a_run_writes_figures_of_both_without_a_path(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    words = [str(root), str(root), "--rows", "help", "--times", "2", "--json", str(out)]
    assert against.main(words) == 0
    text = out.read_text(encoding="utf-8")
    told = json.loads(text)
    assert 0.02 < told["rows"]["help"]["cpu_s"]["old"]["median"] < 5
    assert 0.3 < told["rows"]["help"]["cpu_s"]["new_over_old"] < 3
    assert told["machine"]["cores"] >= 1
    assert str(root) not in text
    assert str(tmp_path) not in text


def test_a_command_that_fails_ends_the_run(root: Path) -> None:
    with pytest.raises(SystemExit, match=r"read none\.dcm ended with 2"):
        against.ran(root, "read", "none.dcm")
