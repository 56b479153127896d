# SPDX-License-Identifier: Apache-2.0
"""The regulated sampler as a method."""

from collections.abc import Sequence

from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.sample import Samples, sample
from monai_cxr_cf.diffusion.task import EditTask, Progress
from monai_cxr_cf.presets import EditConfig


def regulated(
    backbone: Backbone,
    task: EditTask,
    config: EditConfig,
    *,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Samples:
    """Presets ``paper``, ``default`` and ``fast``."""
    return sample(backbone, task, config, seeds=seeds, progress=progress)
