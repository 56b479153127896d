# SPDX-License-Identifier: Apache-2.0
"""A level λ of the severity dial as a law of one run (docs/method.md 4).

Every prediction e that the plain edit would take becomes e_src + λ (e - e_src), on guided steps and
on others. With regional guidance that is s λ in place of s, of every finding; and at λ = 0 it is
the source's prediction, along which an inversion leads back to the source.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from monai_cxr_cf.presets import EditConfig


@dataclass(frozen=True)
class Level:
    """λ, 0 < λ <= 1; 1 is the plain edit and leaves all as it is."""

    value: float = 1.0

    @property
    def references(self) -> tuple[str, ...]:
        """Branches whose predictions are needed on every step."""
        return ("source",) if self.value < 1 else ()

    def __call__(self, e: Tensor, others: Mapping[str, Tensor]) -> Tensor:
        """e, (N, 4, h, w), drawn towards the prediction under the source prompt."""
        if self.value == 1:
            return e
        e_src = others["source"]
        return e_src + self.value * (e - e_src)

    def laws(self, config: EditConfig) -> EditConfig:
        """Eq. 9 moves the latent itself, past all predictions: its step shrinks by λ.

        Eq. 5, 6 and the regional prompt act within a prediction, and so shrink with it.
        """
        if self.value == 1:
            return config
        scale = config.correct.scale * self.value
        return replace(config, correct=replace(config.correct, scale=scale))
