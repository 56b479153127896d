# SPDX-License-Identifier: Apache-2.0
"""MasaCtrl (arXiv 2304.08465): the target's queries read the source's keys and values."""

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cxr_cf.catalogue.settings import MasaCtrl
from monai_cxr_cf.diffusion.model.layers import AttentionLayer
from monai_cxr_cf.methods.frame.attention import hooked, layers_of
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.invert import ddim_points
from monai_cxr_cf.methods.frame.schedule import ddim

Pair = tuple[Tensor, Tensor]


class Mutual:
    """Keeps keys and values of a source pass, and hands them to the target's.

    Attributes:
        mode: off, source or target: what the next call is.
        region: (1, 1, h, w) of 0 and 1, or None: read the source's region from the region alone,
            and the rest from the rest.
    """

    def __init__(self, region: Tensor | None = None) -> None:
        self.mode, self.region = "off", region
        self.kept: dict[str, Pair] = {}

    def __call__(self, layer: AttentionLayer, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
        if self.mode == "source":
            self.kept[layer.name] = (k, v)
        if self.mode != "target":
            return None
        k, v = (kept.expand(len(q), -1, -1, -1) for kept in self.kept[layer.name])
        if self.region is None:
            return F.scaled_dot_product_attention(q, k, v)
        inside = F.interpolate(self.region, layer.grid).flatten().bool()
        if not inside.any() or inside.all():
            return F.scaled_dot_product_attention(q, k, v)
        own, rest = (
            F.scaled_dot_product_attention(q, k[:, :, keys], v[:, :, keys])
            for keys in (inside, ~inside)
        )
        return torch.where(inside[:, None], own, rest)


def mutual_layers(bench: Bench) -> list[AttentionLayer]:
    """Self-attention of the last two blocks of the way up: layers 10 to 15 of SD v1's 16."""
    blocks = len(bench.backbone.unet.up_blocks)
    last = tuple(f"up_blocks.{n}." for n in (blocks - 2, blocks - 1))
    return [x for x in layers_of(bench) if not x.cross and x.name.startswith(last)]


def masactrl(bench: Bench, settings: MasaCtrl) -> Tensor:
    """DDIM inversion without words; source and target are sampled side by side.

    The source has no words, so that both halves of its guidance are one prediction.
    """
    levels = bench.schedule.levels(settings.steps)
    points = ddim_points(bench, levels, lambda z, t: bench.predict(z, t, ""))
    source, z = points[0], points[0].expand(len(bench.seeds), -1, -1, -1)
    mutual = Mutual(bench.nearest(bench.region) if settings.masked else None)
    with hooked(bench.backbone.unet, mutual_layers(bench), mutual):
        for n, level in enumerate(bench.run(levels)):
            acts = n >= settings.start
            mutual.mode = "source" if acts else "off"
            e_source = bench.predict(source, level.t, "")
            mutual.mode = "target" if acts else "off"
            z = ddim(z, bench.guided(z, level.t, settings.guidance), level.a, level.b)
            source = ddim(source, e_source, level.a, level.b)
    return z
