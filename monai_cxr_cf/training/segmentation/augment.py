# SPDX-License-Identifier: Apache-2.0
"""A batch of model-size radiographs in, a rotated, scaled, shifted and re-exposed batch out.

Makes the segmenters stand bedside films, collimation, inversion, text, wires and white lungs.
All draws come from the generator passed in, so a step can be repeated bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Augmentation:
    """Strength of every random change; all angles in degrees, lengths as shares of the side."""

    rotation: float = 8.0  # standard deviation, cut at 2.5 of them
    scale: tuple[float, float] = (0.75, 1.35)  # how large the patient appears
    stretch: float = 0.08  # standard deviation of the log ratio of width to height
    shift: float = 0.08  # largest translation
    gamma: float = 0.45  # standard deviation of the log exponent
    invert: float = 0.06  # probability
    blobs: float = 0.4  # probability of soft opacities or lucencies
    base: float = 0.15  # probability of a white or black lower field
    frame: float = 0.2  # probability of a collimation border
    wires: float = 0.2  # probability of thin bright or dark lines
    noise: float = 0.04  # largest standard deviation


def random_affine(count: int, config: Augmentation, generator: torch.Generator) -> Tensor:
    """(B, 2, 3): maps output to input coordinates in -1..1, as ``affine_grid`` wants it."""
    normal = torch.randn(count, 3, generator=generator).clamp(-2.5, 2.5)
    uniform = torch.rand(count, 3, generator=generator)
    angle = normal[:, 0] * config.rotation * math.pi / 180.0
    low, high = (math.log(value) for value in config.scale)
    zoom = torch.exp(-(low + (high - low) * uniform[:, 0]))
    stretch = torch.exp(normal[:, 1] * config.stretch)
    shift = (uniform[:, 1:] * 2.0 - 1.0) * 2.0 * config.shift
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack(
        [zoom * stretch * cos, -zoom * sin, zoom * sin, zoom / stretch * cos], 1
    ).view(-1, 2, 2)
    return torch.cat([matrix, shift.unsqueeze(2)], 2)


def to_input(points: Tensor, theta: Tensor) -> Tensor:
    """Output fractions (B, N, 2) -> input coordinates in -1..1."""
    return torch.matmul(points * 2.0 - 1.0, theta[:, :, :2].transpose(1, 2)) + theta[:, None, :, 2]


def to_output(points: Tensor, theta: Tensor) -> Tensor:
    """Input fractions (B, N, 2) -> output fractions: where a landmark lies after the warp."""
    inverse = torch.linalg.inv(theta[:, :, :2])
    moved = torch.matmul(points * 2.0 - 1.0 - theta[:, None, :, 2], inverse.transpose(1, 2))
    return moved * 0.5 + 0.5


def warp(images: Tensor, labels: Tensor, theta: Tensor, fill: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, 1, S, S) bilinear with ``fill`` (B, 1, 1, 1) outside; labels nearest, 0."""
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images - fill, grid, align_corners=False) + fill
    return moved, F.grid_sample(labels, grid, mode="nearest", align_corners=False)


def expose(images: Tensor, config: Augmentation, generator: torch.Generator) -> Tensor:
    """(B, 1, S, S) in 0..1 -> the same anatomy under other exposure, opacities and artefacts."""
    count, _, side, _ = images.shape

    def chance(probability: float) -> Tensor:
        return (torch.rand(count, 1, 1, 1, generator=generator) < probability).float()

    x = images.clamp(0.0, 1.0)
    x = x ** torch.exp(torch.randn(count, 1, 1, 1, generator=generator) * config.gamma)
    for paint, probability in (
        (_blobs, config.blobs),
        (_lower_field, config.base),
        (_wires, config.wires),
    ):
        chosen = (torch.rand(count, generator=generator) < probability).nonzero().flatten()
        if len(chosen):
            alpha = paint(len(chosen), side, generator)
            x = x.index_copy(0, chosen, _blend(x[chosen], alpha, generator))
    x = x + _smooth_field(count, 3, side, generator) * 0.12
    sigma = torch.rand(count, 1, 1, 1, generator=generator) * config.noise
    x = x + sigma * torch.randn(x.shape, generator=generator)
    flip = chance(config.invert)
    x = x * (1.0 - flip) + (1.0 - x) * flip
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    blur = chance(0.25)
    x = x * (1.0 - blur) + soft * blur
    return _frame(x, chance(config.frame), generator)


def _blend(x: Tensor, alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Mix towards one random grey per image; bright (dense) greys are drawn more often."""
    grey = torch.rand(x.shape[0], 1, 1, 1, generator=generator) ** 0.5
    return x + alpha * (grey - x)


def _coordinates(side: int) -> tuple[Tensor, Tensor]:
    axis = (torch.arange(side) + 0.5) / side
    return axis.view(1, 1, 1, side), axis.view(1, 1, side, 1)


def _smooth_field(count: int, knots: int, side: int, generator: torch.Generator) -> Tensor:
    """Unit noise on knots x knots, bicubic to a small grid, then cheaply to the full one."""
    field = torch.randn(count, 1, knots, knots, generator=generator)
    small = F.interpolate(field, size=(32, 32), mode="bicubic", align_corners=False)
    return F.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)


def _blobs(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Soft-edged random shapes: a low-resolution field pushed through a sigmoid, 0..0.9."""
    smooth = _smooth_field(count, 7, side, generator)
    depth = torch.rand(count, 1, 1, 1, generator=generator) * 0.9
    edge = 2.0 + 8.0 * torch.rand(count, 1, 1, 1, generator=generator)
    return torch.sigmoid((smooth - 1.0) * edge) * depth


def _lower_field(count: int, side: int, generator: torch.Generator) -> Tensor:
    """One side of the lower chest fades out, as under an effusion: 0..0.95."""
    x, y = _coordinates(side)
    draw = torch.rand(count, 5, 1, 1, 1, generator=generator)
    level = 0.45 + 0.4 * draw[:, 0]
    slope = (draw[:, 1] - 0.5) * 1.2
    half = torch.where(
        draw[:, 2] < 0.5, torch.sigmoid((x - 0.5) * 40), torch.sigmoid((0.5 - x) * 40)
    )
    edge = 8.0 + 40.0 * draw[:, 3]
    return torch.sigmoid((y - level - slope * (x - 0.5)) * edge) * half * 0.95 * draw[:, 4]


def _wires(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Two thin straight lines per image: 0..1."""
    x, y = _coordinates(side)
    total = torch.zeros(count, 1, side, side)
    for _ in range(2):
        draw = torch.rand(count, 4, 1, 1, 1, generator=generator)
        angle = draw[:, 0] * math.pi
        offset = (x - draw[:, 1]) * torch.cos(angle) + (y - draw[:, 2]) * torch.sin(angle)
        total = torch.maximum(
            total, torch.sigmoid((0.004 + 0.008 * draw[:, 3] - offset.abs()) * 800)
        )
    return total


def _frame(x: Tensor, on: Tensor, generator: torch.Generator) -> Tensor:
    """Collimation: black, white or mid-grey borders of random width on the four sides."""
    count, side = x.shape[0], x.shape[2]
    across, down = _coordinates(side)
    width = torch.rand(count, 4, 1, 1, 1, generator=generator) * 0.10
    keep = (across > width[:, 0]) & (across < 1 - width[:, 1])
    keep = keep & (down > width[:, 2]) & (down < 1 - width[:, 3])
    grey = torch.randint(0, 3, (count, 1, 1, 1), generator=generator).float() / 2.0
    outside = on * (~keep).float()
    return x * (1.0 - outside) + grey * outside
