# SPDX-License-Identifier: Apache-2.0
"""Radiographs of a data folder in, square uint8 images of the model's side out, cached on disk.

The square is the image padded with zeros on both short sides alike, then resized: the grid on
which latents, organ maps and rendered findings of the trainings live.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.data.folder import Row, load_image
from monai_cxr_cf.errors import UnreadableInput

SHIPPABLE = ("yes", "attribution")


def generator_rows(rows: list[Row], split: str = "train") -> list[Row]:
    """The rows a shipped generator may learn from: free licences, one split."""
    return [row for row in rows if row.weights_may_ship in SHIPPABLE and row.split == split]


def large_rows(folder: Path, rows: list[Row], least: int) -> list[Row]:
    """The rows whose image has ``least`` px or more on both sides; 0 asks for nothing.

    Raises:
        UnreadableInput: none has.
    """
    if not least:
        return rows
    found = [row for row in rows if min(load_image(folder, row).shape) >= least]
    if not found:
        raise UnreadableInput(
            f"None of {len(rows)} radiographs has {least} px on both sides.",
            hint="Lower least_side in the recipe.",
        )
    return found


def to_square(image: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """HxW float32 0..1 -> side x side uint8, centred on zeros, aspect kept."""
    height, width = image.shape
    edge = max(height, width)
    square = np.zeros((edge, edge), np.uint8)
    top, left = (edge - height) // 2, (edge - width) // 2
    square[top : top + height, left : left + width] = np.round(image * 255)
    filter_ = Image.Resampling.BICUBIC if edge < side else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(square).resize((side, side), filter_))


def square_images(
    folder: Path, rows: list[Row], *, side: int = 256, cache: Path | None = None
) -> dict[str, NDArray[np.uint8]]:
    """Row id -> side x side uint8, bright = dense; ``cache`` (.npz) is read or written."""
    if cache is not None and cache.is_file():
        with np.load(cache) as archive:
            known = dict(zip(archive["ids"].tolist(), archive["images"], strict=True))
        if all(row.id in known for row in rows) and archive_side(known) == side:
            return {row.id: known[row.id] for row in rows}
    images = {row.id: to_square(load_image(folder, row), side) for row in rows}
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, ids=np.array(list(images)), images=np.stack(list(images.values())))
    return images


def archive_side(images: dict[str, NDArray[np.uint8]]) -> int:
    """Side of the cached squares; 0 for an empty cache."""
    return next(iter(images.values())).shape[0] if images else 0
