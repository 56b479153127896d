# SPDX-License-Identifier: Apache-2.0
"""A source, a region and a change in, one small PNG out: the four panels a reader compares.

From left to right: source, region on source, counterfactual, change (red denser, blue more lucent).
A sheet holds one such strip of every cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Array = NDArray[np.float32]
HEIGHT, GAP = 224, 4  # pixels of a panel, and between two
FULL = 0.25  # change of display units that is drawn in full colour
ORANGE = (242, 142, 43)
LABEL, SHRINK = 20, 0.6  # a sheet: pixels of the line over a strip, size of its strips


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
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    joined = [part for panel in panels for part in (gap, panel)][1:]
    Image.fromarray(np.concatenate(joined, axis=1)).save(path, optimize=True)


def load_strip(path: Path) -> tuple[Array, Array]:
    """Source and counterfactual of a saved strip, ``HEIGHT`` pixels high, 0..1."""
    with Image.open(path) as image:
        panels: Array = np.asarray(image.convert("L"), np.float32) / np.float32(255)
    width = (panels.shape[1] - 3 * GAP) // 4
    return panels[:, :width], panels[:, 2 * (width + GAP) : 3 * width + 2 * GAP]


def save_sheet(strips: Mapping[str, Path], path: Path) -> None:
    """Two columns of saved strips, each under its name."""
    tiles = {name: Image.open(strip).convert("RGB") for name, strip in strips.items()}
    width = round(max(tile.width for tile in tiles.values()) * SHRINK)
    height = LABEL + round(HEIGHT * SHRINK)
    page = Image.new("RGB", (2 * width + LABEL, -(-len(tiles) // 2) * height), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for number, (name, tile) in enumerate(tiles.items()):
        left, top = number % 2 * (width + LABEL), number // 2 * height
        draw.text((left, top + 1), name, "black", font=font)
        page.paste(tile.resize((round(tile.width * SHRINK), height - LABEL)), (left, top + LABEL))
    page.save(path, quality=85)


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
