# SPDX-License-Identifier: Apache-2.0
"""Predictions under several texts in, one guided prediction out (docs/method.md 2.8).

``uniform`` is classifier-free guidance: e_neg + s (e - e_neg) in every cell. ``region`` guides the
region alone: around it the prediction under the source prompt rules, so that what the words pull
at elsewhere never enters the picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from monai_cxr_cf.diffusion.laws.priors import guidance_map
from monai_cxr_cf.diffusion.model.layers import Grid
from monai_cxr_cf.diffusion.task import EditTask
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig


@dataclass(frozen=True)
class Guidance:
    """How one run guides.

    Attributes:
        scale: s; with ``guidance_map`` "region" the largest s_f Ω_f in each cell, (h, w).
        region: Ω, the findings' union on the latent grid, (h, w) in 0..1; None guides every cell.
        negative: whether a negative prompt other than the source's takes part.
    """

    scale: float | Tensor
    region: Tensor | None = None
    negative: bool = True

    @property
    def references(self) -> tuple[str, ...]:
        """Branches whose predictions are needed beside the target's."""
        return references(regional=self.region is not None, negative=self.negative)

    def __call__(self, e: Tensor, others: Mapping[str, Tensor]) -> Tensor:
        """The guided prediction, (N, 4, h, w), from the target's and those of ``references``.

        uniform: e_neg + s (e - e_neg). region: e_src + s Ω (e - e_src); with a negative prompt it
        stands for the source's inside: e_src + Ω (e_neg - e_src) + s Ω (e - e_neg).
        """
        if self.region is None:
            e_neg = others["negative"]
            return e_neg + self.scale * (e - e_neg)
        e_src = others["source"]
        if not self.negative:
            return e_src + self.scale * (e - e_src)
        e_neg = others["negative"]
        return e_src + self.region * (e_neg - e_src) + self.scale * (e - e_neg)


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


def guidance_of(task: EditTask, config: EditConfig, latent_hw: Grid, *, like: Tensor) -> Guidance:
    """The guidance of one task on its latent grid (rows, columns), on the device of ``like``.

    Raises:
        BadRequest: a finding has a scale of its own, and the whole picture is guided.
    """
    part = config.sampling
    if part.guidance_map == "uniform":
        if any(target.guidance is not None for target in task.targets):
            raise BadRequest(
                "A finding has a guidance scale of its own, and the whole picture is guided.",
                hint="Set sampling.guidance_map=region.",
            )
        return Guidance(part.guidance_scale)
    maps = np.stack([guidance_map(target.region, latent_hw) for target in task.targets])
    scales = np.array(
        [part.guidance_scale if t.guidance is None else t.guidance for t in task.targets]
    )
    region = torch.as_tensor(maps.max(0)).to(like.device, torch.float32)
    scale = torch.as_tensor((maps * scales[:, None, None]).max(0)).to(like.device, torch.float32)
    steered_away = any(target.where == "negative" for target in task.targets)
    negative = steered_away or task.negative_prompt not in ("", task.source_prompt)
    return Guidance(scale, region, negative)
