# SPDX-License-Identifier: Apache-2.0
"""Figures of masks: overlap of two, and widths of heart and thorax."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
LUNGS = ("right_lung", "left_lung")
BRIGHTEST = 95  # percentile of a mediastinum that is as bright as its patient gets


def dice(a: Mask, b: Mask) -> float:
    """2 |A and B| / (|A| + |B|); 1 for two empty masks."""
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2 * int((a & b).sum()) / total


def cardiothoracic_ratio(organs: Mapping[str, Mask]) -> float | None:
    """Widest heart over widest thorax, in columns; None without heart or lungs."""
    heart = organs.get("heart")
    lungs = [organs[name] for name in LUNGS if name in organs]
    if heart is None or not heart.any() or not lungs:
        return None
    thorax = np.logical_or.reduce(lungs)
    return None if not thorax.any() else _width(heart) / _width(thorax)


def mediastinum(organs: Mapping[str, Mask]) -> Mask:
    """Heart, spine and vessels: what lies between the lungs, row by row, and the heart."""
    right, left = (organs[name] for name in LUNGS)
    found = organs["heart"].copy() if "heart" in organs else np.zeros_like(right)
    for row in np.flatnonzero(right.any(axis=1) & left.any(axis=1)):
        one, other = np.flatnonzero(right[row]), np.flatnonzero(left[row])
        if one[0] > other[0]:
            one, other = other, one
        found[row, one[-1] + 3 : max(other[0] - 2, 0)] = True
    return np.asarray(found & ~right & ~left)


def box_of(mask: Mask, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns that a mask touches, and ``margin`` more on each side; all if it is empty.

    What is computed in it costs what the mask costs, not what the picture does.
    """
    found = []
    for axis in (1, 0):
        touched = np.flatnonzero(mask.any(axis=axis))
        first, last = (touched[0], touched[-1]) if touched.size else (0, mask.shape[1 - axis])
        found.append(slice(max(0, int(first) - margin), int(last) + 1 + margin))
    return found[0], found[1]


def centre_of(mask: Mask) -> NDArray[np.float64]:
    """Row and column of the centre of mass of a mask that is not empty."""
    along = [mask.sum(axis=1, dtype=np.int64), mask.sum(axis=0, dtype=np.int64)]
    return np.array([int(n @ np.arange(n.size)) / int(n.sum()) for n in along])


def _width(mask: Mask) -> int:
    columns = np.flatnonzero(mask.any(axis=0))
    return int(columns[-1] - columns[0] + 1)
