# SPDX-License-Identifier: Apache-2.0
"""RadEdit's editing law (arXiv 2312.12865): guidance in the edit mask, the rest kept or free.

An edit-friendly inversion without words; outside the edit mask its noise brings the source back.
The region is the edit mask, all beyond the band is kept, the band is free.
"""

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.settings import RadEdit
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.invert import directions, edit_friendly
from monai_cxr_cf.methods.frame.schedule import ddpm_mean


def radedit(bench: Bench, settings: RadEdit) -> Tensor:
    """e = m_e cfg(s) + (1-m_e) e_u; z <- μ(e) + σ n; where kept, z <- the inverted latent.

    ``as_published`` keeps all that is not edited, pastes the latent of the level before the step,
    and divides by σ, which gives no number where the last σ is 0.
    """
    levels = bench.schedule.levels(settings.steps)
    given_up = directions(levels, 1.0)
    nothing = bench.task.negative_prompt
    points, lacking = edit_friendly(
        bench, levels, lambda z, t: bench.predict(z, t, nothing), directions=given_up
    )
    edit = bench.nearest(bench.region)
    late = settings.as_published
    keep = (1 - edit if late else 1 - bench.mask()) > 0
    z = points[settings.skipped]
    for level in bench.run(levels[settings.skipped :]):
        n = level.index
        e_u = bench.predict(z, level.t, nothing)
        e = bench.predict(z, level.t, bench.task.prompt)
        e = e_u + edit * settings.guidance * (e - e_u)
        z = ddpm_mean(z, e, level, direction=given_up[n])
        z = z + (_divided(lacking[n], given_up[n] ** 0.5) if late else lacking[n])
        z = torch.where(keep, points[n if late else n + 1], z)
    return z


def _divided(lacking: Tensor, sigma: float) -> Tensor:
    """σ n from n = what is lacking / σ: no number for a σ of 0."""
    scale = torch.tensor(sigma, device=lacking.device)
    return lacking / scale * scale
