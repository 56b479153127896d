# SPDX-License-Identifier: Apache-2.0
"""Made rows in, verdicts out: a law that halves the change pays, one that does nothing does not."""

from pathlib import Path

import numpy as np
import pytest

from monai_cxr_cf.evaluation.frontier.curves import NOTHING, OFF, PAYS, PAYS_NOT, UNDECIDED
from monai_cxr_cf.evaluation.frontier.lines import ALL, NONE, Line
from monai_cxr_cf.evaluation.frontier.picture import draw, panels
from monai_cxr_cf.evaluation.frontier.table import sections
from monai_cxr_cf.evaluation.frontier.text import frontier_text, short

SWEEP = (None, 2.0, 4.0, 8.0)
LINES = (
    Line(ALL),
    Line(NONE, ("no-gate",), law=ALL, against=ALL, lacks=True),
    Line("without halving", law="halving", against=ALL, lacks=True),
    Line("without sleep", law="sleep", against=ALL, lacks=True),
    Line("halving alone", law="halving alone", against=NONE),
    Line("a worse one", law="a worse one", against=ALL),
    Line("guidance by another name", law="guidance by another name", against=ALL),
    Line("the same", law="the same", against=ALL),
)
OUT = {ALL: 1.0, NONE: 2.0, "without halving": 2.0, "without sleep": 1.0, "halving alone": 1.0,
       "a worse one": 1.5, "guidance by another name": 1.0, "the same": 1.0}  # fmt: skip


def effect(guidance: float | None, line: str, rng: np.random.Generator) -> tuple[float, float]:
    """Change rises with effect in the same way for all lines, times the line's factor."""
    strength = (guidance or 4.0) * (1.3 if line == "guidance by another name" else 1.0)
    inside = 10 * np.log2(strength) * rng.uniform(0.9, 1.1)
    return inside, OUT[line] * np.exp(inside / 20)


def made(patients: int = 8, direction: str = "add") -> dict:
    """Two edits of each patient under every setting, one of each finding."""
    figures: dict = {}
    for line in OUT:
        for guidance in SWEEP:
            rng = np.random.default_rng(7)  # what differs between edits is common to all settings
            rows = []
            for number in range(2 * patients):
                inside, outside = effect(guidance, line, rng)
                finding = ("pleural effusion", "cardiomegaly")[number % 2]
                sign = 1 if direction == "add" else -1
                signed = sign * 0.5 * inside * (-1 if number == 0 else 1)
                config = ALL if line == "the same" else line
                rows.append({"patient": f"p{number // 2}", "finding": finding, "in": inside,
                             "direction": direction, "out": outside, "signed": signed,
                             "sign": sign, "band_px": 12.0, "seconds": 1.0,
                             "config": f"{config} {guidance}"})  # fmt: skip
            figures[line, guidance] = rows
    return figures


@pytest.fixture(scope="module")
def found() -> list[dict]:
    return sections(LINES, made())


def test_all_findings_come_first_and_then_each(found: list[dict]) -> None:
    assert [(s["mode"], s["finding"], s["edits"], s["patients"]) for s in found] == [
        ("additions", None, 16, 8),
        ("additions", "pleural effusion", 8, 8),
        ("additions", "cardiomegaly", 8, 8),
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_law_pays_if_change_falls_at_equal_effect_and_not_if_it_is_guidance_again(
    found: list[dict], number: int
) -> None:
    laws = {law["law"]: law for law in found[number]["laws"]}
    assert laws["halving"]["verdict"] == laws["halving alone"]["verdict"] == PAYS
    assert laws[ALL]["verdict"] == PAYS
    assert laws["halving"]["out_at_equal_in"][0] == pytest.approx(0.5, abs=1e-3)
    assert laws["a worse one"]["verdict"] == PAYS_NOT
    assert laws["a worse one"]["out_at_equal_in"][0] == pytest.approx(1.5, abs=1e-3)
    assert laws["sleep"]["verdict"] == NOTHING
    assert laws["the same"]["verdict"] == OFF
    other = laws["guidance by another name"]
    assert other["verdict"] == UNDECIDED
    assert other["out_at_equal_in"][0] == pytest.approx(1, abs=0.02)
    assert other["in_ratio"][0] > 1.15  # more effect, and as much more change
    assert laws["halving"]["in_ratio"][0] == pytest.approx(1)
    assert laws["halving"]["out_ratio"][0] == pytest.approx(0.5)


def test_rows_are_plain_means_and_ratios_of_means(found: list[dict]) -> None:
    rows = made()[ALL, 4.0]
    (row,) = (r for r in found[0]["rows"] if (r["line"], r["guidance"]) == (ALL, 4.0))
    inside, outside = (np.mean([one[kind] for one in rows]) for kind in ("in", "out"))
    assert row["in"][0] == pytest.approx(inside, abs=1e-4)
    assert row["ratio"][0] == pytest.approx(inside / outside, abs=1e-4)
    assert row["signed"][0] == pytest.approx(np.mean([r["signed"] for r in rows]), abs=1e-4)
    assert row["in"][1] < row["in"][0] < row["in"][2]
    assert row["right_way"] == pytest.approx(15 / 16, abs=1e-4)
    assert row["out_at_equal_in"] is None
    at = {(r["line"], r["guidance"]): r for r in found[0]["rows"]}
    assert at[NONE, None]["out_at_equal_in"][0] == pytest.approx(2, abs=1e-3)
    assert at["without halving", 4.0]["out_at_equal_in"][0] == pytest.approx(2, abs=1e-3)
    assert (at[ALL, 4.0]["on_front"], at[NONE, 4.0]["on_front"]) == (True, False)


def test_removals_have_their_own_sections_and_their_right_way_is_down() -> None:
    figures = made()
    both = {place: rows + made(direction="remove")[place] for place, rows in figures.items()}
    found = sections(LINES, both)
    assert [s["mode"] for s in found] == ["additions"] * 3 + ["removals"] * 3
    (row,) = (r for r in found[3]["rows"] if (r["line"], r["guidance"]) == (ALL, 4.0))
    assert row["signed"][0] < 0
    assert row["right_way"] == pytest.approx(15 / 16, abs=1e-4)


def test_few_patients_decide_nothing_and_the_page_says_so() -> None:
    found = sections(LINES, made(patients=3))
    verdicts = {law["law"]: law["verdict"] for law in found[0]["laws"]}
    assert verdicts["halving"] == UNDECIDED
    assert verdicts["sleep"] == NOTHING
    plan = {"preset": "default", "backbone": "cxr-mini", "split": "test", "seeds": 1}
    text = frontier_text({"plan": plan, "refused": {}, "sections": found})
    assert "Fewer than 6 patients decide nothing." in text


def test_page_and_picture_show_every_line(found: list[dict], tmp_path: Path) -> None:
    plan = {"preset": "default", "backbone": "cxr-mini", "split": "test", "seeds": 1}
    text = frontier_text({"plan": plan, "refused": {"a, add edema": "x"}, "sections": found})
    assert "1 refused" in text
    assert "| halving | 1.000 (1.000 to 1.000) |" in text
    assert "0.500 (0.500 to 0.500) | pays |" in text
    assert "| all laws | calibrated |" in text
    assert all(f"| {line.name} | 8 |" in text for line in LINES)
    assert short({"sections": found}).count("## ") == 1
    assert [title for title, _ in panels(LINES)] == [
        "without one law", "one law alone", "other settings",
    ]  # fmt: skip
    draw(found, LINES, tmp_path / "frontier.png")
    assert (tmp_path / "frontier.png").stat().st_size > 20_000
