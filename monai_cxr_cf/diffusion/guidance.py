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

MOST = 30.0  # s that follows from guidance_rms: no prediction is stretched further


@dataclass(frozen=True)
class Guidance:
    """How one run guides.

    Attributes:
        maps: Ω_f on the latent grid, (findings, h, w) in 0..1.
        scales: s_f, one per map.
        rms: root mean square, weighted by Ω_f, of s_f (e - e_ref), from which s_f then follows; 0 =
            ``scales`` rules.
        first: executed step from which each finding is guided.
        regional: whether the region alone is guided; else every cell, by the largest s_f.
        negative: whether a negative prompt other than the source's takes part.
    """

    maps: Tensor
    scales: tuple[float, ...]
    rms: tuple[float, ...]
    first: tuple[int, ...]
    regional: bool = True
    negative: bool = True

    @property
    def references(self) -> tuple[str, ...]:
        """Branches whose predictions are needed beside the target's."""
        return references(regional=self.regional, negative=self.negative)

    def __call__(self, e: Tensor, others: Mapping[str, Tensor], i: int = 0) -> Tensor:
        """The guided prediction of step i, (N, 4, h, w), from the target's and ``references``'.

        uniform: e_neg + s (e - e_neg). region: e_src + s Ω (e - e_src), s Ω the largest s_f Ω_f of
        the findings that are guided by then; with a negative prompt it stands for the source's
        inside: e_src + Ω (e_neg - e_src) + s Ω (e - e_neg).
        """
        acting = [n for n, at in enumerate(self.first) if at <= i]
        e_ref = others["negative" if self.negative or not self.regional else "source"]
        scales = [self._scale(n, e - e_ref) for n in acting]
        if not self.regional:
            return e_ref + torch.stack(scales).amax(0) * (e - e_ref)
        e_src = others["source"]
        if not acting:
            return e_src
        scale = torch.stack([s * self.maps[n] for n, s in zip(acting, scales, strict=True)]).amax(0)
        if not self.negative:
            return e_src + scale * (e - e_src)
        region = self.maps[acting].amax(0)
        return e_src + region * (e_ref - e_src) + scale * (e - e_ref)

    def _scale(self, n: int, added: Tensor) -> Tensor:
        """s of finding n, (N, 1, 1, 1), on what it is to scale, (N, 4, h, w)."""
        if not self.rms[n]:
            return added.new_full((len(added), 1, 1, 1), self.scales[n])
        omega = self.maps[n]
        square = (added.square().mean(1) * omega).sum((1, 2)) / omega.sum()
        return (self.rms[n] / square.sqrt()).clamp(max=MOST)[:, None, None, None]


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


def rms_of(task: EditTask, config: EditConfig) -> tuple[float, ...]:
    """Root mean square of what guidance adds in every finding's region; 0 where s rules."""
    rms = config.sampling.guidance_rms
    return tuple(rms if t.rms is None else t.rms for t in task.targets)


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
    regional = config.sampling.guidance_map == "region"
    own = [v for t in task.targets for v in (t.guidance, t.rms, t.strength)]
    if not regional and any(v is not None for v in own):
        raise BadRequest(
            "A finding has a guidance of its own, and the whole picture is guided.",
            hint="Set sampling.guidance_map=region.",
        )
    maps = np.stack([guidance_map(t.region, latent_hw, task.organs) for t in task.targets])
    steered_away = any(target.where == "negative" for target in task.targets)
    return Guidance(
        maps=torch.as_tensor(maps).to(like.device, torch.float32),
        scales=scales_of(task, config),
        rms=rms_of(task, config),
        first=first_steps(task, config),
        regional=regional,
        negative=steered_away or task.negative_prompt not in ("", task.source_prompt),
    )
