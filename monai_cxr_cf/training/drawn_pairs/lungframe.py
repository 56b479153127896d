# SPDX-License-Identifier: Apache-2.0
"""A lung's outline in; maps between its pixels and one common lung frame, and its grey levels, out.

The frame is the same for right and left lungs of all patients (rows run from apex to base, columns
from the lateral wall to the heart), so what one lung shows can be carried into another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import PIL.Image
import PIL.ImageDraw
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import (
    binary_dilation,
    binary_erosion,
    distance_transform_edt,
    gaussian_filter,
    map_coordinates,
)

from monai_cxr_cf.training.drawn_pairs.drawing import LUNG, Image, Labels, box, soft, tissue

FRAME = (128, 72)  # rows, columns of the frame; the lung fills it but for MARGIN
MARGIN = 8
_WALL, _BASE, _HEART = 10, 6, 10  # outline points along lateral wall, diaphragm, medial border
Points = NDArray[np.float64]


def outline(lung: NDArray[np.bool_], side: str) -> Points:
    """(26, 2) row, column of matching points: wall downward, diaphragm inward, medial upward."""
    flipped = lung if side == "right" else lung[:, ::-1]  # now the wall is at low columns
    top, bottom, _, right = box(flipped)
    rows, columns = np.nonzero(flipped)
    lowest = bottom - max(1, round(0.02 * (bottom - top)))
    low = rows > top + 0.6 * (bottom - top)
    corner = int(np.argmax(np.where(low, rows + 1.0 * columns, -1)))
    inner_row, inner_column = int(rows[corner]), int(columns[corner])
    first, last = flipped.argmax(1), flipped.shape[1] - 1 - flipped[:, ::-1].argmax(1)
    wall = np.linspace(top + 1, lowest, _WALL).round().astype(int)
    points = [(row, first[row]) for row in wall]
    span = np.linspace(first[lowest], max(inner_column, first[lowest] + 2), _BASE + 2)[1:-1]
    for column in span.round().astype(int):
        inside = np.flatnonzero(flipped[:, min(column, right)])
        points.append((inside[-1] if len(inside) else inner_row, column))
    medial = np.linspace(min(inner_row, lowest), top + 1, _HEART).round().astype(int)
    points += [(row, last[row]) for row in medial]
    found = np.array(points, np.float64)
    if side == "left":
        found[:, 1] = lung.shape[1] - 1 - found[:, 1]
    return found


def _common() -> Points:
    """Outline of the frame's own lung: a dome with a slanting base."""
    rows, columns = FRAME[0] - 2 * MARGIN, FRAME[1] - 2 * MARGIN
    wall = [(v, 0.42 * (1 - v) ** 2.2) for v in np.linspace(0.0, 1.0, _WALL)]
    base = [
        (1 - 0.14 * u**0.7 - 0.05 * np.sin(np.pi * u), u)
        for u in np.linspace(0, 1, _BASE + 2)[1:-1]
    ]
    medial = [(v, 1 - 0.32 * (1 - v / 0.86) ** 3) for v in np.linspace(0.86, 0.0, _HEART)]
    return np.array([*wall, *base, *medial]) * (rows, columns) + MARGIN


COMMON = _common()


def _inside() -> NDArray[np.bool_]:
    """Pixels of the frame that are lung, a rim of two pixels left out."""
    canvas = PIL.Image.new("L", FRAME[::-1])
    PIL.ImageDraw.Draw(canvas).polygon([(c, r) for r, c in COMMON.tolist()], fill=1)
    return binary_erosion(np.asarray(canvas) > 0, iterations=2)


INSIDE = _inside()
_NEAREST = distance_transform_edt(~INSIDE, return_distances=False, return_indices=True)


def spread_out(framed: Image) -> Image:
    """A map in the frame with what lies outside the lung taken from the lung's nearest pixel."""
    return np.asarray(framed[tuple(_NEAREST)])


@dataclass(frozen=True)
class LungFrame:
    """One lung's two maps: image -> frame and frame -> image."""

    points: Points  # outline in the image
    shape: tuple[int, int]

    @staticmethod
    def of(labels: Labels, side: str) -> LungFrame:
        """The frame of a lung that is in the labels."""
        return LungFrame(outline(labels == LUNG[side], side), labels.shape)

    def pull(self, image: Image, order: int = 1) -> Image:
        """The lung as the frame shows it, (128, 72)."""
        at = self._in_image
        return np.asarray(map_coordinates(image, at, order=order, mode="nearest"), np.float32)

    def push(self, framed: Image) -> Image:
        """A map in the frame, on the lung's own pixels; 0 far from the lung."""
        low, high = self._corners
        out = np.zeros(self.shape, np.float32)
        part = map_coordinates(framed, self._in_frame, order=1, mode="nearest")
        out[low[0] : high[0], low[1] : high[1]] = part
        return out

    @property
    def _corners(self) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        low = np.maximum(self.points.min(0).astype(int) - 12, 0)
        return low, np.minimum(self.points.max(0).astype(int) + 13, self.shape)

    @cached_property
    def _in_image(self) -> NDArray[np.float64]:
        return _spline(COMMON, self.points, FRAME, (0, 0))

    @cached_property
    def _in_frame(self) -> NDArray[np.float64]:
        low, high = self._corners
        return _spline(self.points, COMMON, tuple(high - low), tuple(low))


