# SPDX-License-Identifier: Apache-2.0
"""A radiograph of any size in, the square every judge looks at out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.grid import ModelGrid

Array = NDArray[np.float32]
ROWS = 256  # at a time: a whole radiograph at twice its precision is large
PERCENTILES = (1.0, 99.0)  # of the image itself; collections differ widely in contrast


def stretch(image: Array) -> Array:
    """H x W float32, 0..1 -> the same with its 1st and 99th percentile at 0 and 1, clipped."""
    low, high = np.percentile(image, PERCENTILES)
    stretched = np.empty(image.shape, np.float32)
    for first in range(0, len(image), ROWS):  # in between the values are float64
        rows = slice(first, first + ROWS)
        stretched[rows] = np.clip((image[rows] - low) / max(high - low, 1 / 255), 0, 1)
    return stretched


def to_square(image: Array, side: int, detail: int) -> Array:
    """H x W float32, 0..1, bright = dense -> side x side, antialiased, stretched, padded.

    The aspect is kept and the pad is 0; Pillow's bicubic filter widens when it shrinks. Every image
    is brought to ``detail`` first, and stretched there: collections differ in size, and size must
    not tell a finding.
    """
    if image.ndim != 2:
        raise BadRequest(f"A judge looks at H x W images, this one has {image.ndim} axes.")
    grid = ModelGrid((image.shape[0], image.shape[1]), detail)
    square = grid.to_model(image)
    square[grid.window] = stretch(square[grid.window])
    return square if side == detail else ModelGrid(square.shape, side).to_model(square)


def to_squares(images: Sequence[Array], side: int, detail: int) -> Array:
    """Images of any sizes -> (N, side, side) float32, 0..1."""
    return np.stack([to_square(image, side, detail) for image in images])
