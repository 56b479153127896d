# SPDX-License-Identifier: Apache-2.0
"""Steer and record a UNet's attention by a plan, and leave no trace afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from monai_cxr_cf.diffusion.layers import AttentionLayer, attention_levels
from monai_cxr_cf.diffusion.maps import LawPlan

__all__ = ["AttentionLayer", "Control", "attention_levels", "controlled"]


class Control:
    """The switches of installed processors and what they recorded."""

    def set(
        self, *, branch: str, gate: bool, boost: bool, regional: bool, record: bool
    ) -> None:
        """State of the next UNet call; ``branch`` is ``cond`` or ``negative``."""

    def take(self) -> dict[tuple[int, str], Tensor]:
        """Recorded K_path columns (level, layer name) -> (B, tokens, rows, columns); clears them."""
        return {}


@contextmanager
def controlled(unet: Any, plan: LawPlan) -> Iterator[Control]:
    """Install processors where a law needs one; restore the same objects on any exit."""
    yield Control()
