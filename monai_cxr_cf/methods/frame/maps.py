# SPDX-License-Identifier: Apache-2.0
"""Maps of some tokens out of a UNet pass, with or without the gradient back to the latent."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cxr_cf.diffusion.model.layers import AttentionLayer
from monai_cxr_cf.methods.frame.attention import layers_of, probabilities
from monai_cxr_cf.methods.frame.bench import Bench

Loss = Callable[[list[tuple[AttentionLayer, Tensor]]], Tensor]


class Maps:
    """Keeps the cross-attention of every pass while ``on``: layer and (B, heads, N, 77)."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[tuple[AttentionLayer, Tensor]] = []

    def __call__(self, layer: AttentionLayer, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
        if not self.on:
            return None
        probs = probabilities(q, k)
        self.seen.append((layer, probs))
        return probs @ v

    def take(self) -> list[tuple[AttentionLayer, Tensor]]:
        """What the passes since the last call left."""
        taken, self.seen = self.seen, []
        return taken


def coarse_layers(bench: Bench, *, mid: bool) -> list[AttentionLayer]:
    """Cross-attention at a quarter of the latent's side, 16 x 16 in SD v1."""
    grid = (bench.hw[0] // 4, bench.hw[1] // 4)
    return [
        layer
        for layer in layers_of(bench)
        if layer.cross and layer.grid == grid and (mid or not layer.name.startswith("mid_block"))
    ]


def mean_map(seen: Sequence[tuple[AttentionLayer, Tensor]]) -> Tensor:
    """Mean over heads and layers of one grid, (B, rows, columns, 77)."""
    rows, columns = seen[0][0].grid
    stacked = torch.cat([probs for _, probs in seen], 1).mean(1)
    return stacked.reshape(len(stacked), rows, columns, -1)


def smoothed(plane: Tensor) -> Tensor:
    """(B, rows, columns) under the 3 x 3 kernel exp(-(d / 2σ)²), σ .5, reflected at the rim.

    As published: no Gaussian of that σ. The kernel is made in float32.
    """
    line = torch.exp(-(torch.arange(-1, 2, dtype=torch.float32) ** 2))
    kernel = line[:, None] * line[None]
    weight = (kernel / kernel.sum()).to(plane)[None, None]
    return F.conv2d(F.pad(plane[:, None], (1, 1, 1, 1), mode="reflect"), weight)[:, 0]


def gradient(
    bench: Bench, maps: Maps, z: Tensor, t: int, loss: Loss, *, back: bool = True
) -> tuple[float, Tensor | None]:
    """Loss of the maps under the prompt, and its gradient at z (1, 4, h, w).

    None where the loss is 0, or without ``back``.
    """
    maps.on = True
    with torch.enable_grad(), bench.meter.during("gradient"):
        leaf = z.detach().to(bench.backbone.dtype).requires_grad_(back)
        bench.predict(leaf, t, bench.task.prompt)
        value = loss(maps.take())
        maps.on = False
        if not back or not value.requires_grad or float(value.detach()) == 0:
            return float(value.detach()), None
        (found,) = torch.autograd.grad(value, [leaf])
    bench.meter.add("backward", items=len(z))
    return float(value.detach()), found.to(torch.promote_types(found.dtype, torch.float32))
