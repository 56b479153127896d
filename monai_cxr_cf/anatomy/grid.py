# SPDX-License-Identifier: Apache-2.0
"""A native image in, its square model-size copy out, and the way back for points and labels.

Every segmenter and its training use the same geometry: pad to a centred square, never stretch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True, slots=True)
class SquareGrid:
    """Where an image lies in its padded square, in native pixels."""

    height: int
    width: int

    @property
    def side(self) -> int:
        """Edge of the square, native pixels."""
        return max(self.height, self.width)

    @property
    def offset(self) -> tuple[int, int]:
        """Rows above and columns left of the image."""
        return (self.side - self.height) // 2, (self.side - self.width) // 2

    def pad(self, array: NDArray[Any], fill: float = 0) -> NDArray[Any]:
        """HxW -> side x side, the border filled with ``fill``."""
        top, left = self.offset
        square = np.full((self.side, self.side), fill, array.dtype)
        square[top : top + self.height, left : left + self.width] = array
        return square

    def crop(self, square: NDArray[Any]) -> NDArray[Any]:
        """side x side -> HxW."""
        top, left = self.offset
        return square[top : top + self.height, left : left + self.width]

    def resize_image(self, pixels: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """HxW float32 -> size x size float32, antialiased (PIL's area-aware bilinear filter)."""
        from PIL import Image

        square = Image.fromarray(self.pad(pixels.astype(np.float32)))
        return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)

    def resize_labels(self, labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """HxW labels -> size x size labels, nearest pixel centre."""
        index = nearest_index(self.side, size)
        return self.pad(labels)[np.ix_(index, index)]

    def labels_to_native(self, square: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """size x size labels -> HxW labels, nearest pixel centre."""
        index = nearest_index(square.shape[0], self.side)
        return self.crop(square[np.ix_(index, index)])

    def points_to_native(self, fractions: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 2) x, y as fractions of the square -> native pixels (0, 0 = corner of the image)."""
        top, left = self.offset
        return fractions * self.side - np.array([left, top], np.float32)

    def points_to_square(self, fractions: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 2) x, y as fractions of the image's width and height -> fractions of the square."""
        top, left = self.offset
        size = np.array([self.width, self.height], np.float32)
        return (fractions * size + np.array([left, top], np.float32)) / self.side


def nearest_index(source: int, target: int) -> NDArray[np.intp]:
    """For each of ``target`` pixels the index of the source pixel that holds its centre."""
    return ((np.arange(target) + 0.5) * source / target).astype(np.intp)


def border_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance in pixels of every pixel centre to the mask's outline, float32, >= 0."""
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return np.maximum(np.maximum(inside, outside) - 0.5, 0).astype(np.float32)
