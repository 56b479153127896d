# SPDX-License-Identifier: Apache-2.0
"""Which part of a change moves the score: the change put in and taken out organ by organ.

Since nothing else changed, the parts of the change are all there is. The share of an organ is its
Shapley value over right lung, left lung, heart and rest: exact, and the shares sum to the whole.
"""

from collections.abc import Callable, Sequence
from itertools import chain, combinations
from math import factorial

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.zones import zone_mask
from monai_cxr_cf.errors import UnsupportedImage

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Scores = NDArray[np.float64]
Score = Callable[[Sequence[Array]], Scores]
ZONES = ("upper", "mid", "lower", "costophrenic")
BLOCKS = 64  # of a scrambled change, along the shorter side
SEEN = 0.5 / 255  # a part that changed less than this everywhere did not change


def organ_parts(organs: Organs) -> dict[str, Mask]:
    """The whole picture in four parts without overlap."""
    found = {"right_lung": organs.right_lung, "left_lung": organs.left_lung, "heart": organs.heart}
    return {**found, "rest": ~organs.union}


def zone_parts(organs: Organs) -> dict[str, Mask]:
    """Both lungs in zones without overlap: the costophrenic angle is cut out of the lower third."""
    found: dict[str, Mask] = {}
    for side in ("right", "left"):
        masks = {zone: _zone(organs, zone, side) for zone in ZONES}
        masks["lower"] = masks["lower"] & ~masks["costophrenic"]
        found |= {f"{side}_{zone}": mask for zone, mask in masks.items()}
    return found


def _zone(organs: Organs, zone: str, side: str) -> Mask:
    try:
        return zone_mask(organs, zone, side)
    except UnsupportedImage:
        return np.zeros(organs.shape, bool)


def changed_parts(parts: dict[str, Mask], change: Array) -> dict[str, Mask]:
    """Those in which something changed."""
    there = np.abs(change) > SEEN
    return {name: mask for name, mask in parts.items() if (mask & there).any()}


def shapley(
    score: Score, source: Array, change: Array, parts: dict[str, Mask]
) -> dict[str, Scores]:
    """What each part of the change adds to the scores, (labels,) each; they sum to the whole.

    Args:
        score: images -> (N, labels).
        source: H x W.
        change: H x W, added to the source part by part.
        parts: without overlap; together they hold all that changed.
    """
    names = list(changed_parts(parts, change))
    sets = list(chain.from_iterable(combinations(names, n) for n in range(len(names) + 1)))
    masks = [np.any([np.zeros(source.shape, bool), *(parts[n] for n in s)], axis=0) for s in sets]
    values = score([source + change * mask for mask in masks])
    worth = dict(zip(map(frozenset, sets), values, strict=True))
    found = {name: np.zeros(values.shape[1]) for name in parts}
    count = len(names)
    for name in names:
        for group in (g for g in worth if name not in g):
            size = len(group)
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            found[name] += weight * (worth[group | {name}] - worth[group])
    return found


def in_and_out(
    score: Score, source: Array, change: Array, parts: dict[str, Mask]
) -> dict[str, Scores]:
    """The mean of what a part adds to the source and what its absence takes from the edit."""
    names = list(changed_parts(parts, change))
    if not names:
        return {}
    inserted = [source + change * parts[name] for name in names]
    deleted = [source + change * ~parts[name] for name in names]
    values = score([source, source + change, *inserted, *deleted])
    first, last, count = values[0], values[1], len(names)
    gains = values[2 : 2 + count] - first
    losses = last - values[2 + count :]
    return dict(zip(names, (gains + losses) / 2, strict=True))


def mirrored(change: Array, organs: Organs) -> Array:
    """The same change on the other side of the chest, about the midline of the lungs."""
    columns = np.flatnonzero(organs.lungs.any(axis=0))
    width = change.shape[1]
    middle = int(columns[0] + columns[-1]) if columns.size else width - 1
    found = np.zeros_like(change)
    target = middle - np.arange(width)
    inside = (target >= 0) & (target < width)
    found[:, target[inside]] = change[:, inside]
    return found


def scrambled(change: Array) -> Array:
    """As large a change at every pixel, but without meaning: up and down like a chessboard."""
    block = max(2, min(change.shape) // BLOCKS)
    rows, columns = (np.arange(length) // block for length in change.shape)
    signs = 1 - 2 * ((rows[:, None] + columns) % 2)
    return np.asarray(np.abs(change) * signs, np.float32)


def outside(change: Array, organs: Organs) -> Array | None:
    """The same change moved to where no organ is; None if it fits nowhere."""
    rows, columns = (np.flatnonzero((np.abs(change) > SEEN).any(axis)) for axis in (1, 0))
    if not rows.size:
        return None
    patch = change[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    sums = np.pad(organs.union.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = patch.shape
    covered = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]
        + sums[:-height, :-width]
    )  # fmt: skip
    at = int(np.argmin(covered))
    top, left = divmod(at, change.shape[1] - width + 1)
    if covered[top, left] > 0:
        return None
    found = np.zeros_like(change)
    found[top : top + height, left : left + width] = patch
    return found
