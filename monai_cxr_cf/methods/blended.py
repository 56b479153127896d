# SPDX-License-Identifier: Apache-2.0
"""Blended latent diffusion (arXiv 2206.02779): noise inside, the source pasted around it."""

from torch import Tensor

from monai_cxr_cf.catalogue.settings import Blended
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.schedule import ddim, noised


def blended(bench: Bench, settings: Blended) -> Tensor:
    """Pure noise, although the first quarter of the schedule is left out; a paste after each step.

    ``as_published`` pastes the source at the level before the step, with fresh noise each time.
    """
    levels = bench.schedule.levels(settings.steps)[settings.skipped :]
    m = bench.mask(as_published=settings.as_published)
    noise = bench.noise.draw()
    z = noise
    for level in bench.run(levels):
        z = ddim(z, bench.guided(z, level.t, settings.guidance), level.a, level.b)
        if settings.as_published:
            kept = noised(bench.z0, bench.noise.draw(), level.a)
        else:
            kept = bench.z0 if level is levels[-1] else noised(bench.z0, noise, level.b)
        z = m * z + (1 - m) * kept
    return z
