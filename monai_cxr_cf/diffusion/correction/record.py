# SPDX-License-Identifier: Apache-2.0
"""What one latent correction did, JSON-ready for the trace."""

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from monai_cxr_cf.diffusion.correction.displace import Moved
from monai_cxr_cf.diffusion.correction.scores import Scores, finite_values


@dataclass(frozen=True)
class CorrectionRecord:
    """One call of the correction; lists hold one value per batch item.

    Attributes:
        alpha: α_i, before normalisation.
        last_layer: layer after which the forward stopped; "" = full network.
        forwards, backwards: passes of this call; a forward that found every score high enough
            went on as the denoising pass.
        energy: Eq. 8 before the correction; None where it is not finite.
        gradient_rms: RMS of the gradient, inside the mask.
        displacement: RMS displacement in units of √(1 - ᾱ).
        reason: "" if corrected, else off, stop_score, cap or non_finite.
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

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the trace."""
        return asdict(self)


def recorded(
    scores: Scores, value: Tensor, moved: Moved | None, *, alpha: float, last_layer: str
) -> CorrectionRecord:
    """What a forward saw and a backward moved; ``moved`` is None where every score was enough."""
    still = [0.0] * len(value)
    return CorrectionRecord(
        alpha=alpha,
        last_layer=last_layer,
        forwards=1,
        backwards=0 if moved is None else 1,
        energy=finite_values(value),
        gradient_rms=[*still] if moved is None else finite_values(moved.rms),
        displacement=still if moved is None else moved.length.tolist(),
        reason=["stop_score"] * len(value) if moved is None else list(moved.reason),
        scores=scores.as_dict(),
    )
