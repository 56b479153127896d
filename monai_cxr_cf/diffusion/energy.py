# SPDX-License-Identifier: Apache-2.0
"""Share of a finding's attention in its region (Eq. 7), its energy (Eq. 8), the correction (Eq. 9)."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from monai_cxr_cf.diffusion.attention import Control
from monai_cxr_cf.diffusion.maps import LawPlan
from monai_cxr_cf.presets import EditConfig


@dataclass(frozen=True)
class Scores:
    """Eq. 7 per (level, finding): tensors (B,), differentiable."""

    score: dict[tuple[int, str], Tensor]
    lift: dict[tuple[int, str], Tensor]
    layers: dict[int, int]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: {"score": {"2": {finding: [per item]}}, "lift": ...}."""
        raise NotImplementedError


def roi_scores(
    columns: dict[tuple[int, str], Tensor], plan: LawPlan, *, map: str = "raw", branch: str = "cond"
) -> Scores:
    """Eq. 7 for recorded columns."""
    raise NotImplementedError


def energy(scores: Scores, config: EditConfig) -> Tensor:
    """Eq. 8 per batch item (B,), over the energy levels of the plan the scores were made with."""
    raise NotImplementedError


@dataclass(frozen=True)
class CorrectionRecord:
    """What one correction did; lists hold one value per batch item. JSON-ready by ``as_dict``."""

    alpha: float
    forwards: int            # truncated (or full) conditional forwards of this call
    backwards: int           # gradient passes of this call; always 0 or <= forwards
    last_layer: str          # attn2 after which the forward stopped, "" = full network
    energy: list[float]
    gradient_rms: list[float]
    displacement: list[float]
    reason: list[str]        # per item: "" corrected, else not_due | off | stop_score | cap | non_finite
    scores: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        raise NotImplementedError


class Correction:
    """Eq. 9 for one run; keeps the displacement spent and the count of non-finite gradients.

    ``Correction(unet, control, plan)`` inside ``controlled``. ``enabled`` is False when the
    correction is off (alpha_max 0, removal, no finding token). Call ``Control.set`` for the step's
    conditional branch first: the gradient pass uses that same gate, boost and regional state.
    """

    enabled: bool
    non_finite: int

    def __init__(self, unet: Any, control: Control, plan: LawPlan) -> None:
        raise NotImplementedError

    def due(self, i: int) -> bool:
        """Whether window step i (counted from the window's start) is corrected (``every``)."""
        raise NotImplementedError

    def step(
        self, z: Tensor, t: Any, *, alpha_bar: float, i: int, n_window: int, cond_states: Tensor
    ) -> tuple[Tensor, CorrectionRecord]:
        """Correct z before the denoising pass of window step i."""
        raise NotImplementedError

    # config.correct.lagged only; then step() is not called:
    def denoise(self, z: Tensor, t: Any, *, cond_states: Tensor) -> Tensor:
        """The conditional denoising forward itself, keeping its gradient; returns eps, detached."""
        raise NotImplementedError

    def apply(
        self, z_next: Tensor, *, alpha_bar: float, i: int, n_window: int
    ) -> tuple[Tensor, CorrectionRecord]:
        """After the solver step: correct z_next (alpha_bar of its level) by the kept gradient."""
        raise NotImplementedError
