# SPDX-License-Identifier: Apache-2.0
"""Candidate settings and measured edits in, the best candidate out: a search by halving.

Every candidate edits a few radiographs, the better half edits more, and so on. An edit is worth
what explainable judges see of the finding, less what went wrong beside it, and less what its sham
is worth, which no words asked for: where hearts shrink in any sample, the words earn nothing. A
candidate that changes too much beyond region and band, before paste and composite hide it, loses to
every one that does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from monai_cxr_cf.evaluation.bootstrap import Interval, interval
from monai_cxr_cf.evaluation.edits.valid import Judges, Rule, counts, gain_of, judged
from monai_cxr_cf.judges.artefacts import NAMES

Row = dict[str, Any]
FULL_GEOMETRY = 2.0  # spreads among normals that count as a full change
FULL_GAIN = 0.3  # rise of J1's probability that counts as a full change
FAULT = 0.5  # an edit is worth half with each fault
# Checks of the verdict that count as one fault each; J1's own checks are counted by the rule.
FAULTS = ("texture", "foreign_grey", "inside_share", *NAMES)
LEAK = 2.0  # grey levels of 255 that may change on average beyond region and band
KEPT = 0.5  # share of candidates that a round keeps
NEAR = 0.03  # settings whose worth differs by less are told apart by the verdict


@dataclass(frozen=True, order=True)
class Candidate:
    """One point of the search: how far an edit goes, by a scale or by an RMS of guidance."""

    strength: float
    guidance: float = 0.0  # scale; 0 = the preset's
    rms: float = 0.0  # of what guidance adds in the region; 0 = the scale rules

    def overrides(self) -> dict[str, dict[str, float]]:
        """As ``EditConfig.with_overrides`` and ``calibration.json`` want it."""
        scale = {"guidance_scale": self.guidance} if self.guidance else {}
        return {
            "start": {"strength": self.strength},
            "sampling": {**scale, "guidance_rms": self.rms},
        }


@dataclass(frozen=True)
class Space:
    """Where one mode is searched."""

    strengths: tuple[float, ...]
    guidances: tuple[float, ...] = ()
    rms: tuple[float, ...] = ()

    def candidates(self) -> list[Candidate]:
        """Every strength with every scale, and with every RMS."""
        scales = [
            Candidate(s, guidance=value) for s, value in product(self.strengths, self.guidances)
        ]
        return [
            *scales,
            *(Candidate(s, rms=value) for s, value in product(self.strengths, self.rms)),
        ]


# Additions gain nothing from an RMS (docs/cxr-mini/calibration.md); removals need one.
SPACES = {
    "edit": Space((0.4, 0.45, 0.55), guidances=(1.5, 2.5, 4.0, 6.0, 9.0, 13.0)),
    "removal": Space((0.4, 0.55), rms=(0.12, 0.18, 0.27, 0.4)),
}


def worth(row: Row, judges: Judges) -> float:
    """What one edit is worth, 0..1; NaN for an input that the engine refused.

    The mean of what geometry and (where it counts) J1 see, each 1 for a full change; 0 on the
    wrong side; halved by each fault: texture or grey values that are not this patient's, an
    artefact, most of the change outside the region, an organ that moved, an unrelated finding, a
    change outside, and once more where the verdict of the edit itself is a failure.
    """
    if "refused" in row:
        return float("nan")
    rule = Rule(judge="j1")
    (found,) = judged([row], judges, rule)
    seen = [(row["geometry_gain"] or 0.0) / FULL_GEOMETRY]
    gain = gain_of(row, "j1")
    if gain is not None and counts(row["finding"], judges, rule, row["view"]):
        seen.append(gain / FULL_GAIN)
    if found["side_obeyed"] is False:
        return 0.0
    faults = sum(name in FAULTS for name in row["verdict_failed"])
    faults += sum(found["valid"][name] is False for name in ("others", "organs", "outside"))
    faults += row["verdict"] == "failed"  # whatever its own verdict finds, and how much
    return float(np.mean(np.clip(seen, 0, 1)) * FAULT**faults)


def worth_over_shams(rows: Sequence[Row], judges: Judges) -> list[float]:
    """What every edit that was not refused is worth more than its sham, -1..1.

    An edit without a sham of its own in ``rows`` is worth what it is worth by itself.
    """
    shams = {_control(row): worth(row, judges) for row in _shams(rows)}
    edits = [row for row in rows if row["kind"] == "edit" and "refused" not in row]
    return [worth(row, judges) - shams.get(_control(row), 0.0) for row in edits]


def _shams(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["kind"] == "sham" and "refused" not in row]


def _control(row: Row) -> tuple[Any, ...]:
    """What an edit and its sham have in common."""
    return tuple(row[name] for name in ("input", "cell", "seed", "config"))


@dataclass(frozen=True)
class Tried:
    """What a round found about one candidate."""

    inputs: int  # radiographs per cell
    edits: int
    candidate: Candidate
    worth: Interval
    figures: dict[str, float | None]

    @property
    def leaks(self) -> bool:
        """Whether its edits change too much beyond region and band."""
        return (self.figures.get("beyond") or 0.0) > LEAK

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        worth_ = [None if np.isnan(v) else round(v, 4) for v in self.worth]
        about = {"inputs": self.inputs, "edits": self.edits}
        return {**about, **asdict(self.candidate), "worth": worth_, **self.figures}


def summarise(candidate: Candidate, rows: Sequence[Row], judges: Judges, *, inputs: int) -> Tried:
    """One candidate's rows as figures; its worth with an interval over patients."""
    kept = [row for row in rows if "refused" not in row and row["kind"] == "edit"]
    values = worth_over_shams(rows, judges)
    seen = judged(kept, judges, Rule(judge="j1"))
    figures: dict[str, float | None] = {
        "sham_worth": _mean([worth(row, judges) for row in _shams(rows)]),
        "sham_passed": _mean([row["verdict"] == "passed" for row in _shams(rows)]),
        "geometry_gain": _mean([row["geometry_gain"] for row in kept]),
        "j1_gain": _mean([gain_of(row, "j1") for row in kept]),
        "verdict_passed": _mean([row["verdict"] == "passed" for row in kept]),
        "organs_kept": _mean([row["valid"]["organs"] for row in seen]),
        "side_obeyed": _mean([row["side_obeyed"] for row in seen]),
        "faulty_texture": _mean(["texture" in row["verdict_failed"] for row in kept]),
        "foreign_grey": _mean(["foreign_grey" in row["verdict_failed"] for row in kept]),
        "beyond": _mean([row["beyond"] for row in kept]),
        "seconds": _mean([row["seconds"] for row in kept]),
    }
    found = interval(values, [row["patient"] for row in kept])
    return Tried(inputs, len(kept), candidate, found, figures)


