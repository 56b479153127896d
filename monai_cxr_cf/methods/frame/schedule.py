# SPDX-License-Identifier: Apache-2.0
"""The backbone's noise schedule as the published samplers use it, and their steps.

a is ᾱ at the level of z, b at the level that the step leads to. Betas, spacing, offset and the
last ᾱ come from the backbone's scheduler file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusers import DDIMScheduler
from torch import Tensor

from monai_cxr_cf.diffusion.model.schedule import noise_schedule
from monai_cxr_cf.diffusion.steps import all_timesteps


@dataclass(frozen=True)
class Level:
    """One step: its number in the whole schedule, the timestep, ᾱ before and after it."""

    index: int
    t: int
    a: float
    b: float


class Schedule:
    """All levels of a backbone."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        schedule = noise_schedule(config)
        self.scheduler = DDIMScheduler(**schedule)
        self.alphas = [float(a) for a in self.scheduler.alphas_cumprod]
        self.final = 1.0 if config.get("set_alpha_to_one", True) else self.alphas[0]
        self.spacing = "trailing" if config.get("timestep_spacing") == "trailing" else "leading"
        self.offset = int(config.get("steps_offset") or 0)

    def levels(self, steps: int) -> list[Level]:
        """The whole schedule of so many steps, noisiest first; the last step leads to ``final``."""
        times = all_timesteps(
            steps, spacing=self.spacing, train_steps=len(self.alphas), offset=self.offset
        )
        after = [*(self.alphas[t] for t in times[1:]), self.final]
        pairs = enumerate(zip(times, after, strict=True))
        return [Level(i, t, self.alphas[t], b) for i, (t, b) in pairs]


def noised(z0: Tensor, noise: Tensor, a: float) -> Tensor:
    """q(z0, t; ε) = √ᾱ z0 + √(1-ᾱ) ε."""
    z: Tensor = a**0.5 * z0 + (1 - a) ** 0.5 * noise
    return z


def ddim(z: Tensor, e: Tensor, a: float, b: float) -> Tensor:
    """The deterministic DDIM step from ᾱ = a to ᾱ = b; upwards it is its own inversion."""
    x0 = (z - (1 - a) ** 0.5 * e) / a**0.5
    moved: Tensor = b**0.5 * x0 + (1 - b) ** 0.5 * e
    return moved


def variance(level: Level) -> float:
    """σ² of the DDPM step: (1-b)/(1-a) (1 - a/b)."""
    return (1 - level.b) / (1 - level.a) * (1 - level.a / level.b)


def ddpm_mean(z: Tensor, e: Tensor, level: Level, *, direction: float) -> Tensor:
    """μ of the DDIM step with noise; ``direction`` is the variance that the direction gives up."""
    x0 = (z - (1 - level.a) ** 0.5 * e) / level.a**0.5
    mean: Tensor = level.b**0.5 * x0 + max(1 - level.b - direction, 0.0) ** 0.5 * e
    return mean
