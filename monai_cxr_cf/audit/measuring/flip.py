# SPDX-License-Identifier: Apache-2.0
"""The smallest flip: the least of an edit that takes a score over its operating point.

Bisection over how much of the change is blended in, then over how much of its area, the pixels
that changed most first. More than the sham moves the score it must be; "never" is a result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Score = Callable[[Sequence[Array]], NDArray[np.float64]]  # images -> (N,) of one label
STEPS = 6


@dataclass(frozen=True)
class Flip:
    """What was found: "flips", "never", "less than its sham" or "already there"."""

    kind: str
    level: float | None = None  # share of the change that is blended in
    area: float | None = None  # share of the changed pixels that suffices at the whole change


def smallest_flip(
    score: Score, source: Array, change: Array, *, threshold: float, band: float, up: bool = True
) -> Flip:
    """Look for it.

    Args:
        score: of the finding's label.
        source: H x W.
        change: of the whole edit.
        threshold: the operating point.
        band: how far the sham moved the score; a flip must move it further.
        up: the score is to rise over the threshold, else to fall under it.
    """

    def over(image: Array) -> tuple[bool, bool]:
        value = float(score([image])[0])
        return (value >= threshold) == up, abs(value - first) > band

    first = float(score([source])[0])
    if (first >= threshold) == up:
        return Flip("already there")
    crossed, beyond = over(source + change)
    if not crossed:
        return Flip("never")
    if not beyond:
        return Flip("less than its sham")
    ranked = np.sort(np.abs(change[change != 0]))[::-1]

    def part(share: float) -> Array:
        kept = max(1, round(share * len(ranked)))
        return np.asarray(source + change * (np.abs(change) >= ranked[kept - 1]), np.float32)

    return Flip("flips", _least(lambda share: over(source + np.float32(share) * change)),
                _least(lambda share: over(part(share))))  # fmt: skip


def _least(flips: Callable[[float], tuple[bool, bool]]) -> float:
    """The smallest share in 1/64 at which both hold, if they hold from there on."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if all(flips(middle)) else (middle, high)
    return high
