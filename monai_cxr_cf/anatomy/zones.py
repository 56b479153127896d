# SPDX-License-Identifier: Apache-2.0
"""Organ masks and words such as ("costophrenic", "left") in, the region they mean out.

Every zone of docs/method.md 7, measured on the organ's own extent. Left and right are the
patient's: medial is where the other lung lies, so a mirrored image gives mirrored zones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.errors import BadRequest, UnsupportedImage

Mask = NDArray[np.bool_]
Side = str | None  # left, right, both, or None
MIDLINE = ("retrocardiac", "cardiac_silhouette")
RIM = 0.15  # share of the lung's width that counts as its lateral rim
MENISCUS = (0.7, 0.22)  # top of free fluid: height at the hilum's side, rise to the lateral wall
SPARED = 0.08  # of the thorax's width: how far the inner lung keeps from the lung's border


def region_mask(organs: Organs, terms: Sequence[tuple[str, Side]]) -> Mask:
    """Union of ``zone_mask`` over (zone, side) terms: H x W bool.

    Raises:
        BadRequest: no term, an unknown zone or side.
        UnsupportedImage: a term covers no pixel.
    """
    if not terms:
        raise BadRequest(
            "The region has no zone.", hint="Name a zone such as lower, or draw --roi."
        )
    union = np.zeros(organs.shape, bool)
    for zone, side in terms:
        union |= zone_mask(organs, zone, side)
    return union


def zone_mask(organs: Organs, zone: str, side: Side) -> Mask:
    """One zone: H x W bool on the organs' grid.

    Args:
        organs: lungs and heart.
        zone: upper, mid, lower (thirds), apical (top 20 %), costophrenic (lowest 25 %, lateral
            half), pleural_base (the lowest 30 %, rising to 52 % at the wall as a meniscus does),
            perihilar (25-75 % of height, medial 40 % of width), lateral_rim, lung, inner_lung
            (farther from the lung's border than 8 % of thoracic width, or than half of what its
            middle is in a narrow lung), retrocardiac (heart on the patient's left and the medial
            30 % of the left lower zone), cardiac_silhouette (heart grown by 8 % of thoracic width).
        side: left or right lung; both or None: both lungs. The two midline zones are cut at the
            midline when a side is named.

    Raises:
        BadRequest: an unknown zone or side.
        UnsupportedImage: the zone covers no pixel.
    """
    if side not in ("left", "right", "both", None):
        raise BadRequest(f'Unknown side "{side}".', hint="Use left, right, both or none.")
    if zone in MIDLINE:
        mask = _retrocardiac(organs) if zone == "retrocardiac" else _silhouette(organs)
        if side in ("left", "right"):
            mask = mask & _half(organs, side)
    elif zone in _LUNG_ZONES:
        sides = ("right", "left") if side in ("both", None) else (side,)
        mask = np.zeros(organs.shape, bool)
        for one in sides:
            mask |= _lung_zone(organs, zone, one)
    else:
        known = ", ".join((*_LUNG_ZONES, *MIDLINE))
        raise BadRequest(f'Unknown zone "{zone}".', hint=f"Known zones: {known}.")
    if not mask.any():
        named = f"{side} {zone}" if side else zone
        raise UnsupportedImage(
            f"The {named.replace('_', ' ')} zone covers no pixel of this image.",
            code="empty_region",
            hint="Name another side or zone, draw the region (--roi), or pass --masks.",
        )
    return mask


# zone -> is a pixel inside, from its height (0 top, 1 bottom) and depth (0 medial, 1 lateral),
# both measured on the bounding box of the lung.
_LUNG_ZONES: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], Mask]] = {
    "upper": lambda height, depth: height < 1 / 3,
    "mid": lambda height, depth: (height >= 1 / 3) & (height < 2 / 3),
    "lower": lambda height, depth: height >= 2 / 3,
    "apical": lambda height, depth: height < 0.2,
    "costophrenic": lambda height, depth: (height >= 0.75) & (depth >= 0.5),
    "perihilar": lambda height, depth: (height >= 0.25) & (height < 0.75) & (depth < 0.4),
    "lung": lambda height, depth: height < 2,
    "pleural_base": lambda height, depth: height < 2,  # cut by the meniscus below
    "lateral_rim": lambda height, depth: height < 2,  # narrowed row by row below
    "inner_lung": lambda height, depth: height < 2,  # narrowed by distance below
}


def _lung_zone(organs: Organs, zone: str, side: str) -> Mask:
    lung = organs.left_lung if side == "left" else organs.right_lung
    if not lung.any():
        return np.zeros(organs.shape, bool)
    height, depth = _lung_coordinates(organs, side)
    mask = lung & _LUNG_ZONES[zone](height, depth)
    if zone == "lateral_rim":
        mask &= depth > _wall(lung, depth) - RIM
    if zone == "pleural_base":
        towards_wall = np.clip(1 + depth - _wall(lung, depth), 0, 1)
        mask &= height >= MENISCUS[0] - MENISCUS[1] * towards_wall**3
    if zone == "inner_lung":
        columns = np.flatnonzero(organs.lungs.any(0))
        depth_in = ndimage.distance_transform_edt(np.pad(lung, 1))[1:-1, 1:-1]
        mask &= depth_in > min(SPARED * (columns[-1] + 1 - columns[0]), depth_in.max() / 2)
    return np.asarray(mask, bool)


def _lung_coordinates(organs: Organs, side: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Height (H x 1) and depth (1 x W) of pixel centres on the bounding box of one lung."""
    lung = organs.left_lung if side == "left" else organs.right_lung
    rows, columns = np.flatnonzero(lung.any(1)), np.flatnonzero(lung.any(0))
    height = (np.arange(lung.shape[0]) + 0.5 - rows[0]) / (rows[-1] + 1 - rows[0])
    depth = (np.arange(lung.shape[1]) + 0.5 - columns[0]) / (columns[-1] + 1 - columns[0])
    if _towards_left(organs) == (1 if side == "right" else -1):
        depth = 1 - depth  # medial lies at the higher columns
    return height[:, None], depth[None, :]


