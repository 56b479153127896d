# SPDX-License-Identifier: Apache-2.0
"""The comparison of precisions: what it counts as a difference, and that it runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import precision
from benchmarks.precision import PROMPTS, compared, requests, summary


def told(change: float, verdict: str = "passed", outside: int = 0, **checks: Any) -> dict[str, Any]:
    """One edit of a picture of four pixels, one of which may change."""
    plane = np.array([[change, 0.0], [0.0, 0.0]])
    where = np.array([[True, False], [False, False]])
    return {"change": plane, "where": where, "verdict": verdict, "checks": checks,
            "outside_max_diff": outside, "sample_s": 2.0, "dtype": "float32"}  # fmt: skip


def test_differences_are_means_over_the_picture_and_over_where_it_may_change() -> None:
    row = compared(told(8.0, density=True), told(5.0, density=False))
    assert (row["grey_levels"], row["grey_levels_inside"], row["largest"]) == (0.75, 3.0, 3.0)
    assert row["checks_that_differ"] == ["density"]


def test_a_bar_is_missed_by_a_grey_level_a_verdict_or_a_pixel_outside() -> None:
    same = compared(told(8.0), told(8.5))
    assert summary([same])["reached"] is True
    for other in (told(12.0), told(8.0, "failed"), told(8.0, outside=1)):
        found = summary([same, compared(told(8.0), other)])
        assert found["reached"] is False
    assert summary([same, compared(told(8.0), told(8.0, "failed"))])["same_verdict"] == 1


def test_edits_take_turns_through_prompts_sources_and_seeds() -> None:
    asked = requests(len(PROMPTS) + 1, ["a.dcm", "b.dcm", "c.dcm"], "cxr-mini")
    assert [r.source for r in asked[:4]] == ["a.dcm", "b.dcm", "c.dcm", "a.dcm"]
    assert (asked[0].prompt, asked[-1].prompt) == (PROMPTS[0], PROMPTS[0])
    assert (asked[0].seeds, asked[-1].seeds) == ((1,), (2,))


def test_it_runs_and_writes_figures_without_a_path(
    root: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "found.json"
    words = ["1", str(root / "docs/example.dcm"), "--backbone", str(tiny_folder)]
    assert precision.main([*words, "--json", str(out)]) in (0, 1)
    text = out.read_text(encoding="utf-8")
    found = json.loads(text)
    assert found["summary"]["edits"] == 1
    assert 0 < found["summary"]["grey_levels"]["mean"] < found["edits"][0]["grey_levels_inside"] < 2
    assert found["summary"]["outside_max_diff"] == 0
    assert str(root) not in text
    assert str(tmp_path) not in text
