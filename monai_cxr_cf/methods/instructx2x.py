# SPDX-License-Identifier: Apache-2.0
"""InstructX2X (arXiv 2603.00423): InstructPix2Pix where the instruction acts by itself."""

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.orders import InstructX2X
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.schedule import ddim, noised
from monai_cxr_cf.methods.ip2p import check_trained, instructed, instruction, three
from monai_cxr_cf.methods.rse import response


def instructx2x(bench: Bench, settings: InstructX2X) -> Tensor:
    """From the noised source; after each step all but M is the source at that step's level.

    The published priors, boxes of MS-CXR, cover 59 to 83 % of the picture; ours is the region with
    its band. ``as_published`` pastes the level before the step. Its last paste, of pixels, is the
    composite's task here. M without a cell gives the source.

    Raises:
        BadRequest: the UNet was widened, but never trained to look at the picture.
    """
    check_trained(bench)
    words, noise = instruction(bench, settings), bench.noise.draw()
    m = acting(bench, settings, words)
    bench.own = m
    levels = bench.schedule.levels(settings.steps)
    z = noised(bench.z0, noise, levels[0].a)
    for level in bench.run(levels):
        z = ddim(z, instructed(bench, settings, z, level.t, words), level.a, level.b)
        last = level.index == len(levels) - 1 and not settings.as_published
        a = level.a if settings.as_published else level.b
        z = m * z + (1 - m) * (bench.z0 if last else noised(bench.z0, noise, a))
    return z


def acting(bench: Bench, settings: InstructX2X, words: str) -> Tensor:
    """M = P R >= threshold, (N, 1, h, w): R from |e_ti - e_i| on the source at ``level``."""
    z = noised(bench.z0, bench.noise.draw(), bench.schedule.alphas[settings.level])
    e_ti, e_i, _ = three(bench, z, settings.level, words)
    told = torch.nan_to_num(response(e_ti - e_i))  # words that say nothing: no number, no cell
    if settings.prior == "region":
        told = told * bench.bilinear(bench.task.kappa)
    m = (told >= settings.threshold).float()
    sizes = ", ".join(str(int(one.sum())) for one in m)
    bench.notes.append(f"own region, latent cells per seed: {sizes}")
    return m
