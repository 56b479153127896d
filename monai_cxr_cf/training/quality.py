# SPDX-License-Identifier: Apache-2.0
"""Image pairs in; PSNR, SSIM and picture sheets out: how a training is watched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter


def psnr(image: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Peak signal-to-noise ratio in dB of two HxW images in 0..1."""
    error = float(np.mean((image - reference) ** 2))
    return float(10 * np.log10(1 / max(error, 1e-12)))


def ssim(image: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Structural similarity of two HxW images in 0..1 (11x11 Gaussian window, sigma 1.5)."""

    def blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(x, 1.5, truncate=3.4)

    a, b = image.astype(np.float64), reference.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float((value / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def sheet(rows: list[list[NDArray[np.float32]]], path: Path) -> None:
    """Rows of equal HxW images in 0..1 as one PNG grid."""
    grid = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(np.clip(grid, 0, 1) * 255).astype(np.uint8)).save(path)


def reconstruction_sheet(
    target: NDArray[np.float32], rebuilt: NDArray[np.float32], path: Path
) -> None:
    """Originals above, reconstructions below, tenfold difference at the bottom."""
    difference = np.abs(rebuilt - target) * 10
    sheet([list(target), list(rebuilt), list(difference)], path)
