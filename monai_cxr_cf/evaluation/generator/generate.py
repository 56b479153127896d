# SPDX-License-Identifier: Apache-2.0
"""A backbone and prompts in, images out by plain sampling: no law of the method acts.

What the backbone itself has learnt: from text alone, or from a radiograph by image-to-image. The
yardstick for everything that regulation adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.codec import decode
from monai_cxr_cf.diffusion.model.text import encode_text
from monai_cxr_cf.diffusion.steps import Noise, Solver
from monai_cxr_cf.presets import EditConfig, Sampling, Start

Planes = NDArray[np.float32]
BATCH = 8


@dataclass(frozen=True)
class Plain:
    """How plain images are made."""

    guidance: float = 4.0  # classifier-free guidance scale; 1 = none
    steps: int = 30  # scheduler steps over the whole schedule
    solver: str = "dpmpp"  # dpmpp or ddim
    bf16: bool = False  # the UNet in bfloat16: about twice as fast on CPUs with AMX

    def config(self, strength: float) -> EditConfig:
        """The same as an edit configuration; BadRequest if a value is out of range."""
        return (
            EditConfig(sampling=Sampling(), start=Start())
            .with_overrides(
                {
                    "sampling": {
                        "guidance_scale": self.guidance,
                        "steps": self.steps,
                        "solver": self.solver,
                    },
                    "start": {"strength": strength},
                }
            )
            .as_run()
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@torch.no_grad()
def generate(
    backbone: Backbone,
    prompts: Sequence[str],
    plain: Plain,
    *,
    seeds: Sequence[int],
    source: Tensor | None = None,
    strength: float = 1.0,
) -> Planes:
    """One image per prompt and seed: (N, S, S) float32 0..1.

    Args:
        prompts: N texts.
        seeds: N; equal seeds share their noise.
        source: (1, 4, h, w) scaled latent to begin from at ``strength``; None begins in noise.
        strength: share of the schedule that is run.
    """
    images = []
    for start in range(0, len(prompts), BATCH):
        part = slice(start, start + BATCH)
        z = _latents(
            backbone,
            prompts[part],
            Solver(plain.config(strength), backbone.scheduler_config),
            seeds=seeds[part],
            source=source,
            plain=plain,
        )
        images.append(decode(backbone, z))
    return np.concatenate(images)


def _latents(
    backbone: Backbone,
    prompts: Sequence[str],
    solver: Solver,
    *,
    seeds: Sequence[int],
    source: Tensor | None,
    plain: Plain,
) -> Tensor:
    side = int(backbone.unet.config.sample_size)
    shape = (4, side, side) if source is None else tuple(source.shape[1:])
    noise = Noise(tuple(seeds), shape, backbone.device).draw()
    z = noise if source is None else solver.noised(source, noise, 0)
    states = torch.cat([encode_text(backbone, prompt) for prompt in prompts])
    empty = encode_text(backbone, "").expand_as(states)
    for i in range(solver.n_exec):
        t = torch.tensor([solver.timesteps[i]], device=z.device).expand(len(z))
        with torch.autocast(z.device.type, torch.bfloat16, enabled=plain.bf16):
            e = backbone.unet(z.to(backbone.dtype), t, states).sample.float()
            if plain.guidance != 1:
                free = backbone.unet(z.to(backbone.dtype), t, empty).sample.float()
                e = free + plain.guidance * (e - free)
        z = solver.step(e, i, z)
    return z
