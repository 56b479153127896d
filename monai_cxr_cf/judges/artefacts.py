# SPDX-License-Identifier: Apache-2.0
"""What an eye sees and a mean does not: glare, flat edges, holes in the heart, lost borders.

Each check measures what the edit made and the source does not have, on a grid of 256 pixels, so
that its limits (``Limits``) mean the same at every size. Distances and areas are pixels of that
grid, heights grey levels of 255. A check whose organ was not found is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.judges.evidence import Check, Evidence, Limits
from monai_cxr_cf.measures.masks import BRIGHTEST, LUNGS, box_of, mediastinum

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
NAMES = ("glare", "flat_edge", "lung_border", "hole")
SIDE, GREY = 256, 255.0
DENSER = 6.0  # grey levels from which a smoothed change counts as added density
BLOB = (1.5, 6.0)  # a blob stands out from a mean over this many pixels more than over those
STANDS_OUT = 3.0  # by this many grey levels, and by as many more than what the source has there
EDGE, STEEP = 20.0, 4  # an edge is seen where the change falls by that many grey levels within
# that many pixels on either side
STRAIGHT = 3  # pixels that a straight edge may rise or fall by
HOLE_AREA = 12  # pixels that a hole has at least: some 5 mm across in a chest of 35 cm
SEEN, LOST = 15.0, 0.4  # contrast of a border that is seen; share of it below which it is lost
RIM = (3, 4, 5, 6)  # pixels inside and outside an outline whose means make its contrast


@dataclass(frozen=True)
class Small:
    """The evidence on the small grid, in grey levels."""

    source: Array
    change: Array
    region: Mask  # of all findings
    covered: Mask  # regions of those findings that may hide a lung's borders
    before: dict[str, Mask]
    heart: Mask  # of the source; of the counterfactual if its size is what was asked


def artefacts(evidence: Evidence, limits: Limits) -> list[Check]:
    """The four checks, those left out whose organ is missing."""
    small = reduced(evidence)
    lungs = [name for name in LUNGS if small.before.get(name, np.zeros(1, bool)).any()]
    found = []
    if len(lungs) == len(LUNGS):
        found.append(_glare(small, limits))
    if lungs:
        found += [_flat_edge(small, limits), _lung_border(small, limits)]
    if small.before.get("heart", np.zeros(1, bool)).any():
        found.append(_hole(small, limits))
    return found


def reduced(evidence: Evidence) -> Small:
    """Means over the pixels of the small grid; a mask is where it covers more than half."""
    rows, columns = ModelGrid((evidence.source.shape[0], evidence.source.shape[1]), SIDE).inner

    def small(image: NDArray[np.generic]) -> Array:
        picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
        return np.asarray(picture.resize((columns, rows), Image.Resampling.BOX), np.float32)

    none = np.zeros(evidence.source.shape, bool)
    heart = evidence.before.get("heart", none)
    now = evidence.after.get("heart", none)
    if now.any() and any(item.measure == "heart" for item in evidence.expected):
        heart = now
    region = np.logical_or.reduce([none, *(item.region for item in evidence.expected)])
    covers = [item.region for item in evidence.expected if item.covers]
    return Small(
        small(evidence.source) * np.float32(GREY),
        small(evidence.change) * np.float32(GREY),
        small(region) > 0.5,
        small(np.logical_or.reduce([none, *covers])) > 0.5,
        {name: small(mask) > 0.5 for name, mask in evidence.before.items()},
        small(heart) > 0.5,
    )


def _smooth(image: Array, sigma: float) -> Array:
    return np.asarray(ndimage.gaussian_filter(image, sigma), np.float32)


def _at_most(name: str, value: float, limit: float, said: str, *, form: str, digits: int) -> Check:
    """The check of a value that may reach its limit; ``said`` puts it in words."""
    words = said.format(value)
    words += "" if value <= limit else f" (at most {limit:{form}} expected)"
    return Check(name, round(value, digits), limit, value <= limit, words)


def _glare(small: Small, limits: Limits) -> Check:
    said = "{:.1%} of the added density is blobs brighter than the mediastinum"
    return _at_most("glare", glare(small), limits.glare, said, form=".1%", digits=4)


def glare(small: Small) -> float:
    """Share of the added density that is glare or mottling.

    That is blobs brighter than this patient's mediastinum which stand out from their surroundings
    and from what was added around them, where the source has nothing that stands out as much.
    """
    added = _smooth(small.change, 2) > DENSER
    middle = mediastinum(small.before)
    if not added.any() or not middle.any():
        return 0.0
    edited = small.source + small.change
    own = ndimage.maximum_filter(_prominence(small.source), 3)
    rise = np.minimum(_prominence(edited), _prominence(edited, added))
    new = rise - np.maximum(own, 0)
    bright = _smooth(edited, BLOB[0]) > np.percentile(small.source[middle], BRIGHTEST)
    return float((added & bright & (new > STANDS_OUT)).sum() / added.sum())


def _prominence(image: Array, among: Mask | None = None) -> Array:
    """How far each pixel stands out from the mean around it, of the pixels ``among`` if given."""
    weight = (np.ones_like(image, bool) if among is None else among).astype(np.float32)
    around = _smooth(image * weight, BLOB[1]) / np.maximum(_smooth(weight, BLOB[1]), 1e-3)
    return np.asarray(_smooth(image, BLOB[0]) - around, np.float32)


def _flat_edge(small: Small, limits: Limits) -> Check:
    said = "a straight level edge cuts {:.0%} of the region's width"
    return _at_most("flat_edge", flat_edge(small), limits.flat_edge, said, form=".0%", digits=3)


def flat_edge(small: Small) -> float:
    """Longest straight level edge of the change within a lung, over the region's width there.

    Fluid has a meniscus and solid lung no ruler: a level edge is that of a region or of its band.
    Looked for above the region and below it, where lung goes on beyond.
    """
    found = 0.0
    for name in LUNGS:
        lung = small.before.get(name)
        if lung is None:
            continue
        pieces, count = ndimage.label(small.region & lung)
        for number in range(1, count + 1):
            piece = pieces == number
            if piece.sum() >= SIDE // 2:
                size = np.abs(_smooth(small.change, 1.5))
                found = max(found, _level(piece, lung, size))
                found = max(found, _level(piece[::-1], lung[::-1], size[::-1]))
    return found


def _level(piece: Mask, lung: Mask, size: Array) -> float:
    """Share of the columns of ``piece`` along whose top the change falls to half on one level."""
    columns = np.flatnonzero(piece.any(axis=0))
    levels = [_half(np.flatnonzero(piece[:, x]), lung[:, x], size[:, x]) for x in columns]
    longest = 0
    for first in range(len(levels)):
        low, high = np.inf, -np.inf
        for last in range(first, len(levels)):
            low, high = min(low, levels[last]), max(high, levels[last])
            if np.isnan(levels[last]) or high - low > STRAIGHT:
                break
            longest = max(longest, last - first + 1)
    return longest / len(columns)


def _half(rows: NDArray[np.intp], lung: NDArray[np.bool_], size: NDArray[np.float32]) -> float:
    """Row in one column at which the change falls to half of what it is in the region, or NaN."""
    top, beyond = rows[0], max(rows[0] - 4, 0)
    if len(rows) < 4 or top < 4 or not lung[beyond]:
        return float("nan")
    full = float(np.median(size[rows[: max(4, len(rows) // 2)]]))
    row = top + len(rows) // 4
    while row > 0 and size[row] >= full / 2:
        row -= 1
    if row < STEEP:
        return float("nan")
    fall = float(size[min(row + STEEP, len(size) - 1)] - size[row - STEEP + 1])
    return float(row) if fall >= EDGE else float("nan")


def _hole(small: Small, limits: Limits) -> Check:
    said = "the deepest dark spot made inside the heart is {:.2g} of 255 grey levels deep"
    return _at_most("hole", hole(small), limits.hole, said, form="g", digits=2)


def hole(small: Small) -> float:
    """How deep the deepest dark spot is that the edit made within the heart, grey levels.

    A spot counts that is closed on all sides and larger than ``HOLE_AREA``; its depth is that to
    its lowest rim, less what the source has within two pixels of it.
    """
    heart = ndimage.binary_erosion(small.heart, iterations=2)
    if not heart.any():
        return 0.0
    near = box_of(heart, 2)
    before, after = (_smooth(im, 1)[near] for im in (small.source, small.source + small.change))
    own = ndimage.maximum_filter(_depth(before, heart[near]), 5)
    made = _depth(after, heart[near]) - own
    made[_smooth(np.abs(small.change), 2)[near] <= 2] = 0
    return max(0.0, float(np.sort(made, axis=None)[-HOLE_AREA:][0]))


def _depth(image: Array, mask: Mask) -> Array:
    """How far each pixel lies below the level up to which it would fill before it ran out."""
    floor = np.where(mask, image, image.min() - 1)
    level = np.where(ndimage.binary_erosion(mask), floor.max(), floor)
    while True:
        lower = np.maximum(ndimage.grey_erosion(level, size=(3, 3)), floor)
        if (lower == level).all():
            return np.asarray(np.where(mask, level - floor, 0), np.float32)
        level = lower


def _lung_border(small: Small, limits: Limits) -> Check:
    said = "{:.0%} of the lung borders that the source shows are gone"
    return _at_most(
        "lung_border", lung_border(small), limits.lung_border, said, form=".0%", digits=3
    )


def lung_border(small: Small) -> float:
    """Share of the lateral and lower lung borders seen in the source that the edit wiped out.

    Not counted where a finding lies that may hide them, as an effusion hides the diaphragm.
    """
    hidden = ndimage.binary_dilation(small.covered, iterations=6)
    before, after = (_smooth(im, 1) for im in (small.source, small.source + small.change))
    seen = lost = 0
    for rows, columns, normal in _outlines(small.before):
        at = (rows, columns, normal)
        was, now = _contrast(before, *at), _contrast(after, *at)
        shown = (was > SEEN) & ~hidden[rows, columns]
        seen += int(shown.sum())
        lost += int((shown & (now < LOST * was)).sum())
    return lost / seen if seen >= 20 else 0.0


def _outlines(
    organs: dict[str, Mask],
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], Array]]:
    """Rows, columns and inward normals (2, n) of lateral and lower borders below the apices."""
    lungs = {name: organs[name] for name in LUNGS if name in organs and organs[name].any()}
    middle = np.mean([np.flatnonzero(mask.any(axis=0)).mean() for mask in lungs.values()])
    for mask in lungs.values():
        distance = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
        slope = np.asarray(np.gradient(_smooth(distance, 1.5)), np.float32)
        edge = mask & ~ndimage.binary_erosion(mask)
        edge[:3] = edge[-3:] = edge[:, :3] = edge[:, -3:] = False
        high = np.flatnonzero(mask.any(axis=1))
        edge[: high[0] + (high[-1] - high[0]) // 4] = False
        own = np.flatnonzero(mask.any(axis=0)).mean()
        normal = slope / (np.hypot(*slope) + 1e-6)
        lateral = (np.arange(mask.shape[1]) - own) * (own - middle) > 0
        edge &= lateral[None] | (normal[0] < -0.5)
        rows, columns = np.nonzero(edge)
        yield rows, columns, np.asarray(normal[:, rows, columns], np.float32)


def _contrast(
    image: Array, rows: NDArray[np.intp], columns: NDArray[np.intp], normal: Array
) -> Array:
    """How much brighter it is outside an outline than inside, point by point."""
    at = np.stack([rows, columns])
    sides = [
        np.mean([ndimage.map_coordinates(image, at + way * d * normal, order=1) for d in RIM], 0)
        for way in (-1, 1)
    ]
    return np.asarray(sides[0] - sides[1], np.float32)