def _wall(lung: Mask, depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """H x 1: depth of each row's own outermost pixel, since the lateral wall curves."""
    return np.asarray(np.where(lung, depth, -np.inf).max(1, keepdims=True))


def _retrocardiac(organs: Organs) -> Mask:
    left_heart = organs.heart & _half(organs, "left")
    if not organs.left_lung.any():
        return left_heart
    height, depth = _lung_coordinates(organs, "left")
    return left_heart | (organs.left_lung & (height >= 2 / 3) & (depth < 0.3))


def _silhouette(organs: Organs) -> Mask:
    columns = np.flatnonzero(organs.lungs.any(0))
    if not organs.heart.any() or not columns.size:
        return organs.heart.copy()
    radius = 0.08 * (columns[-1] + 1 - columns[0])
    return np.asarray(ndimage.distance_transform_edt(~organs.heart) <= radius, bool)


def _half(organs: Organs, side: str) -> Mask:
    """1 x W bool: columns on the patient's given side of the midline between the lungs."""
    columns = np.arange(organs.shape[1])
    middle = sum(_column(m) for m in (organs.right_lung, organs.left_lung)) / 2
    towards = _towards_left(organs) if side == "left" else -_towards_left(organs)
    return (towards * (columns - middle) > 0)[None, :]


def _towards_left(organs: Organs) -> int:
    """+1 if the patient's left lies at higher columns (a normal frontal), -1 if mirrored.

    With one lung only, the heart tells: it lies medial of either lung.
    """
    if organs.right_lung.any() and organs.left_lung.any():
        step = _column(organs.left_lung) - _column(organs.right_lung)
    elif organs.heart.any():
        heart = _column(organs.heart)
        lung = organs.left_lung if organs.left_lung.any() else organs.right_lung
        step = _column(lung) - heart if organs.left_lung.any() else heart - _column(lung)
    else:
        step = 1.0
    return 1 if step >= 0 else -1


def _column(mask: Mask) -> float:
    """Mean column of a mask; the image's middle if it is empty."""
    weights = mask.sum(0)
    total = weights.sum()
    return float(weights @ np.arange(mask.shape[1]) / total) if total else mask.shape[1] / 2
