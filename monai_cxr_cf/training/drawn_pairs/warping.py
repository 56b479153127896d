# SPDX-License-Identifier: Apache-2.0
"""A radiograph and its organ labels in; the same radiograph with a wider or narrower heart out.

The heart's borders move by a smooth displacement of the picture itself: the heart keeps the
patient's own texture, the lung beside it is compressed or stretched, the rest stays. The label map
is moved alike, and tells the cardiothoracic ratio that was reached.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    distance_transform_edt,
    gaussian_filter,
    gaussian_filter1d,
    map_coordinates,
)

from monai_cxr_cf.training.drawn_pairs.drawing import LUNG, Image, Labels, box
from monai_cxr_cf.training.drawn_pairs.grounding import LARGE_HEART, heart_ratio

# Cardiothoracic ratios above the view's limit for an enlarged heart.
BEYOND = {"mild": (0.02, 0.045), "moderate": (0.06, 0.1), "severe": (0.12, 0.17)}
NORMAL_RATIO = {"PA": (0.41, 0.47), "AP": (0.44, 0.5)}
_LEAST_GAP = 0.1  # of a lung's width that stays between heart and lateral wall
_SEEN = 0.1  # of full range, between heart and lung beside it
Field = NDArray[np.float32]  # (2, S, S): where each pixel is taken from, relative to itself


def limit(view: str) -> float:
    """Ratio above which a heart is called enlarged in this view (PA, AP or "")."""
    return LARGE_HEART.get(view[:2], 0.56)


def degree(ratio: float, view: str) -> str:
    """Word for a ratio: "" (not enlarged), mild, moderate or severe."""
    over = ratio - limit(view)
    if over <= 0:
        return ""
    return "mild" if over < 0.05 else "moderate" if over < 0.11 else "severe"


def enlarge_heart(
    image: Image, labels: Labels, severity: str, *, view: str, rng: np.random.Generator
) -> tuple[Image, Image, float]:
    """The image with an enlarged heart, the weight 0..1 of what changed, and the ratio reached.

    ``severity`` mild, moderate or severe sets the wanted ratio; there must be a heart in the map.
    """
    wanted = limit(view) + rng.uniform(*BEYOND[severity])
    out, weight, ratio = resize_heart(image, labels, wanted, rng=rng)
    denser = gaussian_filter(weight, 2) * rng.uniform(0.0, 0.03) * (severity != "mild")
    return np.clip(out + denser, 0, 1).astype(np.float32), weight, ratio


def shrink_heart(
    image: Image, labels: Labels, *, view: str, rng: np.random.Generator
) -> tuple[Image, Image, float]:
    """The image with a heart of normal width, the weight of what changed, and the ratio reached."""
    low, high = NORMAL_RATIO.get(view[:2], (0.43, 0.49))
    return resize_heart(image, labels, rng.uniform(low, high), rng=rng)


def border_seen(image: Image, labels: Labels) -> bool:
    """Whether lung stands out darker beside the heart on both sides, so that a border can move."""
    heart = labels == 3
    inner = heart & (distance_transform_edt(heart) > 3) & (distance_transform_edt(heart) < 12)
    outer = distance_transform_edt(~heart)
    middle, differences = int(np.flatnonzero(heart.any(0)).mean()), []
    for side in LUNG.values():
        half = np.zeros_like(heart)
        half[:, slice(0, middle) if side == LUNG["right"] else slice(middle, None)] = True
        beside = (labels == side) & (outer > 3) & (outer < 14)
        if beside.sum() < 40 or (inner & half).sum() < 40:
            return False
        differences.append(float(image[inner & half].mean() - image[beside].mean()))
    return min(differences) > _SEEN


def resize_heart(
    image: Image, labels: Labels, wanted: float, *, rng: np.random.Generator
) -> tuple[Image, Image, float]:
    """Move the heart's borders until the cardiothoracic ratio is ``wanted`` or space ends."""
    shares = (1.0, rng.uniform(0.2, 0.45))  # of the left and of the right border's way
    drop = rng.uniform(0.1, 0.3)
    _, _, left, right = box(labels > 0)
    reach = (wanted - heart_ratio(labels)) * (right - left + 1) / sum(shares)
    for _ in range(4):
        field = displacement(labels, reach, shares=shares, drop=drop)
        ratio = heart_ratio(move(labels, field))
        missing = (wanted - ratio) * (right - left + 1)
        if abs(missing) < 1:
            break
        reach += missing / sum(shares)
    out = move(image, field)
    weight = np.clip(np.abs(gaussian_filter(out - image, 1.5)) / 0.06, 0, 1)
    return out, weight.astype(np.float32), ratio


