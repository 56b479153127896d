# SPDX-License-Identifier: Apache-2.0
"""Attend-and-Excite (arXiv 2301.13826): every finding's token must hold some cell.

The step of 20 and a maximum over cells amplify rounding by 1e4 and more: results are not the same
on another machine.
"""

import numpy as np
import torch
from torch import Tensor

from monai_cxr_cf.catalogue.settings import AttendExcite
from monai_cxr_cf.diffusion.model.layers import AttentionLayer
from monai_cxr_cf.methods.frame.attention import hooked
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.maps import Maps, coarse_layers, gradient, mean_map, smoothed
from monai_cxr_cf.methods.frame.schedule import ddim, noised

ENOUGH = {0: 0.05, 10: 0.5, 20: 0.8}  # step -> attention at which its refinement ends
SHARPEN = 100.0


def attend_excite(bench: Bench, settings: AttendExcite) -> Tensor:
    """z <- z - 20 √(1 to .5) ∂L/∂z before each of the first steps, again and again at some.

    Starts from the noised source; ``as_published`` from noise alone: no source is known.
    """
    levels = bench.schedule.levels(settings.steps)[-settings.executed :]
    noise = bench.noise.draw()
    z = noise if settings.as_published else noised(bench.z0, noise, levels[0].a)
    sizes = settings.step * np.sqrt(np.linspace(1.0, 0.5, len(levels)))
    maps = Maps()
    with hooked(bench.backbone.unet, coarse_layers(bench, mid=True), maps):
        for n, level in enumerate(bench.run(levels)):
            if n < settings.altered:
                moved = [_moved(bench, settings, maps, (one[None], level.t), (n, float(sizes[n])))
                         for one in z]  # fmt: skip
                z = torch.cat(moved)
            z = ddim(z, bench.guided(z, level.t, settings.guidance), level.a, level.b)
    return z


def _moved(
    bench: Bench,
    settings: AttendExcite,
    maps: Maps,
    at: tuple[Tensor, int],
    step: tuple[int, float],
) -> Tensor:
    """One image's latent after the refinement of its step, if it has one, and the update."""
    (z, t), (n, size) = at, step

    def loss(seen: list[tuple[AttentionLayer, Tensor]]) -> Tensor:
        return shortfall(bench, seen)

    value, slope = gradient(bench, maps, z, t, loss)
    target = 1 - ENOUGH.get(n, 0.0)
    if n in ENOUGH and value > target:
        for _ in range(settings.refinements):
            value, slope = gradient(bench, maps, z, t, loss)
            z = z if slope is None else z - size * slope
            if value <= target:
                break
        value, slope = gradient(bench, maps, z, t, loss)
    return z if slope is None else z - size * slope


def shortfall(bench: Bench, seen: list[tuple[AttentionLayer, Tensor]]) -> Tensor:
    """L = max over tokens of max(0, 1 - the highest cell) of one image; 0 without tokens.

    Maps are sharpened over all positions but the first and the last.
    """
    sharp = torch.softmax(mean_map(seen)[..., 1:-1] * SHARPEN, -1)
    tokens = sorted({k for target in bench.task.targets for k in target.tokens})
    highest = [smoothed(sharp[..., k - 1]).max() for k in tokens if 1 <= k <= sharp.shape[-1]]
    if not highest:
        return sharp.new_zeros(())
    return torch.stack([(1 - value).clamp(min=0) for value in highest]).max()
