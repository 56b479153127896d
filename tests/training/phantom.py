# SPDX-License-Identifier: Apache-2.0
"""A drawn chest: two dark lungs, a bright heart, grey tissue; with labels."""

from __future__ import annotations

import numpy as np


def chest(seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """256 x 256 image and labels; with a seed the lungs have a fine texture."""
    side = 256
    rows, columns = np.mgrid[:side, :side] / side
    labels = np.zeros((side, side), np.uint8)
    for label, centre in ((1, 0.3), (2, 0.7)):
        labels[((rows - 0.45) / 0.33) ** 2 + ((columns - centre) / 0.15) ** 2 < 1] = label
    labels[((rows - 0.6) / 0.14) ** 2 + ((columns - 0.53) / 0.14) ** 2 < 1] = 3
    lungs = (labels == 1) | (labels == 2)
    image = np.where(lungs, 0.3, 0.72).astype(np.float32)
    image[labels == 3] = 0.8
    if seed is not None:
        noise = np.random.default_rng(seed).standard_normal(image.shape)
        image = np.clip(image + 0.02 * noise, 0, 1).astype(np.float32)
    return image, labels
