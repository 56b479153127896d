# SPDX-License-Identifier: Apache-2.0
"""Judged rows in, the figures of every cell and finding out, with intervals, bars and evidence.

A cell is one edit in one view. Pools join the cells of one finding and direction, and all
additions and removals. Every share and mean carries its patient-bootstrap interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from monai_cxr_cf.evaluation.bootstrap import interval
from monai_cxr_cf.evaluation.edits.valid import CRITERIA, Row, Rule, gain_of

Figure = list[float | None]  # value, low, high
Summary = dict[str, Any]
MEANS = (
    "geometry_gain", "landmark_drift_px", "inside_share", "mean_shift_region", "ssim_inside",
    "ssim_outside", "lpips_inside", "lpips_outside", "seconds",
)  # fmt: skip
SPOILT = ("foreign_grey", "texture", "glare", "hole")  # engine's checks of holes, glare, noise
POOLS = {"add": "all additions", "remove": "all removals"}


@dataclass(frozen=True)
class Bar:
    """One requirement of the project on one line of the table."""

    what: str
    line: str  # name of a summary
    figure: str  # key of the summary
    limit: float
    sense: str  # ">=", ">" or "<="

    def reached(self, value: float | None) -> bool | None:
        """Whether the value meets the bar; None where nothing was measured."""
        if value is None:
            return None
        if self.sense == "<=":
            return value <= self.limit
        return value > self.limit if self.sense == ">" else value >= self.limit


VALID = {
    "cardiomegaly": 0.90,
    "pleural effusion": 0.85,
    "consolidation": 0.75,
    "pneumonia": 0.75,
    "pulmonary edema": 0.60,
    "atelectasis": 0.60,
}
SIDE, SHAMS, REMOVALS = 0.98, 0.05, 0.80
BARS = (
    *(Bar(f"valid additions, {f}", f"add {f}", "valid", v, ">=") for f, v in VALID.items()),
    Bar("side obeyed", "all additions", "side_obeyed", SIDE, ">="),
    Bar("valid removals", "all removals", "valid", REMOVALS, ">"),
    Bar("valid removals without holes or noise", "all removals", "clean", REMOVALS, ">"),
    Bar("additions' shams that pass", "all additions", "sham_pass", SHAMS, "<="),
    Bar("removals' shams that pass", "all removals", "sham_pass", SHAMS, "<="),
    Bar("largest change outside, additions", "all additions", "outside_max", 0, "<="),
    Bar("largest change outside, removals", "all removals", "outside_max", 0, "<="),
)


def tabulate(rows: Sequence[Row], *, refused: int = 0, rule: Rule | None = None) -> dict[str, Any]:
    """The whole table, JSON-ready.

    Args:
        rows: judged rows (``valid.judged``).
        refused: rows of inputs that the engine refused.
        rule: the thresholds in force.

    Returns:
        ``cells`` and ``pools`` (lists of summaries), ``bars``, ``rule``, ``edits``, ``shams``,
        ``patients``, ``refused``.
    """
    rule = rule or Rule()
    cells = [_summary(name, here) for name, here in _grouped(rows, lambda r: r["cell"])]
    by_finding = _grouped(rows, lambda r: f"{r['direction']} {r['finding']}")
    by_direction = _grouped(rows, lambda r: POOLS[r["direction"]])
    pools = [_summary(name, here) for name, here in (*by_finding, *by_direction)]
    return {
        "rule": vars(rule),
        "edits": sum(row["kind"] == "edit" for row in rows),
        "shams": sum(row["kind"] == "sham" for row in rows),
        "patients": len({row["patient"] for row in rows}),
        "refused": refused,
        "cells": cells,
        "pools": pools,
        "bars": bars(pools),
    }


def bars(pools: Sequence[Summary]) -> list[dict[str, Any]]:
    """Every bar with the figure beside it; a bar whose cells were not run has none."""
    lines = {pool["name"]: pool for pool in pools}
    found = []
    for bar in BARS:
        figure = _figure_of(lines.get(bar.line, {}), bar.figure)
        entry = {"what": bar.what, "bar": f"{bar.sense} {bar.limit:g}", "figure": figure}
        found.append({**entry, "reached": bar.reached(figure[0])})
    return found


def evidence(table: Mapping[str, Any], weights: Mapping[str, str]) -> dict[str, Any]:
    """``evidence.json``: the findings whose additions pass their bars, with the figures.

    Passing means: valid and clean at least as often as the bar asks, side obeyed, shams that fail,
    nothing outside. A finding without a bar of its own is never listed.
    """
    lines = {pool["name"]: pool for pool in table["pools"]}
    keys = ("valid", "clean", "side_obeyed", "sham_pass")
    asked = {name: lines[f"add {name}"] for name in VALID if f"add {name}" in lines}
    figures = {name: {key: line[key] for key in keys} for name, line in asked.items()}
    passed = [name for name in figures if _passes(lines[f"add {name}"], VALID[name])]
    about = "Findings whose additions passed their bars in `cxr-cf evaluate edits`."
    return {"about": about, "findings": passed, "figures": figures, "weights": dict(weights)}


def _passes(line: Summary, bar: float) -> bool:
    clean, side, shams = (line[key][0] for key in ("clean", "side_obeyed", "sham_pass"))
    enough = clean is not None and clean >= bar and line["outside_max"] == 0
    return enough and (side is None or side >= SIDE) and shams is not None and shams <= SHAMS


def _figure_of(line: Summary, key: str) -> Figure:
    value = line.get(key)
    if isinstance(value, list):
        return value
    return [value, value, value]


def _grouped(rows: Sequence[Row], name: Callable[[Row], str]) -> list[tuple[str, list[Row]]]:
    """Rows by name, in the order in which the names come up."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(name(row), []).append(row)
    return list(found.items())


