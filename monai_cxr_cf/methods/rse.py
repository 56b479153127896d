# SPDX-License-Identifier: Apache-2.0
"""An automatic region, as InstructX2X finds it (arXiv 2603.00423), on any backbone; then an editor.

R = Σ_channels |e_c - e_u| on the source at noise level 800, outliers clipped, scaled to 0..1; the
region is where R times our region of the finding, with its band, reaches .1.
"""

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.settings import Blended, Inpaint, Pie, RegionSpecific
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.methods.blended import blended
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.schedule import noised
from monai_cxr_cf.methods.pie import pie_latent
from monai_cxr_cf.methods.sd_inpaint import sd_inpaint


def rse(bench: Bench, settings: RegionSpecific) -> Tensor:
    """The region by one look at t, then the editor at its published settings within it.

    Raises:
        UnsupportedImage: no cell is left.
    """
    prior = bench.bilinear(bench.task.kappa)
    cells = responsive(bench, settings, prior)
    if not cells.any():
        raise UnsupportedImage(
            "The words change no cell of the region.",
            code="no_cell",
            hint="Lower the setting 'threshold'.",
        )
    bench.own = cells
    sizes = ", ".join(str(int(one.sum())) for one in cells)
    bench.notes.append(f"own region, latent cells per seed: {sizes}")
    if settings.editor == "sd_inpaint":
        return sd_inpaint(bench, Inpaint(strength=settings.strength, guidance=settings.guidance))
    if settings.editor == "pie_latent":
        return pie_latent(bench, Pie(guidance=settings.guidance))
    return blended(bench, Blended(guidance=settings.guidance))


def responsive(bench: Bench, settings: RegionSpecific, prior: Tensor) -> Tensor:
    """(N, 1, h, w) of 0 and 1, one draw a seed."""
    t = settings.level
    z = noised(bench.z0, bench.noise.draw(), bench.schedule.alphas[t])
    task = bench.task
    e = bench.predict(z, t, task.prompt) - bench.predict(z, t, task.negative_prompt)
    return (prior * response(e) >= settings.threshold).float()


def response(e: Tensor) -> Tensor:
    """Σ_channels |e| without outliers, scaled to 0..1, (N, 1, h, w).

    The published quartiles take midpoints.
    """
    total = e.abs().sum(1, keepdim=True)
    flat = total.flatten(1)
    low, high = (torch.quantile(flat, q, dim=1, interpolation="midpoint") for q in (0.25, 0.75))
    most = (high + 1.5 * (high - low))[:, None]
    flat = flat.minimum(most)
    least = flat.amin(1, keepdim=True)
    scaled = (flat - least) / (flat.amax(1, keepdim=True) - least)
    return scaled.view_as(total)
