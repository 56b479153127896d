# SPDX-License-Identifier: Apache-2.0
"""What a census asks of what: the plan, and a loaded backbone with its latents and texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from monai_cxr_cf.data.folder import Row, load_image
from monai_cxr_cf.diffusion.attention.census import Prompts
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.codec import encode
from monai_cxr_cf.diffusion.model.schedule import noise_schedule
from monai_cxr_cf.diffusion.model.text import encode_text
from monai_cxr_cf.diffusion.steps import Noise
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.attention.asked import Asked
from monai_cxr_cf.grid import ModelGrid


@dataclass(frozen=True)
class Plan:
    """What is asked, of what."""

    asked: tuple[Asked, ...]
    backbone: str = "cxr-mini"
    segmenter: str = "hybridgnet"  # for the outline in the picture only
    split: str = "test"
    images: int = 4
    timesteps: tuple[int, ...] = (699, 499, 299)
    source: str = ""  # the text that the prompts are compared with
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Bench:
    """A loaded backbone, and what of it is used again and again."""

    backbone: Backbone
    plan: Plan
    data: Path
    alphas: Tensor  # ᾱ by timestep
    _latents: dict[str, Tensor] = field(default_factory=dict)

    def model_image(self, row: Row) -> Any:
        """A radiograph on the backbone's square."""
        image = load_image(self.data, row)
        return ModelGrid((image.shape[0], image.shape[1]), self.backbone.side).to_model(image)

    def latent(self, row: Row, t: int) -> Tensor:
        """A radiograph at timestep t, with the plan's noise."""
        if row.id not in self._latents:
            self._latents[row.id] = encode(self.backbone, self.model_image(row))
        z = self._latents[row.id]
        noise = Noise((self.plan.seed,), tuple(z.shape[1:]), z.device).draw()
        alpha_bar = self.alphas[t].to(z.device)
        return alpha_bar**0.5 * z + (1 - alpha_bar) ** 0.5 * noise

    def texts(self, asked: Asked) -> Prompts:
        """A prompt against the source's."""
        target, source = (encode_text(self.backbone, t) for t in (asked.text, self.plan.source))
        return Prompts(target, source, asked.groups(self.backbone.tokenizer))


def bench_for(data: Path, plan: Plan, backbone: Backbone) -> Bench:
    """Check the plan against the backbone; BadRequest for a timestep that it does not have."""
    schedule = DDIMScheduler(**noise_schedule(backbone.scheduler_config))
    last = len(schedule.alphas_cumprod) - 1
    wrong = [t for t in plan.timesteps if not 0 <= t <= last]
    if wrong or not plan.timesteps:
        raise BadRequest(
            f"Timestep {wrong[0]} is asked for; this backbone has 0 (clean) to {last} (noise)."
            if wrong
            else "No timestep is asked for; expected one or more.",
        )
    return Bench(backbone, plan, data, torch.as_tensor(schedule.alphas_cumprod))
