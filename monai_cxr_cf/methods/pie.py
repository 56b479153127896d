# SPDX-License-Identifier: Apache-2.0
"""Progressive image editing (PIE, arXiv 2309.11745): rounds of masked image-to-image.

Every round starts from the picture of the last one, holds the first picture outside while it runs,
and takes back most of what it changed there at its end.
"""

from typing import Any

import numpy as np
from diffusers import PNDMScheduler
from torch import Tensor

from monai_cxr_cf.catalogue.settings import Pie
from monai_cxr_cf.diffusion.model.schedule import noise_schedule
from monai_cxr_cf.methods.frame.bench import Bench, Plane
from monai_cxr_cf.methods.frame.schedule import Level, ddim, noised


def pie(bench: Bench, settings: Pie) -> Tensor:
    """Rounds through pictures of 8 bits, which are the course of the disease as published."""
    z = bench.z0.expand(len(bench.seeds), -1, -1, -1)
    pictures = np.repeat(bench.task.image[None], len(bench.seeds), 0)
    for n in range(settings.rounds):
        if n:
            pictures = eight_bits(bench.decoded(z))
        if settings.as_published:
            z = _as_published(bench, settings, pictures)
        else:
            z = _round(bench, settings, bench.encoded(pictures) if n else z)
    return z


def pie_latent(bench: Bench, settings: Pie) -> Tensor:
    """Rounds that hand on their latent, without the way through the picture."""
    z = bench.z0.expand(len(bench.seeds), -1, -1, -1)
    for _ in range(settings.rounds):
        z = _round(bench, settings, z)
    return z


def eight_bits(images: Plane) -> Plane:
    """Grey values of 0..1 as 8 bits hold them."""
    return np.asarray(np.round(images * 255) / 255, np.float32)


def mask(bench: Bench, settings: Pie) -> Tensor:
    """m, soft, (1, 1, h, w)."""
    if bench.own is not None:
        return bench.own
    return bench.bilinear(bench.region if settings.as_published else bench.task.kappa)


def _round(bench: Bench, settings: Pie, z: Tensor) -> Tensor:
    """One round from a latent: z <- z0 + (m β2 + (1-m) β1) (z - z0) at its end.

    The source is pasted before each call but the first, at that call's own level.
    """
    levels = bench.schedule.levels(settings.steps)[-settings.executed :]
    m, z0 = mask(bench, settings), bench.z0
    start, kept = bench.noise.draw(), bench.noise.draw()
    z = noised(z, start, levels[0].a)
    for level in bench.run(levels, rounds=settings.rounds):
        if level is not levels[0]:
            z = m * z + (1 - m) * noised(z0, kept, level.a)
        z = ddim(z, bench.guided(z, level.t, settings.guidance), level.a, level.b)
    return z0 + (m * settings.beta2 + (1 - m) * settings.beta1) * (z - z0)


def _as_published(bench: Bench, settings: Pie, pictures: Plane) -> Tensor:
    """The published round: sampled posteriors, an unused draw, and PNDM with a level too much."""
    scheduler = pndm(bench, settings)
    times = [int(t) for t in scheduler.timesteps[settings.steps - settings.executed :]]
    m, alphas = mask(bench, settings), bench.schedule.alphas
    source = np.repeat(bench.task.image[None], len(pictures), 0)
    z = noised(bench.sampled(pictures), bench.noise.draw(), alphas[times[0]])
    pasted = bench.sampled(source)
    bench.noise.draw()
    kept, noise = bench.sampled(source), bench.noise.draw()
    levels = [Level(n, t, alphas[t], alphas[t]) for n, t in enumerate(times)]
    for level in bench.run(levels, rounds=settings.rounds):
        if level.index:
            z = m * z + (1 - m) * noised(kept, noise, level.a)
        z = scheduler.step(bench.guided(z, level.t, settings.guidance), level.t, z).prev_sample
    return pasted + (m * settings.beta2 + (1 - m) * settings.beta1) * (z - pasted)


def pndm(bench: Bench, settings: Pie) -> Any:
    """The scheduler that the published weights carry, ready for one round."""
    config = bench.backbone.scheduler_config
    scheduler = PNDMScheduler(
        **noise_schedule(config),
        skip_prk_steps=True,
        set_alpha_to_one=bool(config.get("set_alpha_to_one", True)),
        steps_offset=bench.schedule.offset,
    )
    scheduler.set_timesteps(settings.steps)
    return scheduler
