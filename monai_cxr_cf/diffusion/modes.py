# SPDX-License-Identifier: Apache-2.0
"""What can be asked for besides one edit (docs/method.md 4): series, removals, ensembles, shams.

Pure helpers on tasks, configurations, latents and decoded planes; the pipeline calls them around
``sample``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_cxr_cf.diffusion.sample import Samples
from monai_cxr_cf.diffusion.task import EditTask
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig

Planes = NDArray[np.float32]
REMOVAL_STRENGTH = 0.85  # published removals failed at low strength


def severity_series(z_src: Tensor, z: Tensor, levels: Sequence[float]) -> Tensor:
    """One latent per level λ of the severity dial: z_src + λ (z0' - z_src), (L, 4, h, w).

    ``z_src`` and ``z`` (1, 4, h, w). 0 is the source and 1 the edit, bit for bit.

    Raises:
        BadRequest: a level outside 0..1, or more than one edit.
    """
    _check_levels(levels)
    if len(z) != 1:
        raise BadRequest(f"A severity series has one seed; got {len(z)}.")
    exact = {0.0: z_src, 1.0: z}
    return torch.cat([exact.get(float(v), z_src + v * (z - z_src)) for v in levels])


def members(samples: Samples, levels: Sequence[float]) -> tuple[list[str], Tensor]:
    """Label and latent of every member of a series: seeds, and levels within each."""
    labels = [f"seed {seed}, severity {level:.2f}" for seed in samples.seeds for level in levels]
    return labels, torch.cat([severity_series(samples.z_src, z[None], levels) for z in samples.z])


def scaled_configs(config: EditConfig, levels: Sequence[float]) -> list[EditConfig]:
    """The same dial by sampling: η, guidance (s - 1) and strength times λ, one run per level.

    Run them with one seed: ε is then shared. λ = 0 returns the source.
    """
    _check_levels(levels)
    scale, eta = config.sampling.guidance_scale, config.boost.eta
    return [
        replace(
            config,
            sampling=replace(config.sampling, guidance_scale=1 + (scale - 1) * level),
            boost=replace(config.boost, eta=eta * level),
            start=replace(config.start, strength=config.start.strength * level),
        )
        for level in levels
    ]


def _check_levels(levels: Sequence[float]) -> None:
    wrong = [v for v in levels if not 0 <= v <= 1]
    if wrong or not levels:
        raise BadRequest(f"Severity levels are {list(levels)}; expected some values from 0 to 1.")


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
