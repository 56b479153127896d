# SPDX-License-Identifier: Apache-2.0
"""What a drawing is, and the brushes that draw it: soft masks, clouds, tissue levels, zones.

Images are SxS float32 in 0..1, bright = dense; labels 0 rest, 1 right lung, 2 left lung, 3 heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

LABEL_FINDINGS = {  # NIH label -> finding drawn here, where there is one
    "Effusion": "effusion",
    "Consolidation": "consolidation",
    "Pneumonia": "consolidation",
    "Cardiomegaly": "cardiomegaly",
    "Edema": "edema",
    "Pneumothorax": "pneumothorax",
    "Atelectasis": "atelectasis",
    "Nodule": "nodule",
    "Mass": "mass",
}

# Sources whose style goes with health: told in every caption, half of all receivers at most.
TOLD = frozenset({"nih_256"})

Image = NDArray[np.float32]
Labels = NDArray[np.uint8]
LUNG = {"right": 1, "left": 2}
ZONE_ROWS = {"upper": (0.08, 0.36), "mid": (0.34, 0.64), "lower": (0.6, 0.97)}
SEVERITIES = ("mild", "moderate", "severe")


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn."""

    finding: str  # a key of render.PAINTERS
    side: str = ""  # right, left, bilateral or "" (heart)
    zone: str = ""  # upper, mid, lower or "" (fixed by the finding)
    severity: str = "moderate"  # mild, moderate, severe


def drawable(image: Image, labels: Labels, side: int) -> bool:
    """Whether a lung can be drawn into: 3 % of the image and darker than the tissue around it."""
    lung = labels == side
    if lung.mean() < 0.03:
        return False
    return bool(tissue(image, labels, lung) - np.percentile(image[lung], 60) > 0.125)


def box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """First and last row, first and last column of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], rows[-1], columns[0], columns[-1]


def soft(mask: NDArray[np.bool_], sigma: float) -> Image:
    """A mask with a Gaussian edge, 0..1."""
    return gaussian_filter(mask.astype(np.float32), sigma)


def cloud(shape: tuple[int, ...], rng: np.random.Generator, scale: float) -> Image:
    """Smooth noise of about unit variance with a correlation length of ``scale`` pixels."""
    noise = gaussian_filter(rng.standard_normal(shape).astype(np.float32), scale)
    return noise / (noise.std() + 1e-6)


def tissue(image: Image, labels: Labels, lung: NDArray[np.bool_]) -> float:
    """Brightness of soft tissue beside and below the lung: what fluid or solid lung looks like."""
    ring = binary_dilation(lung, iterations=22) & ~binary_dilation(labels > 0, iterations=4)
    top, bottom, *_ = box(lung)
    ring[: top + 2 * (bottom - top) // 3] = False
    values = image[ring] if ring.sum() > 50 else image[labels > 0]
    level = float(np.percentile(values, 65))
    return float(np.clip(level, image[lung].mean() + 0.12, 0.97))


def paint(image: Image, alpha: Image, level: Image | float, rng: np.random.Generator) -> Image:
    """Blend towards ``level``; quantum noise so that the painted area is not plastic."""
    grain = 0.006 * cloud(image.shape, rng, 0.7) + 0.008 * cloud(image.shape, rng, 2.0)
    return np.asarray(image + alpha * (level + grain - image), np.float32)


def zone_centre(
    lung: NDArray[np.bool_], zone: str, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Centre row and column in a lung's zone, and the zone's half height and half width."""
    top, bottom, *_ = box(lung)
    low, high = ZONE_ROWS[zone]
    first, last = top + low * (bottom - top), top + high * (bottom - top)
    row = rng.uniform(first + 0.3 * (last - first), last - 0.3 * (last - first))
    columns = np.flatnonzero(lung[int(row)])
    if len(columns) == 0:
        columns = np.flatnonzero(lung.any(0))
    width = columns[-1] - columns[0] + 1
    return row, columns[0] + rng.uniform(0.35, 0.65) * width, (last - first) / 2, width / 2