class Chest:
    """A radiograph with its labels, and what is needed of its lungs, reckoned once."""

    def __init__(self, image: Image, labels: Labels) -> None:
        self.image, self.labels = image, labels
        self._frames: dict[str, LungFrame] = {}
        self._fields: dict[str, Image] = {}
        self._edges: dict[tuple[str, bool], Image] = {}

    def frame(self, side: str) -> LungFrame:
        """The frame of the right or left lung."""
        if side not in self._frames:
            self._frames[side] = LungFrame.of(self.labels, side)
        return self._frames[side]

    def field(self, side: str) -> Image:
        """``tissue_field`` of a side."""
        if side not in self._fields:
            self._fields[side] = tissue_field(self.image, self.labels, side)
        return self._fields[side]

    def edge(self, side: str, wide: bool = False) -> Image:
        """A lung's mask with a soft rim, 0..1; ``wide`` takes in the borders of its neighbours."""
        if (side, wide) not in self._edges:
            mask = soft(self.lung(side), 3.0 if wide else 1.6)
            self._edges[side, wide] = np.clip(2.2 * mask, 0, 1) if wide else mask
        return self._edges[side, wide]

    def lung(self, side: str) -> NDArray[np.bool_]:
        """Pixels of a lung."""
        return self.labels == LUNG[side]


def _spline(
    known: Points, wanted: Points, shape: tuple[int, ...], origin: tuple[int, ...]
) -> NDArray[np.float64]:
    """Thin-plate spline ``known`` -> ``wanted`` on a grid of every second pixel, then filled in."""
    _, keep = np.unique(known.round(1), axis=0, return_index=True)
    spline = RBFInterpolator(
        known[keep], wanted[keep], kernel="thin_plate_spline", smoothing=3.0, degree=1
    )
    steps = [np.arange(0, n + 4, 4) for n in shape]
    grid = np.stack(np.meshgrid(*steps, indexing="ij"), -1)
    coarse = spline(grid.reshape(-1, 2) + np.array(origin)).reshape(*grid.shape)
    fine = np.indices(shape) / 4.0
    return np.stack([map_coordinates(coarse[..., k], fine, order=1) for k in (0, 1)])


def lung_level(image: Image, labels: Labels) -> float:
    """Grey level of clear lung: the darker side's lower fifth, so an opaque side is left out."""
    return min(float(np.percentile(image[labels == n], 20)) for n in LUNG.values())


def tissue_field(image: Image, labels: Labels, side: str) -> Image:
    """What solid lung would look like at each place: the soft tissue around it, smoothly filled in.

    Near the heart it is as bright as the heart, near the diaphragm as the abdomen, at the wall as
    the wall, so that an opacity hides these borders as fluid and consolidation do.
    """
    lung = labels == LUNG[side]
    level = tissue(image, labels, lung)
    near = binary_dilation(lung, iterations=24) & ~binary_dilation(labels % 3 > 0, iterations=4)
    near &= image > level - 0.22
    top, bottom, *_ = box(lung)
    near[: top + (bottom - top) // 4] = False
    weight = _blur(near.astype(np.float32))
    filled = _blur(np.where(near, image, 0).astype(np.float32))
    trust = weight / (weight + 0.02)
    field = trust * filled / np.maximum(weight, 1e-6) + (1 - trust) * level
    height = np.clip((np.arange(image.shape[0]) - top) / (bottom - top), 0, 1)[:, None]
    field = np.clip(field, level - 0.06, level + 0.3) - 0.09 * (1 - height) ** 1.5
    return np.clip(field, 0, 0.97).astype(np.float32)


def fluid_field(chest: Chest, side: str) -> Image:
    """What a lung full of fluid looks like: its field, turning into the abdomen at the bottom."""
    field, lung = chest.field(side), chest.lung(side)
    top, bottom, left, right = box(lung)
    under = slice(min(bottom + 4, chest.image.shape[0] - 4), bottom + 20)
    columns = slice(left + (right - left) // 5, right - (right - left) // 5)
    belly = float(np.median(chest.image[under, columns]))
    depth = np.clip((np.arange(chest.image.shape[0]) - top) / (bottom - top), 0, 1)[:, None] ** 1.5
    return np.asarray(field + depth * np.maximum(belly - 0.02 - field, 0), np.float32)


def _blur(image: Image) -> Image:
    """A wide Gaussian (14 pixels), on a quarter of the grid."""
    height, width = (n // 4 * 4 for n in image.shape)
    small = image[:height, :width].reshape(height // 4, 4, width // 4, 4).mean((1, 3))
    at = (np.mgrid[: image.shape[0], : image.shape[1]] - 1.5) / 4
    blurred = gaussian_filter(small, 3.5)
    return np.asarray(map_coordinates(blurred, at, order=1, mode="nearest"), np.float32)
