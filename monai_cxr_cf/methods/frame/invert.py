# SPDX-License-Identifier: Apache-2.0
"""Ways back up from a picture to noise, as the published editors take them."""

from collections.abc import Callable, Sequence

from torch import Tensor

from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.schedule import Level, ddim, ddpm_mean, noised, variance

Predict = Callable[[Tensor, int], Tensor]  # (z, t) -> ε


def ddim_points(bench: Bench, levels: Sequence[Level], predict: Predict) -> list[Tensor]:
    """DDIM upwards from z0: the latent of every level, noisiest first, and z0 last.

    ε is predicted at the timestep that is reached, as the step back down will.
    """
    z = bench.z0
    points = [z]
    for level in bench.inverting(levels[::-1]):
        z = ddim(z, predict(z, level.t), level.b, level.a)
        points.append(z)
    return points[::-1]


def edit_friendly(
    bench: Bench, levels: Sequence[Level], predict: Predict, *, directions: Sequence[float]
) -> tuple[list[Tensor], list[Tensor]]:
    """Points x_j with independent noise, and what each step's mean lacks to reach the next one.

    n_j = (x_{j+1} - μ_j) / σ_j of arXiv 2304.06140, kept as σ_j n_j, so that a last step whose σ is
    0 is exact as well. ``directions``: per level the variance that the direction gives up.
    """
    points = [noised(bench.z0, bench.noise.draw(), level.a) for level in levels]
    points.append(bench.z0.expand_as(points[0]))
    lacking = []
    for n, level in enumerate(bench.inverting(levels)):
        mean = ddpm_mean(points[n], predict(points[n], level.t), level, direction=directions[n])
        lacking.append(points[n + 1] - mean)
    return points, lacking


def directions(levels: Sequence[Level], eta: float, *, as_published: bool = False) -> list[float]:
    """η² σ² per level; the published code has η σ²."""
    factor = eta if as_published else eta**2
    return [factor * variance(level) for level in levels]
