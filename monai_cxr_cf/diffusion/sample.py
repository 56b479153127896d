# SPDX-License-Identifier: Apache-2.0
"""The loop: one image, what should change in it and a configuration in, edited latents out.

This is the method on one page (docs/method.md 2). ``prepare`` begins, ``denoise`` carries the laws,
``steps`` the solver, ``keep`` holds the rest of the image, ``trace`` writes down what happened and
``census`` which tokens moved it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.census import looking
from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.denoise import Denoiser
from monai_cxr_cf.diffusion.invert import begin
from monai_cxr_cf.diffusion.level import Level
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.codec import Planes
from monai_cxr_cf.diffusion.prepare import prepare
from monai_cxr_cf.diffusion.steps import Noise
from monai_cxr_cf.diffusion.task import EditTask, Progress
from monai_cxr_cf.diffusion.trace import Recorder
from monai_cxr_cf.diffusion.window import Window
from monai_cxr_cf.presets import EditConfig

Scaled = tuple[str, float]  # "guidance" or "guidance RMS"


@dataclass(frozen=True)
class SampledLevels:
    """Severities that were sampled, each by a run of its own.

    Attributes:
        z: level -> (N, 4, h, w) float32 final latents.
        doses: the guidance of level 1, one of each finding: what is scaled, and its value.
    """

    z: Mapping[float, Tensor]
    doses: tuple[Scaled, ...]


@dataclass(frozen=True)
class Samples:
    """The result of one run.

    Attributes:
        z: (N, 4, h, w) float32 final latents, one per seed.
        z_src: (1, 4, h, w) float32 source latent.
        window: where these latents lie in the model image; None = they are the whole of it.
        images: (N, S, S) finished model images in the stead of ``z``; None = decode it.
        levels: of a series that was sampled; ``z`` is that of its highest level.
        trace: docs/method.md 6, JSON-ready, follows schemas/trace.schema.json.
    """

    z: Tensor
    z_src: Tensor
    seeds: tuple[int, ...]
    trace: dict[str, Any]
    window: Window | None = None
    levels: SampledLevels | None = None
    images: Planes | None = None


def sample(
    backbone: Backbone,
    task: EditTask,
    config: EditConfig,
    *,
    seeds: Sequence[int],
    progress: Progress | None = None,
    level: float = 1.0,
) -> Samples:
    """Edit ``task.image`` once per seed at ``config.start.strength``; strength 0 = the source.

    Same arguments, same bytes; each seed's result does not depend on the others (to 1e-4).
    ``level``: λ of the severity dial, above 0 (``severity.sample_levels`` runs several).
    ``progress`` gets {"stage", "step", "total"} after every step and may raise to cancel: the
    UNet is restored on any exit. Raises BadRequest for what ``prepare.prepare`` refuses.
    """
    meter = Meter(backbone)
    with meter.counting():
        with meter.expecting("encode"):
            run = prepare(backbone, task, config, seeds=tuple(seeds), level=Level(level))
        noise = Noise(run.seeds, tuple(run.z_src.shape[1:]), backbone.device)
        start = begin(run, noise, meter, progress=progress)
        trace, z = Recorder(run, meter), start.source[0]
        with controlled(backbone.unet, run.plan) as control, looking(run, control) as census:
            unet = Denoiser(run, control, meter)
            for i in range(run.solver.n_exec):
                census.at(i)
                z, moved = unet.correct(z, i)  # Eq. 7-9, in the window
                e = unet.guided(z, i)  # Eq. 5 on both branches, Eq. 6 on the conditional one
                z = start.step(run.solver, e, i, z)  # t_i -> t_{i+1}
                z = run.keep(z, start.source[i + 1])  # the source at that same level
                trace.add(i, unet.scores, moved)
                if progress is not None:
                    progress({"stage": "sample", "step": i + 1, "total": run.solver.n_exec})
    return Samples(z, run.z_src, run.seeds, trace.finish(census), run.window)
