# SPDX-License-Identifier: Apache-2.0
"""Rows of several methods in, one line a method and direction out, with differences to ours.

A method's shams are its own: what counts as more than chance is asked of each method anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from monai_cxr_cf.catalogue.table import OURS
from monai_cxr_cf.evaluation.bootstrap import interval, paired_interval
from monai_cxr_cf.evaluation.edits.table import POOLS, tabulate
from monai_cxr_cf.evaluation.edits.valid import Judges, Row, judged
from monai_cxr_cf.evaluation.edits.words import number, share

Line = dict[str, Any]
# figure -> heading; the first four are shares
FIGURES = {
    "valid": "valid",
    "clean": "valid and clean",
    "verdict_passed": "verdict passed",
    "sham_pass": "shams that pass",
    "j2_gain": "J2 gain",
    "mean_shift_region": "change in region",
    "beyond": "change outside, raw",
    "ssim_inside": "SSIM inside",
    "seconds": "seconds",
}
SHARES = ("valid", "clean", "verdict_passed", "sham_pass")
NOTE = (
    "Valid, clean, verdict and gains as in [evaluation](evaluation.md); shams are each method's "
    "own. Change in region: mean, grey levels of 255. Change outside, raw: mean absolute change of "
    "the decoder's picture beyond region and band, in the same units, before the composite takes "
    "it back; with it nothing changes out there, for any method. Brackets: 95 % intervals over "
    "patients; less ours: the same edits, paired. A dash: not measured. No radiologist judged."
)


def lines(rows: Sequence[Row], judges: Judges, methods: Sequence[str]) -> list[Line]:
    """A line per method and direction that was run: figures with intervals, and less ours.

    Args:
        rows: of all methods, as ``runner`` gives them.
        judges: what run.json says about the classifiers.
        methods: their order.
    """
    found, ours = [], {}
    for name in methods:
        mine = [row for row in rows if row.get("method", OURS) == name]
        kept = judged(mine, judges)
        pools = {pool["name"]: pool for pool in tabulate(kept)["pools"]}
        for direction, pool in POOLS.items():
            edits = [r for r in kept if r["kind"] == "edit" and r["direction"] == direction]
            if not edits:
                continue
            line: Line = {"method": name, "direction": direction, "edits": len(edits)}
            line["patients"] = len({row["patient"] for row in edits})
            line["refused"] = sum("refused" in row for row in mine)
            line |= {key: pools[pool][key] for key in FIGURES if key != "beyond"}
            line["beyond"] = _figure([row["beyond"] for row in edits], edits)
            if name == OURS:
                ours[direction] = edits
            line["less_ours"] = _less(edits, ours.get(direction, [])) if name != OURS else {}
            found.append(line)
    return found


def _less(mine: Sequence[Row], ours: Sequence[Row]) -> dict[str, list[float | None]]:
    """Differences of valid edits and of raw change outside, over the edits that both made."""
    theirs = {_edit(row): row for row in ours}
    pairs = [(row, theirs[_edit(row)]) for row in mine if _edit(row) in theirs]
    found = {}
    for key, value in (("valid", _valid), ("beyond", lambda row: row["beyond"])):
        both = [(value(a), value(b), a["patient"]) for a, b in pairs]
        known = [(a, b, p) for a, b, p in both if a is not None and b is not None]
        if known:
            a, b, patients = (list(column) for column in zip(*known, strict=True))
            found[key] = _rounded(paired_interval(a, b, patients))
    return found


def _valid(row: Row) -> float | None:
    met = row["valid"]["all"]
    return None if met is None else float(met)


def _edit(row: Row) -> tuple[Any, ...]:
    return row["input"], row["group"], row["seed"]


def _figure(values: Sequence[float], rows: Sequence[Row]) -> list[float | None]:
    return _rounded(interval(values, [row["patient"] for row in rows]))


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(v) else round(float(v), 4) for v in values]


def markdown(found: Sequence[Line], costs: Mapping[str, float | None]) -> str:
    """Two tables, additions and removals, and what the columns mean."""
    text = [NOTE]
    for direction, title in POOLS.items():
        here = [line for line in found if line["direction"] == direction]
        if not here:
            continue
        head = ["method", "edits", *FIGURES.values(), "F", "valid, less ours", "outside, less ours"]
        text += ["", f"## {title.capitalize()}", "", f"| {' | '.join(head)} |"]
        text += ["|---" * len(head) + "|", *(_row(line, costs) for line in here)]
    return "\n".join(text) + "\n"


def _row(line: Line, costs: Mapping[str, float | None]) -> str:
    cells = [f"`{line['method']}`", str(line["edits"])]
    cells += [share(line[k]) if k in SHARES else number(line[k][0], 2) for k in FIGURES]
    cost = costs.get(line["method"])
    cells.append("by preset" if cost is None else f"{cost:.0f}")
    less = line["less_ours"]
    cells.append(share(less["valid"]) if "valid" in less else "-")
    cells.append(_span(less["beyond"]) if "beyond" in less else "-")
    return f"| {' | '.join(cells)} |"


def _span(figure: Sequence[float | None]) -> str:
    value, low, high = (number(v, 2) for v in figure)
    return f"{value} [{low}, {high}]"
