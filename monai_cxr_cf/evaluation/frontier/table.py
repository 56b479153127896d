# SPDX-License-Identifier: Apache-2.0
"""Rows of a frontier in, its sections out: every setting's figures, every law's verdict, as text.

A section is one direction and one finding, or all findings of a direction together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.evaluation.bootstrap import Interval
from monai_cxr_cf.evaluation.frontier.curves import (
    LEAST,
    Curve,
    at_equal_in,
    interval_of,
    means,
    moved,
    on_front,
    over_common_range,
    verdict,
)
from monai_cxr_cf.evaluation.frontier.lines import Line

Array = NDArray[np.float64]
Row = dict[str, Any]
Place = tuple[str, float | None]  # a line and its guidance; None = the calibrated one
Figures = Mapping[Place, Sequence[Row]]  # a row per edit, in one order for all places
DIRECTIONS = {"add": "additions", "remove": "removals"}


@dataclass(frozen=True, eq=False)
class _Section:
    """The figures of some edits: (1 + draws, settings) of each kind."""

    lines: Sequence[Line]
    places: Sequence[Place]
    rows: Figures
    patients: Sequence[str]
    means: Mapping[str, Array]

    @cached_property
    def curves(self) -> dict[str, list[Curve]]:
        """Every line along guidance: of all edits, then of every draw."""
        found = {}
        for line in self.lines:
            at = [i for i, (n, g) in enumerate(self.places) if n == line.name and g is not None]
            pairs = zip(self.means["in"][:, at], self.means["out"][:, at], strict=True)
            found[line.name] = [Curve(inside, outside) for inside, outside in pairs]
        return found


def sections(lines: Sequence[Line], figures: Figures) -> list[dict[str, Any]]:
    """Per direction: all findings together, then each; JSON-ready.

    Args:
        lines: in the order of the table.
        figures: rows of every setting; all settings hold the same edits.
    """
    found = []
    for title, rows in _parts(figures):
        section = _section(lines, rows)
        first = next(iter(rows.values()))
        found.append(
            {
                **title,
                "edits": len(first),
                "patients": len(set(section.patients)),
                "bands_px": sorted({row["band_px"] for row in first}),
                "rows": _rows(section),
                "laws": [_law(section, line) for line in lines if line.against],
            }
        )
    return found


def _parts(figures: Figures) -> Iterator[tuple[dict[str, Any], Figures]]:
    first = next(iter(figures.values()), ())
    for direction, name in DIRECTIONS.items():
        findings = list(dict.fromkeys(r["finding"] for r in first if r["direction"] == direction))
        for finding in [None, *findings] if len(findings) > 1 else findings:
            kept = [
                i
                for i, r in enumerate(first)
                if r["direction"] == direction and finding in (None, r["finding"])
            ]
            part = {place: [rows[i] for i in kept] for place, rows in figures.items()}
            yield {"mode": name, "finding": finding}, part


def _section(lines: Sequence[Line], rows: Figures) -> _Section:
    places = list(rows)
    patients = [row["patient"] for row in next(iter(rows.values()))]
    kinds = {
        kind: means(np.array([[r[kind] for r in rows[p]] for p in places]).T, patients)
        for kind in ("in", "out", "signed")
    }
    return _Section(lines, places, rows, patients, kinds)


def _rows(section: _Section) -> list[dict[str, Any]]:
    inside, outside = section.means["in"], section.means["out"]
    front = on_front(inside[0], outside[0])
    against = {line.name: line.against for line in section.lines}
    found = []
    for number, (line, guidance) in enumerate(section.places):
        rows = section.rows[line, guidance]
        right = [row["signed"] * row["sign"] > 0 for row in rows]
        found.append(
            {
                "line": line,
                "guidance": guidance,
                "in": _plain(interval_of(inside[:, number])),
                "out": _plain(interval_of(outside[:, number])),
                "ratio": _plain(
                    interval_of(inside[:, number] / np.maximum(outside[:, number], LEAST))
                ),
                "signed": _plain(interval_of(section.means["signed"][:, number])),
                "right_way": round(float(np.mean(right)), 4),
                "against": against[line] or None,
                "out_at_equal_in": _equal(section, number, against[line]),
                "on_front": bool(front[number]),
                "seconds": round(float(np.median([row["seconds"] for row in rows])), 3),
            }
        )
    return found


def _equal(section: _Section, number: int, against: str) -> list[float | None] | None:
    """One setting's change over that of ``against`` at the same effect."""
    if not against:
        return None
    inside, outside = (section.means[kind][:, number] for kind in ("in", "out"))
    points = zip(inside, outside, section.curves[against], strict=True)
    values = [at_equal_in(float(i), float(o), curve) for i, o, curve in points]
    return _plain(interval_of(np.array(values)))


def _law(section: _Section, line: Line) -> dict[str, Any]:
    """What having the law is worth: always with over without."""
    with_, without = (line.against, line.name) if line.lacks else (line.name, line.against)
    pairs = zip(section.curves[with_], section.curves[without], strict=True)
    ratio = interval_of(np.array([over_common_range(one, other) for one, other in pairs]))
    at = [section.places.index((name, None)) for name in (with_, without)]
    places = [g for name, g in section.places if name == with_]
    same = all(
        a["config"] == b["config"]
        for g in places
        for a, b in zip(section.rows[with_, g], section.rows[without, g], strict=True)
    )
    drift = moved(section.curves[with_][0], section.curves[without][0])
    return {
        "law": line.law,
        "with": with_,
        "without": without,
        "out_at_equal_in": _plain(ratio),
        **{
            f"{kind}_ratio": _plain(interval_of(_divided(section.means[kind], at)))
            for kind in ("in", "out")
        },
        "verdict": verdict(ratio, patients=len(set(section.patients)), moved=drift, same=same),
    }


def _divided(values: Array, at: Sequence[int]) -> Array:
    return np.asarray(values[:, at[0]] / np.maximum(values[:, at[1]], LEAST))


def _plain(found: Interval) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), 4) for v in found]
