# SPDX-License-Identifier: Apache-2.0
"""What a series of sampled severities will cost: levels in, an estimate of all their runs out."""

from collections.abc import Sequence
from dataclasses import replace

from monai_cxr_cf.diffusion.cost.estimate import Estimate, estimate
from monai_cxr_cf.diffusion.cost.meter import ratios
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.steps import Solver, guided_steps
from monai_cxr_cf.presets import EditConfig


def estimate_levels(
    backbone: Backbone,
    config: EditConfig,
    levels: Sequence[float],
    *,
    seconds_per_f: float | None = None,
) -> Estimate:
    """Cost of ``severity.sample_levels`` with one seed, decodings included, before it runs.

    Level 0 runs nothing. A level between 0 and 1 needs the source's prediction on every step: one
    more pass where regional guidance rests, and on every step where the whole picture is guided.
    The inversion counts once a run, as in the trace, although it is recalled after the first.
    """
    plain, r = estimate(backbone, config), ratios(backbone)
    runs = {float(level) for level in levels if level > 0}
    n_exec = Solver(config, backbone.scheduler_config).n_exec
    regional = config.sampling.guidance_map == "region"
    more = n_exec - (len(guided_steps(config, n_exec)) if regional else 0)
    decodes = 2 if config.output.composite == "residual" else 1
    f = len(runs) * (plain.f - decodes * r.decode) + (len(levels) + decodes - 1) * r.decode
    f += more * len(runs - {1.0}) * r.forward()
    return replace(
        plain,
        f=f,
        tflop=f * r.unit / 1e12,
        seconds=None if seconds_per_f is None else f * seconds_per_f,
    )
