# SPDX-License-Identifier: Apache-2.0
"""A finding and its degree in; an invented opacity in the lung frame out, where no real one fits.

Fluid with a meniscus, air-space opacity of one zone, perihilar oedema, plates of atelectasis. The
maps are 0..1, how much of the lung is lost at each place, as ``transplant`` measures real ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from monai_cxr_cf.training.drawn_pairs.drawing import Drawing, Image, cloud
from monai_cxr_cf.training.drawn_pairs.lungframe import FRAME, MARGIN
from monai_cxr_cf.training.drawn_pairs.transplant import BANDS

# Columns run from the lateral wall (0) to the heart (1), rows from apex (0) to base (1).
INWARD = ((np.arange(FRAME[1]) - MARGIN) / (FRAME[1] - 2 * MARGIN)).astype(np.float32)[None]
DOWN = ((np.arange(FRAME[0]) - MARGIN) / (FRAME[0] - 2 * MARGIN)).astype(np.float32)[:, None]


def invent(drawing: Drawing, rng: np.random.Generator) -> Image:
    """An opacity map for effusion, consolidation, edema (one side) or atelectasis."""
    return np.clip(_INVENTORS[drawing.finding](drawing, rng), 0, 0.95).astype(np.float32)


def _step(value: NDArray[np.floating[Any]]) -> Image:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -30, 30))), np.float32)


def _effusion(drawing: Drawing, rng: np.random.Generator) -> Image:
    """A meniscus: highest and thinnest at the wall, fading upward; mild: only the angle is blunted.

    On the right fluid may lie in the minor fissure as well.
    """
    low, high = {"mild": (-0.02, 0.05), "moderate": (0.19, 0.3), "severe": (0.34, 0.53)}[
        drawing.severity
    ]
    floor = rng.uniform(low, high)  # height of the fluid at its lowest point
    wall = rng.uniform(0.12, 0.2) + (0.0 if drawing.severity == "mild" else rng.uniform(0.05, 0.18))
    lateral = np.clip(1 - INWARD, 0, 1.1)
    height = floor + wall * lateral ** rng.uniform(2.2, 4.0)
    if drawing.severity != "mild":
        height = height + rng.uniform(0, 0.07) * np.clip(INWARD, 0, 1) ** 4
    height = height + 0.008 * cloud(FRAME, rng, 12) + 0.06 * np.clip(INWARD, 0, 1)
    blur = rng.uniform(0.02, 0.035) * (1 + 0.8 * np.clip(INWARD, 0, 1) + 1.2 * lateral**6)
    depth = DOWN - (1 - height)
    dense = 0.78 + 0.22 * np.clip(depth / 0.18, 0, 1)
    veil = rng.uniform(0.04, 0.2) * np.clip(1 + depth / 0.22, 0, 1) ** 2
    found = np.maximum(_step(depth / blur) * dense * rng.uniform(0.88, 0.96), veil)
    if drawing.severity == "mild":
        return np.asarray(np.where(depth > -0.1, found, 0), np.float32)
    if drawing.side == "right" and rng.random() < 0.35:
        found = np.maximum(found, _fissure(rng))
    return np.asarray(found, np.float32)


def _fissure(rng: np.random.Generator) -> Image:
    """A thin line of fluid from the hilum to the wall, thickest at the wall."""
    row = rng.uniform(0.46, 0.56) + rng.uniform(-0.05, 0.05) * (INWARD - 0.5)
    row = row - rng.uniform(0, 0.04) * np.sin(np.pi * np.clip(INWARD, 0, 1))
    thick = rng.uniform(0.009, 0.014) * (1.4 - 0.7 * np.clip(INWARD, 0, 1))
    ends = _step((0.88 - INWARD) / 0.04)
    return np.asarray(rng.uniform(0.35, 0.55) * np.exp(-(((DOWN - row) / thick) ** 2)) * ends)


def _consolidation(drawing: Drawing, rng: np.random.Generator) -> Image:
    """Merging patches with a soft rim inside a zone; air-filled bronchi run through them."""
    low, high = BANDS[drawing.zone or "lower"]
    size = {"mild": 0.9, "moderate": 1.1, "severe": 1.4}[drawing.severity]
    body = np.zeros(FRAME, np.float32)
    for _ in range(int(rng.integers(2, 5))):
        row, column = rng.uniform(low + 0.09, high - 0.09), rng.uniform(0.22, 0.78)
        tall = size * rng.uniform(0.6, 1.1) * 0.5 * (high - low)
        wide = size * rng.uniform(0.24, 0.46)
        radius = np.hypot((DOWN - row) / tall, (INWARD - column) / wide)
        ragged = radius + 0.2 * cloud(FRAME, rng, 7) + 0.13 * cloud(FRAME, rng, 3)
        body = np.maximum(body, _step((0.85 - ragged) * rng.uniform(3.5, 5.5)))
    tilt = rng.uniform(-0.06, 0.06) * (INWARD - 0.5) * 2
    at_fissure = drawing.zone == "upper" and drawing.side == "right" and rng.random() < 0.4
    if drawing.zone != "lower":
        body = body * _step((high - 0.03 + tilt - DOWN) / (0.014 if at_fissure else 0.05))
    if drawing.zone != "upper":
        body = body * _step((DOWN - low - 0.03 + tilt) / 0.05)
    strength = {"mild": 0.55, "moderate": 0.74, "severe": 0.92}[drawing.severity]
    patches = np.clip(1 + 0.14 * cloud(FRAME, rng, 5) + 0.05 * cloud(FRAME, rng, 1.5), 0.5, 1.15)
    return np.asarray(body * patches * (1 - 0.36 * _airways(low, high, rng)) * strength, np.float32)


def _airways(low: float, high: float, rng: np.random.Generator) -> Image:
    """Bronchi 0..1 that branch from the hilum into the band ``low`` to ``high``, thinning out."""
    canvas = np.zeros(FRAME, np.float32)
    hilum = np.array([rng.uniform(0.42, 0.52), 0.98])
    for _ in range(int(rng.integers(3, 6))):
        end = np.array([rng.uniform(low, high), rng.uniform(0.15, 0.5)])
        _tube(canvas, hilum, end, rng)
        fork = hilum + rng.uniform(0.4, 0.7) * (end - hilum)
        for _ in range(2):
            _tube(canvas, fork, end + rng.uniform(-0.16, 0.16, 2), rng)
    return np.clip(gaussian_filter(canvas, 0.75) * 3.2, 0, 1)


def _tube(
    canvas: Image, start: NDArray[np.float64], end: NDArray[np.float64], rng: np.random.Generator
) -> None:
    """One bent line, fainter towards its end."""
    along = np.linspace(0, 1, 120)[:, None]
    middle = (start + end) / 2 + rng.uniform(-0.06, 0.06, 2)
    path = (1 - along) ** 2 * start + 2 * along * (1 - along) * middle + along**2 * end
    inner = np.array(FRAME) - 2 * MARGIN
    at = np.clip((path * inner + MARGIN).round().astype(int), 0, np.array(FRAME) - 1)
    canvas[at[:, 0], at[:, 1]] = np.maximum(canvas[at[:, 0], at[:, 1]], 1 - 0.5 * along[:, 0])


def _edema(drawing: Drawing, rng: np.random.Generator) -> Image:
    """Soft haze round the hilum that spares the rim, denser below; short lines at the wall."""
    strength = {"mild": 0.3, "moderate": 0.52, "severe": 0.76}[drawing.severity]
    spread = {"mild": 0.5, "moderate": 0.62, "severe": 0.8}[drawing.severity]
    radius = np.hypot((DOWN - rng.uniform(0.54, 0.66)) / (0.68 * spread), (1 - INWARD) / spread)
    body = np.exp(-(np.clip(radius + 0.14 * cloud(FRAME, rng, 9), 0, None) ** 2))
    texture = np.clip(1 + 0.14 * cloud(FRAME, rng, 5) + 0.06 * cloud(FRAME, rng, 1.8), 0.5, 1.4)
    lines = gaussian_filter(rng.standard_normal(FRAME), (0.6, 3.0)) * 5
    kerley = np.clip(lines - 1.1, 0, 1) * (INWARD < 0.2) * (DOWN > 0.6)
    return np.asarray(body * texture * strength + 0.25 * strength * kerley, np.float32)


def _atelectasis(drawing: Drawing, rng: np.random.Generator) -> Image:
    """Plate-like bands above the diaphragm, with haze under them when severe."""
    low, high = BANDS[drawing.zone or "lower"]
    share = np.zeros(FRAME, np.float32)
    for _ in range({"mild": 1, "moderate": 2, "severe": 3}[drawing.severity]):
        row, column = rng.uniform(low + 0.05, high - 0.1), rng.uniform(0.35, 0.65)
        across = INWARD - column
        off = DOWN - row + rng.uniform(-0.2, 0.2) * across + 0.008 * cloud(FRAME, rng, 9)
        band = np.exp(-((off / rng.uniform(0.014, 0.026)) ** 2) - (across / 0.42) ** 4)
        share = np.maximum(share, band * rng.uniform(0.55, 0.8))
    haze = {"mild": 0.08, "moderate": 0.2, "severe": 0.38}[drawing.severity]
    under = _step((DOWN - (low + 0.14)) / 0.04) * _step((high + 0.1 - DOWN) / 0.04)
    return np.asarray(np.maximum(share, haze * under), np.float32)


_INVENTORS = {
    "effusion": _effusion,
    "consolidation": _consolidation,
    "edema": _edema,
    "atelectasis": _atelectasis,
}
