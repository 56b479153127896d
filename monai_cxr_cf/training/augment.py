# SPDX-License-Identifier: Apache-2.0
"""A square radiograph and its labels in, both slightly moved and recontrasted out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform


def augment(
    image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Small rotation, scale, shift and contrast change, labels moved alike; never mirrored."""
    angle, scale = np.deg2rad(rng.uniform(-4, 4)), rng.uniform(0.92, 1.08)
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[cosine, -sine], [sine, cosine]])
    centre = (np.array(image.shape) - 1) / 2
    offset = centre - matrix @ (centre + rng.uniform(-8, 8, 2))
    moved = affine_transform(image.astype(np.float32) / 255, matrix, offset, order=1)
    gamma, gain = np.exp(rng.uniform(-0.18, 0.18)), rng.uniform(0.92, 1.06)
    moved = np.clip(np.clip(moved, 0, 1) ** gamma * gain, 0, 1).astype(np.float32)
    if labels is None:
        return moved, None
    return moved, affine_transform(labels, matrix, offset, order=0)