def move(image: NDArray, field: Field) -> NDArray:  # type: ignore[type-arg]
    """An image (bilinear) or a label map (nearest) displaced by a field."""
    grid = np.mgrid[: image.shape[0], : image.shape[1]] + field
    order = 0 if image.dtype == np.uint8 else 1
    moved = map_coordinates(image, grid, order=order, mode="nearest")
    if order == 0:
        return np.asarray(moved)
    still = np.abs(field).max(0) < 0.02
    return np.where(still, image, moved).astype(np.float32)


def displacement(
    labels: Labels, reach: float, *, shares: tuple[float, float], drop: float
) -> Field:
    """Field that moves the left (right) border outward by ``reach`` x ``shares`` pixels.

    Negative reach moves it inward. ``drop`` is how far the apex goes down, as a share of the way.
    """
    field = np.zeros((2, *labels.shape), np.float32)
    for side, share in zip(("left", "right"), shares, strict=True):
        across = _one_side(labels, side, reach * share)
        field[1] += across if side == "left" else -across
        if side == "left":
            field[0] += drop * across * _below(labels)
    return gaussian_filter(field, (0, 2.0, 2.0)).astype(np.float32)


def _below(labels: Labels) -> Field:
    """0 at the heart's top to 1 at its widest rows and below, (S, 1)."""
    top, bottom, *_ = box(labels == 3)
    rows = np.arange(labels.shape[0], dtype=np.float32)
    return np.clip((rows - top) / (0.7 * (bottom - top)), 0, 1)[:, None] ** 2


def _one_side(labels: Labels, side: str, reach: float) -> Field:
    """Signed shift of columns, positive outward seen from the midline, for one border."""
    heart = labels == 3
    flip = side == "right"
    heart_, lung = (m[:, ::-1] if flip else m for m in (heart, labels == LUNG[side]))
    top, bottom, first, last = box(heart_)
    border, middle = _borders(heart_, top, bottom), 0.5 * (first + last)
    wall = float(box(lung)[3])
    space = np.maximum(wall - border, 1.0)
    reach_row = np.minimum(reach, space * (1 - _LEAST_GAP)) * _profile(labels.shape[0], top, bottom)
    columns = np.arange(labels.shape[1], dtype=np.float32)[None]
    edge = (border + reach_row)[:, None]  # where the border lies afterwards
    inside = np.clip((columns - middle) / np.maximum(edge - 3 - middle, 4), 0, 1) ** 1.2
    fade = np.maximum(2.2 * np.abs(reach_row), 14)[:, None]
    beyond = np.clip((columns - edge - 2) / np.minimum(fade, np.maximum(wall - edge + 4, 6)), 0, 1)
    outside = 1 - beyond * beyond * (3 - 2 * beyond)
    shift = -reach_row[:, None] * np.where(columns < edge, inside, outside)
    return shift[:, ::-1] if flip else shift


def _borders(heart: NDArray[np.bool_], top: int, bottom: int) -> NDArray[np.float32]:
    """Column of the outer (high) border per row, smoothed, held above and below the heart."""
    edge = (heart.shape[1] - 1 - heart[:, ::-1].argmax(1)).astype(np.float32)
    edge[:top], edge[bottom + 1 :] = edge[top], edge[bottom]
    widest = int(np.argmax(np.where(heart.any(1), edge, -1)))
    edge[widest:] = np.maximum(edge[widest:], edge[widest] - 10)  # the apex hangs over the base
    return gaussian_filter1d(edge, 3)


def _profile(height: int, top: int, bottom: int) -> NDArray[np.float32]:
    """Share of the way by row: none above the heart, all at the apex, fading below the heart."""
    rows = np.arange(height, dtype=np.float32)
    share = (rows - top) / max(1, bottom - top)
    rise = np.clip((share + 0.12) / 0.75, 0, 1)
    fall = np.clip(1 - (share - 0.95) / 0.5, 0, 1)
    smooth = (rise * rise * (3 - 2 * rise)) * (fall * fall * (3 - 2 * fall))
    return np.asarray(smooth, np.float32)
