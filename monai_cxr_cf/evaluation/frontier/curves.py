# SPDX-License-Identifier: Apache-2.0
"""Effects and changes of many settings in, which of them pays out: interpolation and intervals.

*Out at equal in* is the change beyond the region with a law over that without it, where both have
the same effect inside: along guidance, both lines are read at the same *in*. Below 1 the law pays.
Every figure's interval comes from drawing patients, the same draws for all settings.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.evaluation.bootstrap import LEVEL, Interval, draws_of

Array = NDArray[np.float64]
GRID = 33  # points of the common range of two lines
LEAST = 1e-6  # grey levels; an exact 0 has no logarithm
SMALL = 0.01  # a law that moves neither figure of any setting by this share has no effect
PATIENTS = 6  # from which a verdict is given: 2^-5 is the first chance below one in twenty
LOST = 0.05  # share of draws that may lack a common range
OFF, NOTHING, UNDECIDED = "off already", "no effect", "undecided"
PAYS, PAYS_NOT = "pays", "does not pay"


def means(values: Array, patients: Sequence[Hashable]) -> Array:
    """(edits, settings) -> (1 + draws, settings): the mean of all edits, then of every draw."""
    rows = [values.mean(0), *(values[drawn].mean(0) for drawn in draws_of(patients))]
    return np.stack(rows)


def interval_of(found: Array) -> Interval:
    """A figure of all edits (first), and the 95 % interval of that of the draws.

    NaN bounds where too many draws, or the figure itself, are not defined.
    """
    value, draws = float(found[0]), found[1:]
    known = draws[~np.isnan(draws)]
    if np.isnan(value) or len(known) < (1 - LOST) * len(draws):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


@dataclass(frozen=True, eq=False)
class Curve:
    """One line's settings along guidance: effect and change of each, shape (points,)."""

    inside: Array
    outside: Array

    def span(self) -> tuple[float, float]:
        """Least and largest effect."""
        return float(self.inside.min()), float(self.inside.max())

    @cached_property
    def by_effect(self) -> tuple[Array, Array]:
        """Effects in rising order, and the logarithms of their changes."""
        order = np.argsort(self.inside, kind="stable")
        return self.inside[order], np.log(np.maximum(self.outside[order], LEAST))

    def log_out(self, at: Array | float) -> Array:
        """Logarithm of the change at these effects, linear between settings; NaN beyond them."""
        found = np.interp(at, *self.by_effect, left=np.nan, right=np.nan)
        return np.asarray(found, np.float64)


def at_equal_in(inside: float, outside: float, other: Curve) -> float:
    """Change of one setting over that of another line at the same effect; NaN beyond that line."""
    return float(np.exp(np.log(max(outside, LEAST)) - other.log_out(inside)))


def over_common_range(one: Curve, other: Curve) -> float:
    """Geometric mean of change over change, at equal effects, where both lines have them."""
    low = max(one.span()[0], other.span()[0])
    high = min(one.span()[1], other.span()[1])
    if not low < high:
        return float("nan")
    # Rounding must not put the end of the range outside of a line.
    grid = np.clip(np.linspace(low, high, GRID), low, high)
    return float(np.exp(np.mean(one.log_out(grid) - other.log_out(grid))))


def verdict(ratio: Interval, *, patients: int, moved: float, same: bool) -> str:
    """What the comparison with and without a law says.

    Args:
        ratio: out at equal in, with the law over without it.
        patients: how many.
        moved: the largest relative difference of *in* or *out* at any guidance.
        same: the settings in force are the same: the law is off in the preset.
    """
    if same:
        return OFF
    if moved < SMALL:
        return NOTHING
    if patients < PATIENTS or np.isnan(ratio.low) or ratio.low <= 1 <= ratio.high:
        return UNDECIDED
    return PAYS if ratio.high < 1 else PAYS_NOT


def moved(one: Curve, other: Curve) -> float:
    """The largest relative difference of two lines at the same guidance, in effect or change."""
    pairs = ((one.inside, other.inside), (one.outside, other.outside))
    return max(float(np.max(np.abs(a - b) / np.maximum(np.abs(b), LEAST))) for a, b in pairs)


def on_front(inside: Array, outside: Array) -> NDArray[np.bool_]:
    """Settings (N,) than which none has as much effect with less change, or more with as little."""
    more = inside[None, :] >= inside[:, None]
    less = outside[None, :] <= outside[:, None]
    better = (inside[None, :] > inside[:, None]) | (outside[None, :] < outside[:, None])
    return np.asarray(~(more & less & better).any(1))
