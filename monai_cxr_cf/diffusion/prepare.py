# SPDX-License-Identifier: Apache-2.0
"""Backbone, task and settings in; a ``Prepared`` out: all that one run needs to begin."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.guidance import Guidance, guidance_of, scales_of
from monai_cxr_cf.diffusion.keep import Keep
from monai_cxr_cf.diffusion.laws.plan import BRANCHES, LawPlan, plan_laws
from monai_cxr_cf.diffusion.laws.priors import latent_edit_mask
from monai_cxr_cf.diffusion.level import Level
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.codec import encode
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.model.text import check_words, encode_text
from monai_cxr_cf.diffusion.steps import Solver, boost_window, guided_steps, interval
from monai_cxr_cf.diffusion.task import EditTask
from monai_cxr_cf.diffusion.window import Window, cut_task, fit_window
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig


@dataclass(frozen=True)
class Prepared:
    """One prepared run.

    Attributes:
        task: the task on the sampled window (the whole image if ``window`` is None).
        z_src: (1, 4, h, w) float32.
        states: text states (1, 77, C) of ``cond``, ``negative`` and ``source`` prompt; with texts
            of the findings' own (1, 77 (1 + findings), C) of ``cond``.
        guidance: how the branches become one prediction, on guided steps.
        level: how far that one is drawn towards the source's, on every step.
        boost, guided, gated: executed steps in which Eq. 6 and 9, guidance, Eq. 5 act.
    """

    backbone: Backbone
    task: EditTask
    config: EditConfig
    seeds: tuple[int, ...]
    window: Window | None
    z_src: Tensor
    states: dict[str, Tensor]
    plan: LawPlan
    solver: Solver
    keep: Keep
    guidance: Guidance
    boost: range
    guided: range
    gated: range
    notes: tuple[str, ...]
    level: Level

    def others(self, i: int) -> tuple[str, ...]:
        """Branches whose predictions step i needs beside the target's."""
        guiding = self.guidance.references if i in self.guided else ()
        return tuple(dict.fromkeys((*self.level.references, *guiding)))

    def combined(self, e: Tensor, others: Mapping[str, Tensor], i: int) -> Tensor:
        """The prediction of step i, from the target's and those of ``others(i)``."""
        return self.level(self.guidance(e, others, i) if i in self.guided else e, others)

    @property
    def hw(self) -> tuple[int, int]:
        """Latent rows and columns."""
        return (self.z_src.shape[-2], self.z_src.shape[-1])


def prepare(
    backbone: Backbone,
    task: EditTask,
    config: EditConfig,
    *,
    seeds: tuple[int, ...],
    level: Level | None = None,
) -> Prepared:
    """Check, cut, encode and plan; no UNet call yet.

    Raises BadRequest: no seed, a region that vanishes, guidance that misses the boost window, a
    removal by the negative prompt without guidance, a finding's scale under uniform guidance, less
    than a step, a size the UNet cannot halve.
    """
    config, level = _checked(task, config.as_run(), seeds), level or Level()
    window, notes = _window(backbone, task, config)
    task = cut_task(task, window) if window else task
    solver, z_src = Solver(config, backbone.scheduler_config), encode(backbone, task.image)
    states, hw = _text_states(backbone, task), (z_src.shape[-2], z_src.shape[-1])
    plan = plan_laws(
        task,
        level.laws(config),
        levels=attention_levels(backbone.unet, hw),
        source_states=states["source"],
        device=backbone.device,
        dtype=backbone.dtype,
    )
    return Prepared(
        backbone=backbone,
        task=task,
        config=config,
        seeds=seeds,
        window=window,
        z_src=z_src,
        states=states,
        solver=solver,
        notes=notes,
        level=level,
        **_acting(task, plan, solver.n_exec, like=z_src),
    )


def _acting(task: EditTask, plan: LawPlan, n_exec: int, *, like: Tensor) -> dict[str, Any]:
    """The plan, what acts where on latent cells of ``like`` (1, 4, h, w), and in which steps."""
    config = plan.config
    return {
        "plan": plan,
        "keep": _keep(task, config, like=like),
        "guidance": guidance_of(task, config, (like.shape[-2], like.shape[-1]), like=like),
        "boost": boost_window(config.boost.mu, n_exec, side=config.boost.side),
        "guided": guided_steps(config, n_exec),
        "gated": interval(0, plan.gate_until, n_exec),
    }


def _text_states(backbone: Backbone, task: EditTask) -> dict[str, Tensor]:
    """States (1, 77, C) per branch; texts of the findings' own stand behind the prompt's."""
    texts = {
        "cond": (task.prompt, *(words.text for words in task.texts)),
        "negative": (task.negative_prompt,),
        "source": (task.source_prompt,),
    }
    return {
        branch: torch.cat([encode_text(backbone, text) for text in own], 1)
        if len(own) > 1
        else encode_text(backbone, *own)
        for branch, own in texts.items()
    }


def _keep(task: EditTask, config: EditConfig, *, like: Tensor) -> Keep:
    """The keep rule on latent cells of ``like`` (1, 4, h, w)."""
    cells = latent_edit_mask(task.kappa, (like.shape[-2], like.shape[-1]))
    return Keep(edit=torch.as_tensor(cells, device=like.device), paste=config.keep.paste)


def _checked(task: EditTask, config: EditConfig, seeds: tuple[int, ...]) -> EditConfig:
    if not seeds:
        raise BadRequest("There is no seed; expected one per image.")
    scales = zip(task.targets, scales_of(task, config), strict=True)
    if any(scale == 1 for target, scale in scales if target.where == "negative"):
        raise BadRequest(
            "This removal needs guidance: the finding stands in the negative prompt.",
            hint="Set sampling.guidance_scale above 1, or tokens.removal=healthy.",
        )
    return config


def _window(
    backbone: Backbone, task: EditTask, config: EditConfig
) -> tuple[Window | None, tuple[str, ...]]:
    """The window of output.roi_crop, and what the trace says when the edit does not fit."""
    check_words(backbone, task, dense=config.gate.mode == "dense")
    crop = config.output.roi_crop
    found = fit_window(task, roi_crop=crop, multiple=backbone.multiple, factor=backbone.factor)
    missed = f"output.roi_crop {crop}: the region with its margin does not fit; whole image sampled"
    return found, (missed,) if crop and found is None else ()


def inversion_plan(run: Prepared) -> LawPlan:
    """The gate alone, as in the run; laws on words only where both prompts are one text.

    Inverting under the laws of the run keeps a null edit the identity; token positions of the
    target prompt mean nothing in another text. The boost rests, and nothing is scored.
    """
    same = run.task.source_prompt == run.task.prompt and not run.task.texts
    none: dict[str, Any] = dict.fromkeys(BRANCHES, ())
    return replace(
        run.plan,
        gains={k: v for k, v in run.plan.gains.items() if same and not k[2]},
        shifts=run.plan.shifts if same else {},
        regional=run.plan.regional if same else {},
        shares={},
        tokens=none,
        finding_tokens={branch: ((),) * len(run.plan.findings) for branch in none},
    )
