# SPDX-License-Identifier: Apache-2.0
"""What one latent correction did, JSON-ready for the trace; ``correction`` fills it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from monai_cxr_cf.diffusion.correction.displace import Moved
from monai_cxr_cf.diffusion.correction.scores import Scores, finite_values


@dataclass
class CorrectionRecord:
    """One call of the correction; lists hold one value per batch item.

    Attributes:
        alpha: α_i, before normalisation.
        last_layer: layer after which the forward stopped; "" = full network.
        forwards, backwards: passes of this call; a forward that found every score high enough
            went on as the denoising pass.
        energy: Eq. 8 before the correction; None where it is not finite.
        gradient_rms: RMS of the last gradient, inside the mask.
        displacement: summed RMS displacement in units of √(1 - ᾱ).
        reason: "" if corrected, else off, not_due, stop_score, cap or non_finite.
        scores: Eq. 7 before the correction, see ``Scores.as_dict``.
    """

    alpha: float
    last_layer: str
    forwards: int = 0
    backwards: int = 0
    energy: list[float | None] = field(default_factory=list)
    gradient_rms: list[float | None] = field(default_factory=list)
    displacement: list[float] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)
    scores: dict[str, Any] = field(default_factory=dict)

    def idle(self, reason: str, items: int) -> "CorrectionRecord":
        """The record of a step on which nothing was computed."""
        self.alpha, self.reason = 0.0, [reason] * items
        return self

    def looked(self, scores: Scores, value: Tensor) -> None:
        """A forward was run; the first one's energy and scores are kept."""
        self.forwards += 1
        if not self.energy:
            self.energy, self.scores = finite_values(value), scores.as_dict()
            self.reason = ["stop_score"] * len(self.energy)
            self.gradient_rms = [0.0] * len(self.energy)
            self.displacement = [0.0] * len(self.energy)

    def moved(self, step: Moved) -> None:
        """A backward was run and items were displaced; an item once moved counts as corrected."""
        self.backwards += 1
        before = self.displacement
        self.displacement = [a + b for a, b in zip(before, step.length.tolist(), strict=True)]
        self.gradient_rms = finite_values(step.rms)
        pairs = zip(self.displacement, step.reason, strict=True)
        self.reason = ["" if total > 0 else why for total, why in pairs]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the trace."""
        return asdict(self)
