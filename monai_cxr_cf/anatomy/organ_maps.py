# SPDX-License-Identifier: Apache-2.0
"""A data folder in, one organ map per radiograph out, on the padded model square.

Trainings that need to know where organs lie (captions, conditions, limits) read this one file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.hybridgnet import SIDE
from monai_cxr_cf.anatomy.segment import Segmenter, Square, load_segmenter
from monai_cxr_cf.data.folder import Row, load_image, read_index
from monai_cxr_cf.grid import ModelGrid

log = logging.getLogger(__name__)


def organ_squares(
    data: Path, rows: list[Row], segmenter: Segmenter
) -> Iterator[tuple[Row, ModelGrid, Square]]:
    """Each radiograph's grid and what the segmenter says about its padded square."""
    for row in rows:
        pixels = load_image(data, row)
        grid = ModelGrid((pixels.shape[0], pixels.shape[1]), SIDE)
        yield row, grid, segmenter.square(grid.to_model(pixels))


def save_organ_maps(data: Path, models: Path, *, out: Path, kind: str = "hybridgnet") -> Path:
    """Segment every radiograph of ``data`` into one compressed NPZ.

    The keys are row ids; each value is SIDE x SIDE uint8 on the square of ``ModelGrid``: 0 rest,
    1 right lung, 2 left lung, 3 heart. The file appears whole or not at all.
    """
    segmenter = load_segmenter(kind, models)
    maps: dict[str, NDArray[np.uint8]] = {}
    for row, _, square in organ_squares(data, read_index(data), segmenter):
        maps[row.id] = square.labels
        if len(maps) % 500 == 0:
            log.info("%d radiographs segmented", len(maps))
    part = out.with_suffix(".part.npz")
    np.savez_compressed(part, **maps)  # type: ignore[arg-type]
    os.replace(part, out)
    return out
