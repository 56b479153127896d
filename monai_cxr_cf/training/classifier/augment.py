# SPDX-License-Identifier: Apache-2.0
"""Squares and region maps in, others of the same chests out: what may vary and tells no finding.

Moved, turned, mirrored (no finding of a judge has a side), re-exposed, softened and coarsened as
collections are, with letters and shutters drawn at random places.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from monai_cxr_cf.judges.regions import PLANES, SIDED

COARSEST = 0.45  # of the side, to which every second group of images is brought and back
GROUP = 8  # images that share a coarseness
MIRRORED = [*range(len(SIDED), 2 * len(SIDED)), *range(len(SIDED)), *range(2 * len(SIDED), len(PLANES))]  # fmt: skip  # noqa: E501


def augmented(
    squares: NDArray[np.uint8], regions: NDArray[np.float16], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Changed copies.

    Returns:
        images (B, 1, S, S) in 0..1 and region maps (B, planes, S/8, S/8), float32.
    """
    images = torch.from_numpy(squares[:, None].astype(np.float32) / 255)
    images, maps = _moved(images, torch.from_numpy(regions.astype(np.float32)), generator)
    images = _exposed(images, generator)
    images = torch.cat([_coarsened(part, generator) for part in torch.split(images, GROUP)])
    for image in images:
        _marked(image[0], generator)
    noise = torch.randn(images.shape, generator=generator)
    noise *= _uniform(len(images), 0, 0.03, generator).view(-1, 1, 1, 1)
    return (images + noise).clamp(0, 1), maps


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _moved(images: Tensor, maps: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turned, scaled and shifted alike; every second one mirrored, its sides exchanged."""
    count = len(images)
    angle, scale = (_uniform(count, *span, generator) for span in ((-0.13, 0.13), (0.87, 1.13)))
    stretch = _uniform(count, 0.94, 1.06, generator)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    right, down = (_uniform(count, -0.08, 0.08, generator) for _ in range(2))
    flip = torch.rand(count, generator=generator) < 0.5
    sign = 1 - 2 * flip.float()
    matrix = torch.stack([cos * stretch * sign, -sin, right, sin * sign, cos / stretch, down], 1)
    matrix = matrix.view(count, 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    cells = functional.affine_grid(matrix, list(maps.shape), align_corners=False)
    images = functional.grid_sample(images, grid, align_corners=False)
    maps = functional.grid_sample(maps, cells, align_corners=False)
    maps[flip] = maps[flip][:, MIRRORED]
    return images, maps


def _exposed(images: Tensor, generator: torch.Generator) -> Tensor:
    spans = ((0.7, 1.4), (0.85, 1.15), (-0.06, 0.06))
    gamma, gain, shift = (
        _uniform(len(images), *span, generator).view(-1, 1, 1, 1) for span in spans
    )
    return (images.clamp(1e-3, 1) ** gamma * gain + shift).clamp(0, 1)


def _coarsened(images: Tensor, generator: torch.Generator) -> Tensor:
    """Every second group brought to a smaller size and back."""
    draw = torch.rand(2, generator=generator)
    side = images.shape[-1]
    if draw[0] < 0.5:
        return images
    size = round(side * float(COARSEST + (1 - COARSEST) * draw[1]))
    small = functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return functional.interpolate(small, (side, side), mode="bicubic").clamp(0, 1)


def _marked(image: Tensor, generator: torch.Generator) -> None:
    """A letter in an outer quarter of every second image, a black edge on every fifth; in place."""
    side = image.shape[-1]
    draw = torch.rand(7, generator=generator)
    if draw[0] < 0.5:
        step = max(1, round(side * float(0.008 + 0.01 * draw[1])))
        letter = (torch.rand(5, 4, generator=generator) < 0.5).float()
        letter = letter.repeat_interleave(step, 0).repeat_interleave(step, 1)
        high, wide = letter.shape
        across = float(draw[3]) * 0.25 + (0.75 if draw[4] < 0.5 else 0)
        row, column = int(float(draw[2]) * (side - high)), int(across * (side - wide))
        place = image[row : row + high, column : column + wide]
        torch.maximum(place, letter * (0.7 + 0.3 * draw[5]), out=place)
    if draw[6] < 0.2:
        width = max(1, round(side * 0.4 * float(draw[6])))
        edge = int(float(draw[1]) * 4)
        (image if edge < 2 else image.T)[slice(width) if edge % 2 else slice(-width, None)] = 0