def by_finding(rows: Sequence[Row], judges: Judges) -> dict[str, float]:
    """Mean worth over shams by group of edits: where one setting for all costs most."""
    groups = dict.fromkeys(row["group"] for row in rows if "refused" not in row)
    found = {}
    for group in groups:
        values = worth_over_shams([row for row in rows if row["group"] == group], judges)
        found[group] = round(float(np.mean(values)), 4)
    return found


Measure = Callable[[Candidate, int], Sequence[Row]]  # candidate, radiographs per cell -> rows


def rounds(inputs: int) -> list[int]:
    """Radiographs per cell of each round: 1, 2, 4 ... up to ``inputs``."""
    found = [1]
    while found[-1] < inputs:
        found.append(min(2 * found[-1], inputs))
    return found


def schedule(candidates: int, inputs: int) -> list[tuple[int, int]]:
    """(candidates alive, radiographs per cell) of every round."""
    plan = []
    for count in rounds(inputs):
        plan.append((candidates, count))
        candidates = max(1, int(np.ceil(candidates * KEPT)))
    return plan


def halve(
    candidates: Sequence[Candidate],
    measure: Measure,
    judges: Judges,
    *,
    inputs: int,
) -> list[Tried]:
    """Successive halving; every (candidate, round) that was measured, the best of the last first.

    What leaks more than ``LEAK`` comes last. Ties go to the gentler candidate: lower strength, then
    lower guidance. Of the last round, of those whose worth lies within ``NEAR`` of the highest, the
    best is that which more verdicts pass; of equals that which leaks least.
    """
    alive, found = sorted(candidates), list[Tried]()
    last: list[Tried] = []
    for number, count in schedule(len(alive), inputs):
        alive = alive[:number]
        last = [summarise(one, measure(one, count), judges, inputs=count) for one in alive]
        last.sort(key=lambda t: (t.leaks, -np.nan_to_num(t.worth.value, nan=-1.0), t.candidate))
        found = [*last, *found]
        alive = [tried.candidate for tried in last]
    top = last[0]
    near = [t for t in last if t.leaks == top.leaks and top.worth.value - t.worth.value < NEAR]
    best = max(near or [top], key=_passed)  # the first of equals
    return [best, *(tried for tried in found if tried is not best)]


def _passed(tried: Tried) -> tuple[float, float]:
    """Share of edits that pass the verdict, then how little leaks."""
    return tried.figures["verdict_passed"] or 0.0, -(tried.figures["beyond"] or 0.0)


def _mean(values: Sequence[Any]) -> float | None:
    known = [float(v) for v in values if v is not None]
    return round(float(np.mean(known)), 4) if known else None
