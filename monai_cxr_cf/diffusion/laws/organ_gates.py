# SPDX-License-Identifier: Apache-2.0
"""The organ gate of each attention level (Eq. 5): organ masks and settings in, laws out.

Made once by ``plan.plan_laws``; ``self_attention`` runs these laws.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from monai_cxr_cf.diffusion.laws import priors
from monai_cxr_cf.diffusion.laws.specification import (
    DenseShift,
    Gate,
    HardPartition,
    MaskGate,
    Partition,
)
from monai_cxr_cf.diffusion.model.layers import Grid
from monai_cxr_cf.diffusion.task import EditTask
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig

DENSE_MAX_CELLS = 1024  # explicit N x N maps only up to this N
DENSE_SELF_WEIGHT = 0.3
FREE_FROM = 0.5  # Ω from which a cell of a bridged region is free under the hard partition


def check_gate(config: EditConfig) -> None:
    """BadRequest for gate settings without a meaning of their own."""
    gate = config.gate
    if gate.mode in ("partition", "partition_hard", "dense") and not gate.renorm:
        raise BadRequest(
            f"gate.mode={gate.mode} is renormalised by definition.", hint="Set gate.renorm=true."
        )
    if gate.mode in ("queries", "outer") and gate.renorm:
        same = "plain attention" if gate.mode == "queries" else "gate.mode=keys"
        raise BadRequest(
            f"gate.mode={gate.mode} with renormalised rows is the same as {same}.",
            hint="Set gate.renorm=false.",
        )


def organ_gates(
    task: EditTask, config: EditConfig, grids: Mapping[int, Grid], *, like: Tensor
) -> dict[int, Gate]:
    """Level -> law of Eq. 5 on the chosen levels; empty when the gate is off or has no effect."""
    gate = config.gate
    idle = gate.mode == "off" or gate.lam == 0 or (gate.mode == "partition" and gate.beta == 0)
    if idle:
        return {}
    crossing = [t.region for t in task.targets if _bridges(config, task, t.region)]
    coarsest = grids[max(at for at in grids if at < 3)]
    laws: dict[int, Gate] = {}
    for at in (level for level in gate.levels if level in grids):
        found = [priors.roi_prior(region, grids[at], coarsest) for region in crossing]
        omegas = [omega for omega in found if omega is not None]
        laws[at] = _organ_gate(task, config, grids[at], omegas, like)
    return laws


def _bridges(config: EditConfig, task: EditTask, region: np.ndarray) -> bool:
    if config.gate.bridge == "auto":
        return priors.spans_organs(region, task.organs)
    return config.gate.bridge == "on"


def _organ_gate(
    task: EditTask, config: EditConfig, grid: Grid, omegas: list[priors.Map], like: Tensor
) -> Gate:
    """The law of one level; ``omegas`` are the Ω of regions that cross organs."""
    gate = config.gate
    p = priors.membership(task.organs, grid)
    if gate.mode == "dense":
        return _dense_gate(p, gate.lam, like)
    if gate.mode == "partition":
        cells = priors.bridged(p, omegas).reshape(len(p), -1).T
        return Partition(_tensor(cells, like), gate.beta, gate.lam)
    if gate.mode == "partition_hard":
        organ = p.argmax(0)
        for omega in omegas:
            organ = np.where(omega >= FREE_FROM, -1, organ)
        return HardPartition(torch.as_tensor(organ.ravel(), device=like.device), gate.lam)
    m = _tensor(priors.organ_union(task.organs, grid).ravel(), like)
    return MaskGate(m, gate.mode, gate.renorm, gate.lam)


def _dense_gate(p: priors.Map, lam: float, like: Tensor) -> DenseShift:
    organ = p.argmax(0).ravel()
    if organ.size > DENSE_MAX_CELLS:
        raise BadRequest(
            f"gate.mode=dense stores {organ.size} x {organ.size} maps; at most {DENSE_MAX_CELLS} "
            "cells are allowed.",
            hint="Use gate.mode=partition, or leave out the finest levels (gate.levels).",
        )
    same = organ[:, None] == organ[None, :]
    area = same.mean(1, keepdims=True)
    return DenseShift(_tensor(same, like), _tensor(area, like), DENSE_SELF_WEIGHT, lam)


def _tensor(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values)).to(like)
