# SPDX-License-Identifier: Apache-2.0
"""Stored value <-> display value: one table over all representable stored values, and its inverse.

``voi`` builds a ``Display`` from a header, ``read`` renders the pixels with it, and
``Radiograph.to_stored`` uses it to turn a change of the picture into a change of stored values.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


def stored_range(bits_stored: int, signed: bool) -> tuple[int, int]:
    """Smallest and largest value that ``bits_stored`` bits can hold, both inclusive."""
    if signed:
        return -(1 << (bits_stored - 1)), (1 << (bits_stored - 1)) - 1
    return 0, (1 << bits_stored) - 1


@dataclass(frozen=True, eq=False)
class Display:
    """The monotone function stored value -> 0..1, bright = dense, polarity applied."""

    low: int  # stored value of table[0]
    table: npt.NDArray[np.float64]  # display value of low, low + 1, ... ; 0..1, monotone
    full_scale: float | None = None  # stored units per display unit, signed; None: not linear

    @property
    def high(self) -> int:
        """Stored value of the last table entry."""
        return self.low + len(self.table) - 1

    def render(self, stored: Integers) -> npt.NDArray[np.float32]:
        """HxW stored integers within low..high -> HxW float32, 0..1, bright = dense."""
        return self.table.astype(np.float32)[stored.astype(np.int32) - self.low]

    def delta(self, stored: Integers, change: Floats) -> npt.NDArray[np.float64]:
        """The step in stored units that shows as ``change`` in display units; not yet rounded.

        A linear window maps the change exactly, ``change * w / slope``, also beyond its ends, so
        texture that the window hides survives. A table gives the difference of its inverse,
        ``inverse(p + change) - inverse(p)`` with ``p`` the display value of the pixel.

        Args:
            stored: N (or HxW) stored integers within low..high.
            change: the same shape, display units (-1..1).
        """
        if self.full_scale is not None:
            return change.astype(np.float64) * self.full_scale
        shown = self.table[stored.astype(np.int32) - self.low]
        return self._inverse(shown + change.astype(np.float64)) - self._inverse(shown)

    def _inverse(self, shown: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        values, positions = self._knots
        return np.interp(shown, values, positions)

    @cached_property
    def _knots(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Display values (rising) and the stored value that stands for each in the inverse.

        A step of the table stands at its middle, so that a change of whole steps is exact for
        every pixel of the step. The two ends stand at their inner edge: the width of a saturated
        end says nothing about contrast and must not enter a difference.
        """
        rising = bool(self.table[-1] >= self.table[0])
        table = self.table if rising else self.table[::-1]
        values, first, count = np.unique(table, return_index=True, return_counts=True)
        middle = first + (count - 1) / 2.0
        middle[0] = first[0] + count[0] - 1
        middle[-1] = first[-1]
        positions = middle if rising else len(table) - 1 - middle
        return values, positions.astype(np.float64) + self.low


def is_monotone(table: Floats) -> bool:
    """Whether a table never turns back: every step has the same sign or is zero."""
    steps = np.diff(table)
    return bool(np.all(steps >= 0) or np.all(steps <= 0))
