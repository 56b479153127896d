# SPDX-License-Identifier: Apache-2.0
"""The UNet of a run as the loop sees it: a latent and a step in, the regulated prediction out.

It sets the laws' switches per step and branch, combines the branches by guidance, and hands the
latent to the correction (Eq. 9) in the window.
"""

from torch import Tensor, inference_mode, no_grad, tensor

from monai_cxr_cf.diffusion.attention.control import Control
from monai_cxr_cf.diffusion.correction.correction import Correction
from monai_cxr_cf.diffusion.correction.record import CorrectionRecord
from monai_cxr_cf.diffusion.correction.scores import Scores, roi_scores
from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.prepare import Prepared


class Denoiser:
    """One run's UNet inside ``controlled``."""

    def __init__(self, run: Prepared, control: Control, meter: Meter) -> None:
        self.run, self.control, self.meter = run, control, meter
        self.correction = Correction(run.backbone.unet, control, run.plan)
        self._scores: list[Scores] = []
        self._texts: dict[tuple[str, int], Tensor] = {}
        self._ahead: tuple[Tensor, Tensor] | None = None  # a latent, and what the UNet says of it

    def correct(self, z: Tensor, i: int) -> tuple[Tensor, CorrectionRecord | None]:
        """Eq. 9 on z at t_i, before the denoising pass; z itself outside the window."""
        run, window = self.run, self.run.boost
        if i not in window or not self.correction.enabled:
            return z, None
        self.switch(i, "cond")
        with self.meter.during("gradient"):
            z, record = self.correction.step(
                z,
                run.solver.timesteps[i],
                alpha_bar=run.solver.alpha_bar(i),
                i=i - window.start,
                n_window=len(window),
                cond_states=self.text("cond", len(z)),
            )
        self.meter.add("backward", items=len(z), calls=record.backwards)
        if self.correction.prediction is not None:
            self._ahead = (z, self.correction.prediction)
            self.meter.add("unet", items=len(z))
        return z, record

    def guided(self, z: Tensor, i: int) -> Tensor:
        """e of the conditional branch; on guided steps combined with one or two other passes."""
        self._scores = []
        e = self.predict(z, i, "cond")
        return self.run.combined(e, {b: self.predict(z, i, b) for b in self.run.others(i)}, i)

    def predict(self, z: Tensor, i: int, branch: str) -> Tensor:
        """Prediction (epsilon or v) of one branch at t_i under all laws, (N, 4, h, w) float32."""
        if branch == "cond" and self._ahead is not None and self._ahead[0] is z:
            e = self._ahead[1].float()  # the correction's look was this very pass
        else:
            self.switch(i, branch)
            e = self.forward(z, i, branch)
        self._ahead = None
        columns = self.control.take()
        if columns:
            self._scores.append(roi_scores(columns, self.run.plan, map="raw", branch=branch))
        return e

    @property
    def scores(self) -> list[Scores]:
        """Raw scores (Eq. 7) of the last step's passes, one per branch that has finding tokens."""
        return [s for s in self._scores if s.score]

    def switch(self, i: int, branch: str, *, edits: bool = True) -> None:
        """Set the laws of step i for the UNet calls that follow; an inversion does not edit."""
        self.control.set(
            branch=branch,
            gate=i in self.run.gated,
            boost=edits and i in self.run.boost,
            regional=True,
            record=edits,
        )

    def text(self, name: str, images: int) -> Tensor:
        """States (images, 77, C) of one of the run's texts; the same object every time."""
        key = (name, images)
        if key not in self._texts:
            with inference_mode(False):  # a graph may hold them
                self._texts[key] = self.run.states[name].clone().expand(images, -1, -1)
        return self._texts[key]

    def forward(self, z: Tensor, i: int, text: str) -> Tensor:
        """One UNet call at t_i under a text, with the switches as they stand, float32 out."""
        backbone = self.run.backbone
        t = tensor([self.run.solver.timesteps[i]], device=z.device).expand(len(z))
        with no_grad():
            e: Tensor = backbone.unet(
                z.to(backbone.dtype), t, encoder_hidden_states=self.text(text, len(z))
            ).sample
        return e.float()
