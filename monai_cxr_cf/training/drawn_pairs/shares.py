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
    """Concave surface, highest at the wall; mild: only the angle is blunted."""
    low, high = {"mild": (-0.02, 0.05), "moderate": (0.17, 0.28), "severe": (0.36, 0.55)}[
        drawing.severity
    ]
    floor = rng.uniform(low, high)  # height of the fluid at its lowest point
    wall = rng.uniform(0.12, 0.2) + (0.0 if drawing.severity == "mild" else rng.uniform(0, 0.12))
    lateral = np.clip(1 - INWARD, 0, 1.1)
    height = floor + wall * lateral ** rng.uniform(1.6, 3.2)
    if drawing.severity != "mild":
        height = height + rng.uniform(0, 0.07) * np.clip(INWARD, 0, 1) ** 4
    height = height + 0.012 * cloud(FRAME, rng, 9) + 0.07 * (1 - 0.13) * np.clip(INWARD, 0, 1)
    blur = rng.uniform(0.018, 0.045) * (0.7 + 0.9 * np.clip(INWARD, 0, 1))
    depth = DOWN - (1 - height)
    dense = 0.8 + 0.2 * np.clip(depth / 0.15, 0, 1)
    veil = 0.16 * rng.random() * np.clip(1 + depth / 0.18, 0, 1) * (drawing.severity != "mild")
    return np.maximum(_step(depth / blur) * dense * rng.uniform(0.88, 0.96), veil)


def _consolidation(drawing: Drawing, rng: np.random.Generator) -> Image:
    """One to three merging patches inside a zone, with lighter airways running through them."""
    low, high = BANDS[drawing.zone or "lower"]
    size = {"mild": 0.85, "moderate": 1.05, "severe": 1.35}[drawing.severity]
    body = np.zeros(FRAME, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        row, column = rng.uniform(low + 0.09, high - 0.09), rng.uniform(0.25, 0.75)
        tall = size * rng.uniform(0.7, 1.15) * 0.48 * (high - low)
        wide = size * rng.uniform(0.26, 0.46)
        radius = np.hypot((DOWN - row) / tall, (INWARD - column) / wide)
        ragged = radius + 0.22 * cloud(FRAME, rng, 5) + 0.12 * cloud(FRAME, rng, 2)
        body = np.maximum(body, _step((0.95 - ragged) * rng.uniform(3.0, 7.0)))
    edge = 0.02 if drawing.zone == "upper" and rng.random() < 0.3 else 0.045  # at a fissure
    tilt = rng.uniform(-0.06, 0.06) * (INWARD - 0.5) * 2
    if drawing.zone != "lower":
        body = body * _step((high - 0.03 + tilt - DOWN) / edge)
    if drawing.zone != "upper":
        body = body * _step((DOWN - low - 0.03 + tilt) / 0.045)
    strength = {"mild": 0.55, "moderate": 0.7, "severe": 0.88}[drawing.severity]
    patches = np.clip(1 + 0.16 * cloud(FRAME, rng, 4) + 0.07 * cloud(FRAME, rng, 1.2), 0.4, 1.2)
    return np.asarray(body * patches * (1 - 0.3 * _airways(rng)) * strength, np.float32)


def _airways(rng: np.random.Generator) -> Image:
    """Thin irregular lines, 0..1: where smooth noise crosses zero."""
    noise = cloud(FRAME, rng, 4.0)
    lines = np.exp(-((noise / 0.16) ** 2)) * (cloud(FRAME, rng, 6.0) > 0)
    return np.asarray(gaussian_filter(lines, 0.7), np.float32)


def _edema(drawing: Drawing, rng: np.random.Generator) -> Image:
    """Haze round the hilum that thins towards the wall, a fine net, short lines at the wall."""
    strength = {"mild": 0.24, "moderate": 0.38, "severe": 0.56}[drawing.severity]
    spread = {"mild": 0.55, "moderate": 0.7, "severe": 0.9}[drawing.severity]
    radius = np.hypot((DOWN - rng.uniform(0.52, 0.66)) / (0.62 * spread), (1 - INWARD) / spread)
    body = np.exp(-((np.clip(radius + 0.12 * cloud(FRAME, rng, 7), 0, None)) ** 2) * 0.9)
    net = np.abs(cloud(FRAME, rng, 1.3))
    vessels = np.exp(-((cloud(FRAME, rng, 3.0) / 0.3) ** 2))
    lines = gaussian_filter(rng.standard_normal(FRAME), (0.6, 4.0)) * 5
    kerley = np.clip(lines - 0.9, 0, 1) * (INWARD < 0.25) * (DOWN > 0.55)
    texture = np.clip(0.8 + 0.22 * (net - 0.8) + 0.3 * vessels, 0.2, 1.5)
    return np.asarray(body * texture * strength + 0.3 * strength * kerley, np.float32)


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
