# SPDX-License-Identifier: Apache-2.0
"""DiffEdit (arXiv 2210.11427): where two prompts disagree is edited, from a DDIM inversion."""

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.settings import DiffEdit, Partial
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.invert import ddim_points
from monai_cxr_cf.methods.frame.schedule import ddim, noised

CLAMP = 3.0  # times the mean disagreement


def diffedit(bench: Bench, settings: DiffEdit) -> Tensor:
    """Mask, inversion under the source prompt, sampling with the inverted latents pasted outside.

    ``as_published`` pastes the latent of the level before the step.
    """
    levels = bench.schedule.levels(settings.steps)[-settings.executed :]
    late = settings.as_published
    m = disagreement(bench, settings) if settings.mask == "auto" else bench.mask(as_published=late)
    points = ddim_points(bench, levels, lambda z, t: source_guided(bench, settings, z, t))
    z = points[0].expand(len(bench.seeds), -1, -1, -1)
    for n, level in enumerate(bench.run(levels)):
        z = ddim(z, bench.guided(z, level.t, settings.guidance), level.a, level.b)
        z = m * z + (1 - m) * points[n if late else n + 1]
    return z


def source_guided(bench: Bench, settings: DiffEdit, z: Tensor, t: int) -> Tensor:
    """cfg(s) on the source prompt; one call where that is the empty one."""
    source = bench.task.source_prompt
    if source == bench.task.negative_prompt:
        return bench.predict(z, t, source)
    return bench.guided(z, t, settings.guidance, source)


def disagreement(bench: Bench, settings: DiffEdit) -> Tensor:
    """Where guided predictions under both prompts differ by more than half of three means.

    (N, 1, h, w) of 0 and 1; each seed has its own draws and mask. Both are guided from the same
    e_u, so that s (e_c - e_s) is their difference, and s falls out.
    """
    task = bench.task
    part = Partial(steps=settings.steps, strength=settings.mask_strength)
    level = bench.schedule.levels(settings.steps)[-part.executed]
    found = torch.zeros(())
    for _ in range(settings.draws):
        z = noised(bench.z0, bench.noise.draw(), level.a)
        apart = bench.predict(z, level.t, task.prompt) - bench.predict(
            z, level.t, task.source_prompt
        )
        found = found.to(z.device) + apart.abs().mean(1, keepdim=True)
    found = found / settings.draws
    most = CLAMP * found.mean((1, 2, 3), keepdim=True)
    return (found.clamp(min=0).minimum(most) / most > 0.5).float()
