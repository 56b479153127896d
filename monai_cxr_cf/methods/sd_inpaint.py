# SPDX-License-Identifier: Apache-2.0
"""SD-inpainting: with 4 channels the noised source is pasted after each step, with 9 it is input.

arXiv 2112.10752 as diffusers' ``StableDiffusionInpaintPipeline`` has it. At strength 1 the start is
noise alone: the source is absent.
"""

import numpy as np
import torch
from torch import Tensor

from monai_cxr_cf.catalogue.settings import Inpaint
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.schedule import ddim, noised


def sd_inpaint(bench: Bench, settings: Inpaint) -> Tensor:
    """z <- m z + (1-m) q(z0, t_{i+1}; ε) with one ε; clean z0 after the last step."""
    noise = bench.noise.draw()
    levels = bench.schedule.levels(settings.steps)[-settings.executed :]
    whole = settings.executed == settings.steps
    z = noise if whole else noised(bench.z0, noise, levels[0].a)
    if bench.backbone.kind == "inpaint":
        return _seen(bench, settings, z)
    m = bench.mask(as_published=settings.as_published)
    for level in bench.run(levels):
        e = bench.guided(z, level.t, settings.guidance)
        z = ddim(z, e, level.a, level.b)
        last = level is levels[-1]
        z = m * z + (1 - m) * (bench.z0 if last else noised(bench.z0, noise, level.b))
    return z


def _seen(bench: Bench, settings: Inpaint, z: Tensor) -> Tensor:
    """9 channels: latent, mask, and the source with its masked pixels at 0 of -1..1; no paste."""
    pixels = bench.pixels(as_published=settings.as_published)
    hidden = np.where(pixels >= 0.5, np.float32(0.5), bench.task.image)
    beside = torch.cat([bench.nearest(pixels), bench.encoded(hidden[None])], 1)
    task = bench.task
    for level in bench.run(bench.schedule.levels(settings.steps)[-settings.executed :]):
        e = bench.predict(z, level.t, task.prompt, beside=beside)
        if settings.guidance != 1:
            e_u = bench.predict(z, level.t, task.negative_prompt, beside=beside)
            e = e_u + settings.guidance * (e - e_u)
        z = ddim(z, e, level.a, level.b)
    return z
