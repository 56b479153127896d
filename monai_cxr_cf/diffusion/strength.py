# SPDX-License-Identifier: Apache-2.0
"""Auto strength: bisect the share of the schedule that is run until the region looks alike enough.

A function strength -> (SSIM, result) in, the best result and all evaluations out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from monai_cxr_cf.diffusion.codec import Planes

Result = TypeVar("Result")
LOW, HIGH = 0.2, 0.9
EVALUATIONS = 5
CLOSE = 0.005  # an SSIM this near its target ends the search
C1, C2 = 0.01**2, 0.03**2  # the usual constants of SSIM for a range of 1


@dataclass(frozen=True)
class Search(Generic[Result]):
    """The best of all evaluations, by distance to the target, and what each gave."""

    strength: float
    result: Result
    tried: tuple[tuple[float, float, Result], ...]  # (strength, SSIM, result) in order


def auto_strength(
    evaluate: Callable[[float], tuple[float, Result]], target: float, *, steps: int
) -> Search[Result]:
    """Bisect on [.2, .9] to SSIM ``target``; at most 5 evaluations, the best kept.

    SSIM falls with strength, most likely but not certainly: hence the best, not the last. Ends
    early once the interval is narrower than one of the ``steps`` of the schedule.
    """
    low, high = LOW, HIGH
    tried: list[tuple[float, float, Result]] = []
    while len(tried) < EVALUATIONS and (not tried or high - low >= 1 / steps):
        middle = (low + high) / 2
        ssim, result = evaluate(middle)
        tried.append((middle, ssim, result))
        if abs(ssim - target) <= CLOSE:
            break
        low, high = (middle, high) if ssim > target else (low, middle)
    best = min(tried, key=lambda one: abs(one[1] - target))
    return Search(best[0], best[2], tuple(tried))


def region_ssim(a: Planes, b: Planes, kappa: Planes) -> float:
    """Mean SSIM of (N, S, S) against (S, S) over region and band (κ > 0); 1 if empty."""
    inside = np.asarray(kappa) > 0
    if not inside.any():
        return 1.0
    return float(np.mean([ssim_map(one, b)[inside].mean() for one in a]))


def ssim_map(a: Planes, b: Planes) -> NDArray[Any]:
    """SSIM per pixel of two HxW images in 0..1: Gaussian window 11x11, σ = 1.5."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)

    def mean(plane: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(gaussian_filter(plane, 1.5, truncate=3.5))

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    similarity: NDArray[Any] = ((2 * mx * my + C1) * (2 * cov + C2)) / (
        (mx**2 + my**2 + C1) * (vx + vy + C2)
    )
    return similarity
