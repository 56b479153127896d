# SPDX-License-Identifier: Apache-2.0
"""Name -> method: one signature for ours and every baseline, on one backbone."""

from collections.abc import Sequence
from typing import Protocol

from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.sample import Samples
from monai_cxr_cf.diffusion.task import EditTask, Progress
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.methods.regulated import regulated
from monai_cxr_cf.methods.sdedit import sdedit
from monai_cxr_cf.presets import EditConfig


class Method(Protocol):
    """Edit one image once per seed."""

    def __call__(
        self,
        backbone: Backbone,
        task: EditTask,
        config: EditConfig,
        *,
        seeds: Sequence[int],
        progress: Progress | None = None,
    ) -> Samples:
        """Latents and trace; see ``diffusion.sample.sample``."""


METHODS: dict[str, Method] = {"regulated": regulated, "sdedit": sdedit}


def run_method(
    name: str,
    backbone: Backbone,
    task: EditTask,
    *,
    config: EditConfig,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Samples:
    """Run the named method; the trace names it. BadRequest lists the known ones."""
    if name not in METHODS:
        raise BadRequest(f"Unknown method '{name}'.", hint=f"Choose one of: {', '.join(METHODS)}.")
    return METHODS[name](backbone, task, config, seeds=seeds, progress=progress)
