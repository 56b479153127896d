# SPDX-License-Identifier: Apache-2.0
"""A source, a region and a change in, one small PNG out: the four panels a reader compares.

From left to right: source, region on source, counterfactual, change (red denser, blue more lucent).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Array = NDArray[np.float32]
HEIGHT = 224  # pixels of a panel
FULL = 0.25  # change of display units that is drawn in full colour
ORANGE = (242, 142, 43)


@dataclass(frozen=True, eq=False)
class Strip:
    """What is drawn; all H x W on one grid."""

    source: Array  # 0..1, bright = dense
    region: NDArray[np.bool_]
    change: Array  # -1..1


def save_strip(strip: Strip, path: Path) -> None:
    """Write the four panels side by side."""
    rows, columns = strip.source.shape
    size = (max(1, round(columns * HEIGHT / rows)), HEIGHT)
    edited = np.clip(strip.source + strip.change, 0, 1)
    panels = [
        _grey(_resized(strip.source, size)),
        _outlined(_resized(strip.source, size), _resized(strip.region.astype(np.float32), size)),
        _grey(_resized(edited, size)),
        _signed(_resized(strip.change, size)),
    ]
    gap = np.full((HEIGHT, 4, 3), 255, np.uint8)
    joined = [part for panel in panels for part in (gap, panel)][1:]
    Image.fromarray(np.concatenate(joined, axis=1)).save(path, optimize=True)


def _resized(image: Array, size: tuple[int, int]) -> Array:
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)


def _grey(image: Array) -> NDArray[np.uint8]:
    levels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def _outlined(image: Array, region: Array) -> NDArray[np.uint8]:
    panel, mask = _grey(image), region >= 0.5
    panel[mask & ~ndimage.binary_erosion(mask)] = ORANGE
    return panel


def _signed(change: Array) -> NDArray[np.uint8]:
    """White where nothing changed, towards red where denser, towards blue where more lucent."""
    amount = np.clip(np.abs(change) / FULL, 0, 1)[..., None]
    ends = np.where(change[..., None] > 0, (178, 24, 43), (33, 102, 172))
    return np.rint(255 + amount * (ends - 255.0)).astype(np.uint8)