def _summary(name: str, here: Sequence[Row]) -> Summary:
    """The figures of one line of the table."""
    edits = [row for row in here if row["kind"] == "edit"]
    shams = [row for row in here if row["kind"] == "sham"]
    found: Summary = {
        "name": name,
        "findings": list(dict.fromkeys(row["finding"] for row in here)),
        "edits": len(edits),
        "shams": len(shams),
        "patients": len({row["patient"] for row in edits}),
        "valid": _figure(edits, lambda r: r["valid"]["all"]),
        "clean": _figure(edits, _clean),
        "sham_pass": _figure(shams, lambda r: r["valid"]["all"]),
        "side_obeyed": _figure(edits, lambda r: r["side_obeyed"]),
        "outside_max": max((row["outside_max_diff"] for row in here), default=None),
        "verdict_passed": _figure(edits, _accepted),
        "sham_verdict_passed": _figure(shams, _accepted),
        "dice_lowest": _figure(edits, lambda r: min(r["dice"].values())),
    }
    met = [{**row["valid"], "patient": row["patient"]} for row in edits]
    found |= {criterion: _figure(met, itemgetter(criterion)) for criterion in CRITERIA}
    found |= {key: _figure(edits, itemgetter(key)) for key in MEANS}
    found["j1_gain"] = _figure(edits, lambda r: gain_of(r, "j1"))
    found["j2_gain"] = _figure(edits, lambda r: gain_of(r, "j2"))
    asked = [row["valid"]["classifier"] is not None for row in here]
    found["judged_by"] = (
        "classifier and geometry" if all(asked) else
        "geometry alone" if not any(asked) else "geometry, and classifier where it counts"
    )  # fmt: skip
    found["geometry_gain_sham"] = _figure(shams, lambda r: r["geometry_gain"])
    return found


def _accepted(row: Row) -> bool:
    """Whether the engine's own verdict, which knows no shams, calls it a success."""
    return bool(row["verdict"] == "passed")


def _clean(row: Row) -> bool | None:
    """Whether an edit is valid and shows neither holes and glare nor noise (engine's checks)."""
    valid = row["valid"]["all"]
    return None if valid is None else bool(valid and not set(SPOILT) & set(row["verdict_failed"]))


def _figure(rows: Sequence[Row], value: Callable[[Row], Any]) -> Figure:
    """Mean and interval of a value over rows; None thrice where no row has one."""
    values = [value(row) for row in rows]
    numbers = [math.nan if v is None else float(v) for v in values]
    found = interval(numbers, [row["patient"] for row in rows])
    return [None if math.isnan(v) else round(v, 4) for v in found]
