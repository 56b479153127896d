# SPDX-License-Identifier: Apache-2.0
"""What can be asked for besides one edit (docs/method.md 4): removals, ensembles, shams.

Pure helpers on tasks, configurations and decoded planes; the pipeline calls them around ``sample``.
Series of severities: ``severity``.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.diffusion.task import EditTask
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig

Planes = NDArray[np.float32]
REMOVAL_STRENGTH = 0.85  # published removals failed at low strength


def config_for(config: EditConfig, mode: str, *, strength: float = REMOVAL_STRENGTH) -> EditConfig:
    """The configuration a mode needs: what removes runs at least ``strength`` of the schedule.

    A pure removal is uncorrected: there is no finding whose attention should move.
    """
    if mode not in ("removal", "mixed") or config.start.strength == 0:
        return config
    alpha = 0.0 if mode == "removal" else config.correct.alpha_max
    return replace(
        config,
        start=replace(config.start, strength=max(config.start.strength, strength)),
        correct=replace(config.correct, alpha_max=alpha),
    )


def sham_task(task: EditTask) -> EditTask:
    """The control edit: same image, region and band; the source prompt is the target.

    No word is boosted: positions of the old prompt mean nothing in the new one.
    """
    return replace(
        task,
        prompt=task.source_prompt,
        instruction="",
        targets=tuple(replace(t, tokens=(), words=None, where="prompt") for t in task.targets),
        organ_tokens={},
        special_tokens=(),
        modifier_tokens=(),
        mode="sham",
    )


@dataclass(frozen=True)
class Ensemble:
    """What the seeds agree on: HxW float32 maps of the change Δ.

    Attributes:
        mean: mean Δ, signed.
        std: standard deviation of Δ over the seeds (population).
        exceed: P(|Δ| > τ), the share of seeds that changed a pixel by more than τ, 0..1.
    """

    mean: Planes
    std: Planes
    exceed: Planes


def ensemble(changes: Planes, *, tau: float) -> Ensemble:
    """Maps of (N, H, W) changes in 0..1 grey; N = 1 has std 0."""
    if changes.ndim != 3 or not len(changes):
        raise BadRequest(f"An ensemble needs changes (N, H, W); got {changes.shape}.")
    return Ensemble(
        mean=changes.mean(0, dtype=np.float64).astype(np.float32),
        std=changes.std(0, dtype=np.float64).astype(np.float32),
        exceed=(np.abs(changes) > tau).mean(0).astype(np.float32),
    )
