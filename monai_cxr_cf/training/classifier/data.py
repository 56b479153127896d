# SPDX-License-Identifier: Apache-2.0
"""A data folder in, what one judge learns from out: squares, region maps and kinds of files.

Only labelled rows of one role (``judges.split``); organ maps come from the shipped segmenter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_cxr_cf.anatomy.organ_maps import organ_squares
from monai_cxr_cf.anatomy.segment import load_segmenter
from monai_cxr_cf.data.folder import Row, load_image, read_index
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.judges.networks import Shape
from monai_cxr_cf.judges.preprocess import to_square
from monai_cxr_cf.judges.regions import region_map
from monai_cxr_cf.judges.split import role
from monai_cxr_cf.weights import models_folder

STRIDE = 8  # region maps lie on the finest grid of the trunk
SMALL = 160  # px of the short side up to which a file counts as small


@dataclass(frozen=True, eq=False)
class Seen:
    """Labelled images as a judge sees them."""

    rows: tuple[Row, ...]
    squares: NDArray[np.uint8]  # N x S x S, stretched, bright = dense
    small: NDArray[np.bool_]  # N: the file is small


@dataclass(frozen=True, eq=False)
class Material:
    """What one training learns from, and whom it is checked on."""

    seen: Seen
    unseen: Seen
    regions: NDArray[np.float16]  # of ``seen``
    looks: Mapping[str, str]  # row id -> class of a second look


def load_seen(data: Path, who: str, shape: Shape) -> Seen:
    """Every labelled row of one role: "j1", "j2", or "tuning", whom no judge learns from.

    Raises:
        UnreadableInput: there is none.
    """
    rows = [row for row in read_index(data) if role(row) == who and row.labels]
    if not rows:
        raise UnreadableInput(
            f"The data folder has no labelled image for {who}.",
            hint="Judges learn from the split judge; the patient decides which judge, and whether "
            "any (judges/split.py).",
        )
    return look_at(data, rows, shape)


def look_at(data: Path, rows: Sequence[Row], shape: Shape) -> Seen:
    """These rows as a judge sees them."""
    squares, small = [], []
    for row in rows:
        image = load_image(data, row)
        square = to_square(image, shape.side, shape.detail)
        squares.append(np.round(square * 255).astype(np.uint8))
        small.append(min(image.shape) <= SMALL)
    return Seen(tuple(rows), np.stack(squares), np.array(small))


def load_regions(data: Path, rows: Sequence[Row], *, side: int, cache: Path) -> NDArray[np.float16]:
    """(N, planes, S/8, S/8) covered share of each region, made if ``cache`` has no such file."""
    path, ids, grid = cache / f"regions{side}.npz", [row.id for row in rows], side // STRIDE
    if path.is_file():
        with np.load(path) as archive:
            if archive["ids"].tolist() == ids:
                return np.asarray(archive["regions"], np.float16)
    maps = organ_maps(data, list(rows), cache)
    found = np.stack([region_map(maps[name], grid).astype(np.float16) for name in ids])
    np.savez(path, ids=np.array(ids), regions=found)
    return found


def organ_maps(data: Path, rows: list[Row], cache: Path) -> dict[str, NDArray[np.uint8]]:
    """Row id -> 256 x 256 organ labels, from ``cache/organs.npz`` or the shipped segmenter."""
    path = cache / "organs.npz"
    if path.is_file():
        with np.load(path) as archive:
            if all(row.id in archive.files for row in rows):
                return {row.id: archive[row.id] for row in rows}

    segmenter = load_segmenter("hybridgnet", models_folder())
    maps = {row.id: square.labels for row, _, square in organ_squares(data, rows, segmenter)}
    cache.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **maps)  # type: ignore[arg-type]
    return maps


def plain(squares: NDArray[np.uint8]) -> Tensor:
    """N x S x S uint8 -> (N, 1, S, S) in 0..1."""
    return torch.from_numpy(squares[:, None].astype(np.float32) / 255)
