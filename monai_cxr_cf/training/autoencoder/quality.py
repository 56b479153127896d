# SPDX-License-Identifier: Apache-2.0
"""Image pairs in; PSNR, SSIM and picture sheets out: how a training is watched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter


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


def texture_share(rebuilt: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """Spread of the finest detail (beyond a Gaussian of 1 px) over that of the originals."""
    made, real = (x - gaussian_filter(x, (0, 1, 1)) for x in (rebuilt, target))
    return float(made.std() / real.std())
