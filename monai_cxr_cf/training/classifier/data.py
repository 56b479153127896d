# SPDX-License-Identifier: Apache-2.0
"""A data folder in, what one judge learns from out: squares, region maps, labels with weights.

Only rows of the judge's own side (``judges.split``); organ maps come from the shipped segmenter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from monai_cxr_cf.anatomy.organ_maps import organ_squares
from monai_cxr_cf.anatomy.segment import load_segmenter
from monai_cxr_cf.data.folder import Row, load_image, read_index
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.judges.preprocess import to_square
from monai_cxr_cf.judges.regions import region_map
from monai_cxr_cf.judges.split import judge_rows
from monai_cxr_cf.prompts.clean import clean_report
from monai_cxr_cf.prompts.compose import NORMAL
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.weights import models_folder

STRIDE = 8  # region maps lie on the finest grid of the trunk
# Which labels of ChestX-ray14 count as which finding of the vocabulary. Its pneumonia and its
# consolidation are the same picture, told apart by what the reader knew: so the finding
# "consolidation" takes both, and "pneumonia" its own label alone.
NIH = {
    "cardiomegaly": ("Cardiomegaly",),
    "pleural effusion": ("Effusion",),
    "consolidation": ("Consolidation", "Pneumonia"),
    "pulmonary edema": ("Edema",),
    "atelectasis": ("Atelectasis",),
    "pneumothorax": ("Pneumothorax",),
    "pneumonia": ("Pneumonia",),
    "nodule": ("Nodule", "Mass"),
}
NARROW = {"consolidation": ("Consolidation",)}  # measured beside it
PROSE = {"consolidation": ("consolidation", "pneumonia"), "pneumonia": ("pneumonia",)}


@dataclass(frozen=True, eq=False)
class JudgeSet:
    """The images of one judge on its square."""

    rows: tuple[Row, ...]
    squares: NDArray[np.uint8]  # N x S x S, stretched, bright = dense
    regions: NDArray[np.float16]  # N x planes x S/8 x S/8, covered share


def load_judge_set(data: Path, judge: str, *, side: int, cache: Path) -> JudgeSet:
    """Every row of one judge's side.

    Args:
        data: folder with index.csv.
        judge: "j1" or "j2".
        side: px of the square.
        cache: folder that keeps ``organs.npz`` (``anatomy.organ_maps``), made if missing.
    """
    rows = judge_rows(read_index(data), judge)
    if not rows:
        raise UnreadableInput(
            f"The data folder has no image for {judge}.",
            hint="A judge learns from the judge split and from collections of research licences.",
        )
    squares = np.stack([square_of(data, row, side) for row in rows])
    maps = organ_maps(data, rows, cache)
    regions = np.stack([region_map(maps[row.id], side // STRIDE) for row in rows])
    return JudgeSet(tuple(rows), squares, regions.astype(np.float16))


def square_of(data: Path, row: Row, side: int) -> NDArray[np.uint8]:
    """One stretched square: side x side uint8."""
    return np.round(to_square(load_image(data, row), side) * 255).astype(np.uint8)


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


def label_of(row: Row, finding: str, *, prose: float = 0.0) -> tuple[float, float] | None:
    """Whether a row shows a finding, and how much that statement weighs; None if nobody says.

    Args:
        row: its labels (nih) or its reading (cohen, figure1).
        finding: one of ``NIH``.
        prose: weight of a finding that a reading of the image leaves out; 0 ignores readings.
    """
    if row.source == "nih":
        return float(any(label in row.labels for label in NIH[finding])), 1.0
    if not prose or finding not in PROSE or not row.text:
        return None
    said = clean_report(row.text, max_findings=9)
    if not said:
        return None
    if said == NORMAL:
        return 0.0, 1.0
    found = {item.finding for item in parse_prompt(said).findings}
    return (1.0, 1.0) if found & set(PROSE[finding]) else (0.0, prose)


def augmented(
    squares: NDArray[np.uint8], regions: NDArray[np.float16], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Turned, scaled, moved and re-exposed copies; never mirrored, for the heart has a side.

    Returns:
        images (B, 1, S, S) in 0..1 and region maps (B, planes, S/8, S/8), float32.
    """
    count = len(squares)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    angle, scale = uniform(-0.13, 0.13), uniform(0.87, 1.13)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack([cos, -sin, uniform(-0.08, 0.08), sin, cos, uniform(-0.08, 0.08)], 1).view(
        count, 2, 3
    )
    images = torch.from_numpy(squares[:, None].astype(np.float32) / 255)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, align_corners=False)
    maps = torch.from_numpy(regions.astype(np.float32))
    cells = functional.affine_grid(matrix, list(maps.shape), align_corners=False)
    maps = functional.grid_sample(maps, cells, align_corners=False)
    gamma, gain, shift = (
        v.view(-1, 1, 1, 1) for v in (uniform(0.7, 1.4), uniform(0.85, 1.15), uniform(-0.06, 0.06))
    )
    noise = torch.randn(images.shape, generator=generator) * uniform(0, 0.03).view(-1, 1, 1, 1)
    return (images.clamp(1e-3, 1) ** gamma * gain + shift + noise).clamp(0, 1), maps


def plain(squares: NDArray[np.uint8]) -> Tensor:
    """N x S x S uint8 -> (N, 1, S, S) in 0..1."""
    return torch.from_numpy(squares[:, None].astype(np.float32) / 255)


def zone_figures(images: Tensor, regions: Tensor) -> Tensor:
    """(B, 1, S, S), (B, planes, g, g) -> (B, planes, 2): brightness and contrast of each region.

    What the trunk must know without any reader's label: mean and standard deviation of grey.
    """
    grid = (regions.shape[-2], regions.shape[-1])
    mean = functional.adaptive_avg_pool2d(images, grid)
    square = functional.adaptive_avg_pool2d(images.square(), grid)
    weights = regions / (regions.sum((2, 3), keepdim=True) + 1e-3)
    first = (weights * mean).sum((2, 3))
    second = (weights * square).sum((2, 3))
    return torch.stack([first, (second - first.square()).clamp(min=1e-6).sqrt()], -1)
