# SPDX-License-Identifier: Apache-2.0
"""Native image grid <-> square model grid: pad, never stretch; fields go back without the pad.

Everything the networks see lies on the model grid, everything a user keeps on the native one;
this is the only place that maps between the two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.errors import BadRequest

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ModelGrid:
    """A native H x W image centred in a side x side square.

    Args:
        shape: native (H, W) in pixels.
        side: side of the model grid in pixels.
        aspect: row spacing over column spacing; not 1 where pixels are not square.
    """

    shape: tuple[int, int]
    side: int
    aspect: float = 1.0

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or self.side < 8 or not 0.1 <= self.aspect <= 10:
            raise BadRequest(
                f"A {self.shape[0]} x {self.shape[1]} image with pixel aspect {self.aspect:.3g} "
                f"cannot be laid on a grid of side {self.side}."
            )

    @property
    def scale(self) -> float:
        """Model pixels per native column."""
        height, width = self.shape
        return self.side / max(height * self.aspect, width)

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the image inside the square, model pixels."""
        height, width = self.shape
        rows = max(1, round(height * self.aspect * self.scale))
        return min(self.side, rows), min(self.side, max(1, round(width * self.scale)))

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the image's first pixel inside the square."""
        return (self.side - self.inner[0]) // 2, (self.side - self.inner[1]) // 2

    @property
    def window(self) -> tuple[slice, slice]:
        """The image's rows and columns inside the square."""
        (top, left), (rows, columns) = self.corner, self.inner
        return slice(top, top + rows), slice(left, left + columns)

    def to_model(self, image: Array) -> Array:
        """H x W float32 -> side x side float32, antialiased, zeros in the pad."""
        return self._place(image, Image.Resampling.BICUBIC, lambda a: np.clip(a, 0, 1))

    def mask_to_model(self, mask: Mask | Array) -> Array:
        """H x W mask or weight in 0..1 -> side x side coverage in 0..1, zeros in the pad."""
        return self._place(mask, Image.Resampling.BOX, lambda a: np.clip(a, 0, 1))

    def to_native(self, field: Array) -> Array:
        """side x side float32 of any range -> H x W float32, bilinear; a zero field stays zero."""
        inner = np.ascontiguousarray(field[self.window], dtype=np.float32)
        return _resize(inner, self.shape, Image.Resampling.BILINEAR)

    def labels_to_native(self, labels: NDArray[Any]) -> NDArray[Any]:
        """(..., side, side) labels -> (..., H, W) labels: nearest pixel centre, no new values."""
        (top, left), (rows, columns) = self.corner, self.inner
        height, width = self.shape
        y = top + ((np.arange(height) + 0.5) * rows / height).astype(np.intp)
        x = left + ((np.arange(width) + 0.5) * columns / width).astype(np.intp)
        return labels[..., y[:, None], x[None, :]]

    def points_to_native(self, points: Array) -> Array:
        """(..., 2) x, y in model pixels -> x, y in native pixels (pixel centres at .5)."""
        (top, left), (rows, columns) = self.corner, self.inner
        scale = np.array([self.shape[1] / columns, self.shape[0] / rows], np.float32)
        return (points - np.array([left, top], np.float32)) * scale

    def _place(
        self, image: Mask | Array, kind: Image.Resampling, limit: Callable[[Array], Array]
    ) -> Array:
        if image.shape != self.shape:
            raise BadRequest(
                f"The array is {image.shape}, the image {self.shape}.",
                hint="Masks must lie on the source's own pixel grid.",
            )
        square = np.zeros((self.side, self.side), np.float32)
        square[self.window] = limit(_resize(image.astype(np.float32), self.inner, kind))
        return square


def _resize(image: Array, shape: tuple[int, int], kind: Image.Resampling) -> Array:
    if image.shape == shape:
        return image
    return np.asarray(Image.fromarray(image).resize(shape[::-1], kind), dtype=np.float32)
