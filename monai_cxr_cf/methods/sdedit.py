# SPDX-License-Identifier: Apache-2.0
"""Plain image-to-image (SDEdit): noise to a strength, denoise under the target prompt, no law.

The baseline every law is measured against: same backbone, solver, steps, strength and seeds.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.sample import Samples, sample
from monai_cxr_cf.diffusion.task import EditTask, Progress
from monai_cxr_cf.presets import EditConfig

LAWS_OFF: dict[str, dict[str, Any]] = {
    "sampling": {"cfg_from": 0.0, "cfg_until": 1.0, "guidance_map": "uniform"},
    "gate": {"mode": "off"},
    "anatomy": {"strength": 0.0},
    "boost": {"eta": 0.0},
    "tokens": {"regional_prompt": False},
    "correct": {"alpha_max": 0.0},
    "keep": {"paste": False},
    "output": {"roi_crop": 0},
}


def plain(config: EditConfig) -> EditConfig:
    """``config`` with every law off; solver, start and scale as they are."""
    return config.with_overrides(LAWS_OFF)


def sdedit(
    backbone: Backbone,
    task: EditTask,
    config: EditConfig,
    *,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Samples:
    """2 n_exec F and one encoding; whatever laws ``config`` asks for are switched off.

    One text holds for the whole picture: the prompt, whatever texts its findings have.
    """
    effective = plain(config).with_overrides({"start": {"kind": "strength"}})
    task = replace(task, targets=tuple(replace(t, words=None) for t in task.targets))
    samples = sample(backbone, task, effective, seeds=seeds, progress=progress)
    return replace(samples, trace={**samples.trace, "method": "sdedit"})
