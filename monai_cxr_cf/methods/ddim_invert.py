# SPDX-License-Identifier: Apache-2.0
"""DDIM inversion under the source prompt, then guided sampling; seeds change nothing."""

from torch import Tensor

from monai_cxr_cf.catalogue.settings import DdimInvert
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.invert import ddim_points
from monai_cxr_cf.methods.frame.schedule import ddim


def ddim_invert(bench: Bench, settings: DdimInvert) -> Tensor:
    """z at the noisiest level of the inversion, then D(z, cfg(s)) down."""
    levels = bench.schedule.levels(settings.steps)[-settings.executed :]
    source = bench.task.source_prompt
    points = ddim_points(bench, levels, lambda z, t: bench.predict(z, t, source))
    z = points[0].expand(len(bench.seeds), -1, -1, -1)
    for level in bench.run(levels):
        z = ddim(z, bench.guided(z, level.t, settings.guidance), level.a, level.b)
    return z
