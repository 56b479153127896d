# SPDX-License-Identifier: Apache-2.0
"""Predictions under several texts in, one guided prediction out (docs/method.md 2.8).

``uniform`` is classifier-free guidance: e_neg + s (e - e_neg) in every cell. ``region`` guides the
region alone: around it the prediction under the source prompt rules, so that what the words pull
at elsewhere never enters the picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor

import numpy as np
import torch
from torch import Tensor

from monai_cxr_cf.diffusion.laws.priors import guidance_map
from monai_cxr_cf.diffusion.model.layers import Grid
from monai_cxr_cf.diffusion.task import EditTask
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import TINY, EditConfig, n_executed


@dataclass(frozen=True)
class Guidance:
    """How one run guides.

    Attributes:
        scale: s of the whole picture; 1 where the findings have maps.
        maps: Ω_f on the latent grid, (findings, h, w) in 0..1; None guides every cell.
        scales: s_f, one per map.
        first: executed step from which each finding is guided, one per map.
        negative: whether a negative prompt other than the source's takes part.
    """

    scale: float = 1.0
    maps: Tensor | None = None
    scales: tuple[float, ...] = ()
    first: tuple[int, ...] = ()
    negative: bool = True

    @property
    def references(self) -> tuple[str, ...]:
        """Branches whose predictions are needed beside the target's."""
        return references(regional=self.maps is not None, negative=self.negative)

    def __call__(self, e: Tensor, others: Mapping[str, Tensor], i: int = 0) -> Tensor:
        """The guided prediction of step i, (N, 4, h, w), from the target's and ``references``'.

        uniform: e_neg + s (e - e_neg). region: e_src + s Ω (e - e_src), s Ω the largest s_f Ω_f of
        the findings that are guided by then; with a negative prompt it stands for the source's
        inside: e_src + Ω (e_neg - e_src) + s Ω (e - e_neg).
        """
        if self.maps is None:
            e_neg = others["negative"]
            return e_neg + self.scale * (e - e_neg)
        e_src, acting = others["source"], [n for n, at in enumerate(self.first) if at <= i]
        if not acting:
            return e_src
        scale = torch.stack([self.scales[n] * self.maps[n] for n in acting]).amax(0)
        if not self.negative:
            return e_src + scale * (e - e_src)
        e_neg, region = others["negative"], self.maps[acting].amax(0)
        return e_src + region * (e_neg - e_src) + scale * (e - e_neg)


def references(*, regional: bool, negative: bool) -> tuple[str, ...]:
    """Branches that guidance reads beside the target's, in the order in which they are predicted.

    ``negative``: whether there is a negative prompt that the source's text does not equal.
    """
    if not regional:
        return ("negative",)
    return ("source", "negative") if negative else ("source",)


def both_gated(config: EditConfig) -> bool:
    """Whether the organ gate acts on all branches alike; the dense one never does."""
    gate = config.gate
    return gate.mode == "off" or (gate.branches == "both" and gate.mode != "dense")


def scales_of(task: EditTask, config: EditConfig) -> tuple[float, ...]:
    """s of every finding; where the whole picture is guided one scale holds for all."""
    scale, own = config.sampling.guidance_scale, config.sampling.guidance_map == "region"
    return tuple(t.guidance if own and t.guidance is not None else scale for t in task.targets)


def first_steps(task: EditTask, config: EditConfig) -> tuple[int, ...]:
    """Executed step from which each finding is guided: where a run of its strength would begin."""
    steps, run = config.sampling.steps, config.start.strength
    n_exec = n_executed(run, steps)
    return tuple(
        0 if t.strength is None else n_exec - min(n_exec, max(1, floor(t.strength * steps + TINY)))
        for t in task.targets
    )


def guidance_of(task: EditTask, config: EditConfig, latent_hw: Grid, *, like: Tensor) -> Guidance:
    """The guidance of one task on its latent grid (rows, columns), on the device of ``like``.

    Raises:
        BadRequest: a finding has a scale or strength of its own, and the whole picture is guided.
    """
    part = config.sampling
    if part.guidance_map == "uniform":
        if any(t.guidance is not None or t.strength is not None for t in task.targets):
            raise BadRequest(
                "A finding has a guidance of its own, and the whole picture is guided.",
                hint="Set sampling.guidance_map=region.",
            )
        return Guidance(part.guidance_scale)
    maps = np.stack([guidance_map(target.region, latent_hw) for target in task.targets])
    steered_away = any(target.where == "negative" for target in task.targets)
    negative = steered_away or task.negative_prompt not in ("", task.source_prompt)
    return Guidance(
        maps=torch.as_tensor(maps).to(like.device, torch.float32),
        scales=scales_of(task, config),
        first=first_steps(task, config),
        negative=negative,
    )
