# SPDX-License-Identifier: Apache-2.0
"""The records of an audit and how they are read: one place that knows their fields."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.audit.figures.chance import PAGE_ONE, Effect
from monai_cxr_cf.audit.measuring.score import target_of

Record = Mapping[str, Any]
Floats = NDArray[np.float64]
MOVES, IGNORES, UNCLEAR = "moves", "ignores", "unclear"
ENOUGH = 5  # patients from whom "ignores" may be said


@dataclass(frozen=True)
class Facts:
    """What the figures are made of."""

    labels: tuple[str, ...]
    pictures: Sequence[Record]  # of measure_picture
    trials: Sequence[Record]  # of measure_trial, all of them
    thresholds: Mapping[str, float] = field(default_factory=dict)
    margin: float = 0.05  # a change of a score that is smaller does not matter
    group: int = 5  # patients that a subgroup needs

    @property
    def used(self) -> list[Record]:
        """Trials whose edit did what was asked."""
        return [trial for trial in self.trials if trial["verdict"] == "passed"]

    def names(self) -> dict[str, list[Record]]:
        """The used trials of every edit."""
        found: dict[str, list[Record]] = {}
        for trial in self.used:
            found.setdefault(trial["name"], []).append(trial)
        return found

    def scored(self, finding: str) -> list[int]:
        """The scores that a finding should move: its own; all, where none is its own."""
        own = target_of(self.labels, finding)
        return list(range(len(self.labels))) if own is None else [own]

    def watched(self) -> list[int]:
        """The scores that shifts are tested on: those of the findings that were edited."""
        found = {n for trial in self.trials for n in self.scored(trial["finding"])}
        return sorted(found) or list(range(len(self.labels)))


def patients(records: Sequence[Record]) -> list[str]:
    """Whose they are."""
    return [record["patient"] for record in records]


def gains(trials: Sequence[Record], label: int, level: int = -1) -> Floats:
    """Edit minus its own sham."""
    return np.array([t["edited"][level][label] - t["sham"][level][label] for t in trials])


def rises(trials: Sequence[Record], label: int, kind: str = "edited", level: int = -1) -> Floats:
    """Edit, or sham, minus source."""
    return np.array([t[kind][level][label] - t["source"][label] for t in trials])


def say(found: Effect, adjusted: float, margin: float, alpha: float = PAGE_ONE) -> str:
    """What an effect says: it moves the score, or does not, or nobody can tell."""
    if adjusted <= alpha and abs(found.value) >= margin:
        return MOVES
    if found.patients >= ENOUGH and -margin < found.low and found.high < margin:
        return IGNORES
    return UNCLEAR


def rounded(found: Effect) -> dict[str, Any]:
    """JSON-ready, without NaN."""
    told = {name: plain(value) for name, value in found._asdict().items()}
    return {**told, "p": found.p, "patients": found.patients}


def plain(value: float | None, digits: int = 4) -> float | None:
    """Rounded; None for what is no number."""
    return None if value is None or math.isnan(value) else round(float(value), digits)
