# SPDX-License-Identifier: Apache-2.0
"""The plan of all laws: an edit task and its settings in, maps per attention level out."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from monai_cxr_cf.diffusion.layers import AttentionLayer
from monai_cxr_cf.diffusion.task import EditTask
from monai_cxr_cf.presets import EditConfig


@dataclass(frozen=True)
class LawPlan:
    """Everything the laws need, computed once per task."""

    config: EditConfig
    layers: tuple[AttentionLayer, ...]
    findings: tuple[str, ...]
    omega: dict[int, Tensor]                   # level -> (findings, rows, columns)
    vanished: tuple[tuple[int, str], ...]      # (level, finding) skipped
    energy_levels: tuple[int, ...]


def plan_laws(
    task: EditTask,
    config: EditConfig,
    *,
    levels: tuple[AttentionLayer, ...],
    source_states: Tensor | None,
    device: Any = "cpu",
    dtype: Any = None,
) -> LawPlan:
    """Plan the laws; BadRequest for an empty or vanished region and for impossible settings."""
    raise NotImplementedError


def latent_edit_mask(kappa: Any, latent_hw: tuple[int, int]) -> Any:
    """m_edit: bool (rows, columns), every latent cell touched by kappa > 0."""
    raise NotImplementedError
