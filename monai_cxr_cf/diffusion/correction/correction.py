# SPDX-License-Identifier: Apache-2.0
"""Energy of the attention in a region (Eq. 8) and the latent correction along it (Eq. 9).

One ``Correction`` serves one run inside ``install.controlled``: the sampler hands it the latent
of a window step and goes on with the corrected one. Gradients are enabled here and nowhere else,
so that it works under a caller's ``no_grad``; what comes back is detached.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.attention.control import Control
from monai_cxr_cf.diffusion.correction.displace import Mover
from monai_cxr_cf.diffusion.correction.record import CorrectionRecord, recorded
from monai_cxr_cf.diffusion.correction.scores import Scores, energy, roi_scores
from monai_cxr_cf.diffusion.laws.plan import LawPlan
from monai_cxr_cf.diffusion.model.truncate import forward_while, frozen, last_cross_layer
from monai_cxr_cf.errors import BadRequest, CxrError


class Correction:
    """Eq. 9, z <- z - α_i ∇_z L_path, for the window steps of one run.

    ``enabled`` is False when the law is off: no step size, a removal, no finding token in the
    target prompt. ``last_layer`` names the layer after which the gradient's forward stops ("" =
    full network), ``passes`` counts (forwards, backwards) of the run, ``non_finite`` the gradients
    that were skipped. ``prediction`` is the UNet's on the latent that ``step`` gave back, where
    its last forward went on to the end because every score was high enough; else None.

    Raises:
        BadRequest: fp16 (gradients of RMS 1e-5 underflow).
    """

    def __init__(self, unet: Any, control: Control, plan: LawPlan) -> None:
        self.unet, self.control, self.plan = unet, control, plan
        self.enabled = plan.corrects
        self.settings = plan.config.correct
        self.mover = Mover(plan)
        self.passes = (0, 0)
        self.prediction: Tensor | None = None
        self.last_layer = ""
        if not self.enabled:
            return
        _refuse_half(unet.dtype)
        if self.settings.truncated:
            self.last_layer = last_cross_layer(plan.layers, plan.energy_levels)

    @property
    def non_finite(self) -> int:
        """Number of batch items whose gradient was not finite and was skipped."""
        return self.mover.non_finite

    def step(
        self, z: Tensor, t: Any, *, alpha_bar: float, i: int, n_window: int, cond_states: Tensor
    ) -> tuple[Tensor, CorrectionRecord]:
        """Correct z (B, 4, h, w) before the denoising pass of window step i.

        ``alpha_bar`` belongs to t; ``cond_states`` (B, 77, C). ``Control.set`` must have set this
        step's conditional branch: the gradient pass sees the same gate, boost and regional prompt.
        """
        self.prediction = None
        if not self.enabled:
            return z, CorrectionRecord(alpha=0.0, last_layer="", reason=["off"] * len(z))
        _refuse_half(z.dtype)
        leaf, scores, value = self._look(z, t, cond_states)
        alpha, items, moved = self.alpha(i, n_window), ~self._reached(scores), None
        if bool(items.any()):
            slope = self._slope(value, leaf)
            moved = self.mover.move(z, slope, alpha=alpha, alpha_bar=alpha_bar, items=items)
        record = recorded(scores, value, moved, alpha=alpha, last_layer=self.last_layer)
        return (z if moved is None else moved.z).detach(), record

    def alpha(self, i: int, n_window: int) -> float:
        """α_i = α_max (1 - i / n_w), times ``correct.scale``."""
        return self.settings.alpha_max * self.settings.scale * (1 - i / n_window)

    def _look(self, z: Tensor, t: Any, states: Tensor) -> tuple[Tensor, Scores, Tensor]:
        """Leaf, scores and energy of one forward that keeps its graph up to the last layer.

        Where they leave nothing to correct it goes on, and gives ``prediction`` and all columns.
        """
        seen: list[tuple[Scores, Tensor]] = []

        def reached() -> bool:
            columns = self.control.look(self.plan.energy_levels)
            scores = roi_scores(columns, self.plan, map=self.plan.config.energy.map)
            seen.append((scores, energy(scores)))
            return bool(self._reached(scores).all())

        with torch.inference_mode(False), torch.enable_grad(), frozen(self.unet):
            leaf = z.detach().clone().requires_grad_(True)
            self.prediction = self._observe(leaf, t, states, reached)
        if self.prediction is None:
            self.control.take()
        self.passes = (self.passes[0] + 1, self.passes[1])
        return leaf, *seen[0]

    def _observe(
        self, leaf: Tensor, t: Any, states: Tensor, reached: Callable[[], bool]
    ) -> Tensor | None:
        """One forward with the recorder on; its prediction if it was ``reached`` on the way."""
        control = self.control
        if control.branch != "cond":
            raise CxrError("The correction needs the conditional branch; set it first.")
        states = states.clone() if states.is_inference() else states
        sample = leaf.to(self.unet.dtype)
        with control.recording(self.plan.energy_levels):
            return forward_while(
                self.unet, sample, t, states, last_layer=self.last_layer, go_on=reached
            )

    def _slope(self, value: Tensor, leaf: Tensor) -> Tensor:
        """∇_z L per batch item; the graph is freed, weights get nothing."""
        with torch.inference_mode(False):
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        self.passes = (self.passes[0], self.passes[1] + 1)
        return gradient

    def _reached(self, scores: Scores) -> Tensor:
        """Items (B,) whose findings all score ``stop_score`` or more."""
        values = torch.stack(list(scores.per_finding().values())).detach()
        return (values >= self.settings.stop_score).all(0)


def _refuse_half(dtype: torch.dtype) -> None:
    if dtype == torch.float16:
        raise BadRequest(
            "The latent correction cannot run in fp16: its gradients underflow.",
            hint="Use bfloat16 or float32, or switch it off (--no-correction).",
        )
