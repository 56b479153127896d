# SPDX-License-Identifier: Apache-2.0
"""Where a UNet attends: every attention layer with its resolution level, derived, never counted.

A diffusers ``UNet2DConditionModel`` and a latent size in; one ``AttentionLayer`` per attention
module out, in the order in which a forward pass runs them. ``laws.plan`` plans per layer
of this list.
"""

from dataclasses import dataclass
from typing import Any

MID_LEVEL = 3
Grid = tuple[int, int]


@dataclass(frozen=True)
class AttentionLayer:
    """One attention module of the UNet.

    Attributes:
        name: dotted module name, e.g. ``down_blocks.0.attentions.1.transformer_blocks.0.attn2``.
        level: 0, 1, 2 = first three attention resolutions, finest first; 3 = mid block (and any
            coarser resolution), never regulated unless asked for.
        grid: (rows, columns) of attention cells.
        heads: number of heads.
        cross: cross-attention (attn2) or self-attention (attn1).
    """

    name: str
    level: int
    grid: Grid
    heads: int
    cross: bool


def attention_levels(unet: Any, latent_hw: Grid) -> tuple[AttentionLayer, ...]:
    """All attention layers in execution order for a latent of ``latent_hw`` = (rows, columns).

    Sizes follow the UNet's own down-samplers (stride 2, rounded up); the up path mirrors them.
    """
    grids, mid = _block_grids(unet, latent_hw)
    stages = [(f"down_blocks.{i}", unet.down_blocks[i], grid) for i, grid in enumerate(grids)]
    stages.append(("mid_block", unet.mid_block, mid))
    ups = zip(unet.up_blocks, reversed(grids), strict=True)
    stages += [(f"up_blocks.{i}", block, grid) for i, (block, grid) in enumerate(ups)]
    found = [
        (f"{prefix}.{name}", module, grid)
        for prefix, block, grid in stages
        if block is not None
        for name, module in block.named_modules()
        if name.endswith((".attn1", ".attn2"))
    ]
    outer = {grid for name, _, grid in found if not name.startswith("mid_block")}
    rank = {grid: i for i, grid in enumerate(sorted(outer, reverse=True))}
    return tuple(
        AttentionLayer(
            name=name,
            level=MID_LEVEL if name.startswith("mid_block") else min(rank[grid], MID_LEVEL),
            grid=grid,
            heads=module.heads,
            cross=name.endswith(".attn2"),
        )
        for name, module, grid in found
    )


def _block_grids(unet: Any, latent_hw: Grid) -> tuple[list[Grid], Grid]:
    """Grid of each down block's attentions, and that of the mid block."""
    grid, grids = latent_hw, []
    for block in unet.down_blocks:
        grids.append(grid)
        if getattr(block, "downsamplers", None) is not None:
            grid = (-(-grid[0] // 2), -(-grid[1] // 2))
    return grids, grid
