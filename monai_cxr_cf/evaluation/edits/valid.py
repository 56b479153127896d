# SPDX-License-Identifier: Apache-2.0
"""Rows of a run in, the same rows judged out: which edits are valid, which shams pass as one.

**Valid** = the classifier J2 sees the asked change (gain >= .15, where J2 counts for that finding,
AUC >= .80 within the view), geometry moves the right way by more than 95 % of shams do, no
unrelated finding rises by more than .1, organs that may not change keep Dice >= .95, and nothing
changed outside. Shams are held to the same rule; a row is compared with the shams of its finding of
*other* patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_cxr_cf.catalogue.table import OURS
from monai_cxr_cf.judges.card import COUNTS, good
from monai_cxr_cf.prompts.findings import VOCABULARY, get, organs_that_may_change

Row = dict[str, Any]
Judges = Mapping[str, Mapping[str, Any]]  # as in run.json: j1, j2 -> findings and auc
CRITERIA = ("classifier", "geometry", "others", "organs", "outside")


@dataclass(frozen=True)
class Rule:
    """The thresholds of a valid edit."""

    gain: float = 0.15  # rise of the asked finding's probability; fall for a removal
    shams: float = 0.95  # share of shams whose geometry moves less
    rise: float = 0.1  # of any unrelated finding
    dice: float = 0.95  # of organs that may not change
    outside: int = 0  # stored units
    auc: float = COUNTS  # of the judge within a view, below which it does not count for a finding
    judge: str = "j2"


def counts(finding: str, judges: Judges, rule: Rule, view: str = "") -> bool:
    """Whether the judge is good enough at a finding in this view to be asked about it."""
    return good(judges.get(rule.judge, {}).get("auc", {}).get(finding, {}), view, rule.auc)


def judged(rows: Sequence[Row], judges: Judges, rule: Rule | None = None) -> list[Row]:
    """Copies of all rows with ``valid`` and, where a side was asked, ``side_obeyed``.

    Args:
        rows: edits and shams of one run; refused ones are left out.
        judges: what run.json says about the classifiers.
        rule: thresholds.

    Returns:
        ``valid`` holds one entry per criterion (True, False, or None where it could not be asked),
        ``all`` (None without shams of other patients), and ``threshold``, the geometric gain that
        had to be exceeded.
    """
    rule = rule or Rule()
    kept = [row for row in rows if "refused" not in row]
    controls = _controls(kept)
    found = []
    for row in kept:
        shams = controls.get(_kind(row), [])
        gains = [gain for patient, gain in shams if patient != row["patient"]]
        threshold = sham_threshold(gains, rule.shams)
        criteria: dict[str, bool | None] = {
            "classifier": _classifier(row, judges, rule),
            "geometry": _geometry(row, threshold),
            "others": _others(row, judges, rule),
            "organs": _organs(row, rule),
            "outside": row["outside_max_diff"] <= rule.outside,
        }
        met = all(value is not False for value in criteria.values())
        every = None if threshold is None else met  # without shams nothing can be said
        valid = {**criteria, "all": every, "threshold": threshold}
        found.append({**row, "valid": valid, "side_obeyed": side_obeyed(row)})
    return found


def sham_threshold(gains: Sequence[float], share: float) -> float | None:
    """The gain that an edit must exceed: at least 0, and at least ``share`` of the shams' gains.

    The smallest sham's gain that has ``share`` of them at or below it. None without shams.
    """
    if not gains:
        return None
    return max(0.0, float(np.quantile(np.asarray(gains), share, method="higher")))


def side_obeyed(row: Row) -> bool | None:
    """Whether the finding's zone moved the asked way, and further than on the other side.

    None for shams and where no side was asked.
    """
    shifts = row["mean_shift_side"]
    if shifts is None or row["kind"] == "sham":
        return None
    sign = VOCABULARY[row["finding"]].sense(row["direction"])
    return bool(sign * shifts["asked"] > max(0.0, sign * shifts["other"]))


def gain_of(row: Row, judge: str) -> float | None:
    """Rise (for a removal: fall) of the asked finding's probability; None without the judge."""
    before, after = row[f"{judge}_before"], row[f"{judge}_after"]
    name = row["finding"]
    if before is None or name not in before:
        return None
    rise = float(after[name] - before[name])
    return -rise if row["direction"] == "remove" else rise


def _kind(row: Row) -> tuple[str, ...]:
    """Rows whose shams are comparable: one finding and direction under one set of settings.

    Views and sides together: a threshold from a handful of patients would let too many shams pass.
    """
    zone = row["zone"] or ""
    who = row.get("method", OURS)  # two methods may share all that a configuration says
    return row["direction"], row["finding"], zone, row["config"], row["backbone"], who


def _controls(rows: Sequence[Row]) -> dict[tuple[str, ...], list[tuple[str, float]]]:
    found: dict[tuple[str, ...], list[tuple[str, float]]] = {}
    for row in rows:
        if row["kind"] == "sham" and row["geometry_gain"] is not None:
            found.setdefault(_kind(row), []).append((row["patient"], row["geometry_gain"]))
    return found


def _classifier(row: Row, judges: Judges, rule: Rule) -> bool | None:
    gain = gain_of(row, rule.judge)
    if gain is None or not counts(row["finding"], judges, rule, row["view"]):
        return None
    return gain >= rule.gain


def _geometry(row: Row, threshold: float | None) -> bool | None:
    """None without a sham of another patient; what could not be measured has not moved."""
    if threshold is None:
        return None
    gain = row["geometry_gain"]
    return gain is not None and bool(gain > threshold)


def _others(row: Row, judges: Judges, rule: Rule) -> bool | None:
    """Whether every unrelated finding that the judge is good at stays where it was."""
    before, after = row[f"{rule.judge}_before"], row[f"{rule.judge}_after"]
    if before is None:
        return None
    related = {row["finding"], *get(row["finding"]).related}
    unrelated = [n for n in before if n not in related and counts(n, judges, rule, row["view"])]
    if not unrelated:
        return None
    return bool(max(after[name] - before[name] for name in unrelated) <= rule.rise)


def _organs(row: Row, rule: Rule) -> bool:
    free = organs_that_may_change(row["finding"], row["side"])
    return all(value >= rule.dice for name, value in row["dice"].items() if name not in free)
