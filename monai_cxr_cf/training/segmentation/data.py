# SPDX-License-Identifier: Apache-2.0
"""A data folder in, one in-memory training set for the segmenters out.

Holds the project's split: JSRT by file number, Shenzhen, Montgomery and OpenIST by patient hash.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from monai_cxr_cf.data.folder import Row, load_image, load_landmarks, load_organ_mask, read_index
from monai_cxr_cf.grid import ModelGrid

ORGANS = ("right_lung", "left_lung", "heart")
CONTOUR_SLICES = {"RL": slice(0, 44), "LL": slice(44, 94), "H": slice(94, 120)}


@dataclass(frozen=True)
class SegmentationSet:
    """N radiographs at model size; ``size`` is the side of the padded square."""

    ids: tuple[str, ...]
    images: NDArray[np.uint8]  # (N, size, size)
    labels: NDArray[np.uint8]  # (N, size, size): 0 rest, 1 right lung, 2 left lung, 3 heart
    known: NDArray[np.bool_]  # (N, 3): is this organ drawn in ``labels``
    landmarks: NDArray[np.float32]  # (N, 120, 2) fractions of the square, 0 where unknown
    marked: NDArray[np.bool_]  # (N, 3): are this contour's landmarks known
    distance: NDArray[np.float16]  # (N, 2, size, size): distance to each lung's outline, pixels


def in_training(row: Row) -> bool:
    """The split: JSRT odd file numbers, else an even hash of the patient key.

    The file number is JSRT's own, at the end of the patient key: jsrt_JPCLN001 is 1, odd.
    """
    if row.source == "jsrt":
        number = re.search(r"(\d+)$", row.patient)
        return number is not None and int(number.group(1)) % 2 == 1
    if row.source == "openist":
        return True
    return hashlib.sha256(row.patient.encode()).digest()[0] % 2 == 0


def load_training_set(folder: Path, size: int) -> SegmentationSet:
    """Every training row of ``folder`` that has organ masks, padded and resized to ``size``."""
    return load_rows(
        folder, [r for r in read_index(folder) if r.organ_mask and in_training(r)], size
    )


def load_rows(folder: Path, rows: list[Row], size: int) -> SegmentationSet:
    """The given rows with their masks and landmarks, see ``SegmentationSet``."""
    count = len(rows)
    images = np.zeros((count, size, size), np.uint8)
    labels = np.zeros((count, size, size), np.uint8)
    known = np.zeros((count, 3), bool)
    landmarks = np.zeros((count, 120, 2), np.float32)
    marked = np.zeros((count, 3), bool)
    distance = np.zeros((count, 2, size, size), np.float16)
    for i, row in enumerate(rows):
        pixels = load_image(folder, row)
        grid = ModelGrid((pixels.shape[0], pixels.shape[1]), size)
        images[i] = np.rint(grid.to_model(pixels) * 255.0)
        if row.organ_mask:
            labels[i] = labels_to_model(load_organ_mask(folder, row), grid)
            known[i] = [organ in row.organ_mask for organ in ORGANS]
            distance[i] = [border_distance(labels[i] == label) for label in (1, 2)]
        contours = load_landmarks(folder, row)
        for k, (name, where) in enumerate(CONTOUR_SLICES.items()):
            if name in contours:
                landmarks[i, where] = points_to_square(contours[name], grid)
                marked[i, k] = True
    return SegmentationSet(
        tuple(r.id for r in rows),
        images, labels, known, landmarks, marked, distance,
    )  # fmt: skip


def labels_to_model(labels: NDArray[np.uint8], grid: ModelGrid) -> NDArray[np.uint8]:
    """H x W labels -> side x side labels, nearest pixel, 0 in the pad."""
    square = np.zeros((grid.side, grid.side), np.uint8)
    rows, columns = grid.inner
    small = Image.fromarray(labels).resize((columns, rows), Image.Resampling.NEAREST)
    square[grid.window] = np.asarray(small)
    return square


def points_to_square(fractions: NDArray[np.float32], grid: ModelGrid) -> NDArray[np.float32]:
    """(N, 2) x, y as fractions of the image's width and height -> fractions of the square."""
    top, left = grid.corner
    rows, columns = grid.inner
    moved = fractions * np.array([columns, rows]) + np.array([left, top])
    return np.asarray(moved / grid.side, np.float32)


def border_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance in pixels of every pixel centre to the mask's outline, float32, >= 0."""
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return np.asarray(np.maximum(np.maximum(inside, outside) - 0.5, 0), np.float32)
