# SPDX-License-Identifier: Apache-2.0
"""Edit-friendly DDPM inversion (arXiv 2304.06140), then the edit along the same noise."""

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.settings import DdpmInvert
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.invert import directions, edit_friendly
from monai_cxr_cf.methods.frame.schedule import ddpm_mean


def ddpm_invert(bench: Bench, settings: DdpmInvert) -> Tensor:
    """z = x_skip; z <- μ(z under the guided target) + σ_j n_j.

    All levels are inverted, those of ``skip`` too. ``as_published`` sets the last n to 0, so that
    even a null edit is not the source, and mistakes η σ² for η² σ².
    """
    levels = bench.schedule.levels(settings.steps)
    given_up = directions(levels, settings.eta, as_published=settings.as_published)
    source, task = bench.task.source_prompt, bench.task

    def predict(z: Tensor, t: int) -> Tensor:
        if not source:
            return bench.predict(z, t, task.negative_prompt)
        return bench.guided(z, t, settings.source_guidance, source)

    points, lacking = edit_friendly(bench, levels, predict, directions=given_up)
    if settings.as_published:
        lacking[-1] = torch.zeros_like(lacking[-1])
    first = settings.steps - settings.executed
    z = points[first]
    for level in bench.run(levels[first:]):
        e = bench.guided(z, level.t, settings.guidance)
        mean = ddpm_mean(z, e, level, direction=given_up[level.index])
        z = mean + lacking[level.index]
    return z
