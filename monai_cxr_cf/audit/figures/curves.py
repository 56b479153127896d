# SPDX-License-Identifier: Apache-2.0
"""f(severity): the score over the levels of an edit, with the band of its shams under it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from monai_cxr_cf.audit.figures.chance import effect
from monai_cxr_cf.audit.figures.facts import Facts, Record, patients, plain, rises, rounded

FULL = 0.95  # of the final rise: from there on the curve is flat


def curves(facts: Facts) -> list[dict[str, Any]]:
    """One for every edit and score that it should move."""
    return [
        _curve(facts, name, trials, label)
        for name, trials in facts.names().items()
        for label in facts.scored(trials[0]["finding"])
    ]


def _curve(facts: Facts, name: str, trials: Sequence[Record], label: int) -> dict[str, Any]:
    levels = trials[0]["levels"]
    same = [trial for trial in trials if trial["levels"] == levels]
    who = patients(same)
    points = {
        kind: [effect(rises(same, label, kind, n), who) for n in range(len(levels))]
        for kind in ("edited", "sham")
    }
    found: dict[str, Any] = {"name": name, "label": facts.labels[label], "levels": levels}
    for kind, effects in points.items():
        found[kind] = [rounded(each) for each in effects]
    scores = np.array([[t["source"][label], *(e[label] for e in t["edited"])] for t in same])
    axis = np.array([0.0, *levels])
    slopes = [float(np.polyfit(axis, row, 1)[0]) for row in scores]
    sign = 1 if same[0]["direction"] == "add" else -1
    found["slope"] = rounded(effect(slopes, who))
    found["monotone"] = rounded(effect([_kendall(axis, sign * row) for row in scores], who))
    found["crosses"] = _crossing(facts, scores, axis, label, sign=sign)
    found["saturates_at"] = _saturation([e.value for e in points["edited"]], levels)
    return found


def _kendall(axis: Any, row: Any) -> float:
    """Kendall's tau-b of level and score; 0 for a flat curve."""
    value = float(stats.kendalltau(axis, row).statistic)
    return 0.0 if np.isnan(value) else value


def _crossing(facts: Facts, scores: Any, axis: Any, label: int, *, sign: int) -> dict[str, Any]:
    """Of those that begin on the other side of the operating point: how many cross it, where."""
    threshold = facts.thresholds.get(facts.labels[label], 0.5)
    over = sign * (scores - threshold) >= 0
    begin = over[~over[:, 0]]
    crossed = begin[begin.any(axis=1)]
    first = [float(axis[int(np.argmax(row))]) for row in crossed]
    return {"could": len(begin), "did": len(crossed),
            "level": plain(float(np.median(first))) if first else None}  # fmt: skip


def _saturation(values: Sequence[float], levels: Sequence[float]) -> float | None:
    """The first level with nearly all of the final effect; None if that is the last one."""
    final = values[-1]
    if not final:
        return None
    first = next(n for n, value in enumerate(values) if value / final >= FULL)
    return levels[first] if first < len(levels) - 1 else None
