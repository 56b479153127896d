# SPDX-License-Identifier: Apache-2.0
"""What holds the rest of the image while the region changes: the paste of the source.

Called by the loop after each solver step with z at t_{i+1} and the source at that same level:
pasting the source of t_i there, as others did, leaves noise in the kept area (docs/method.md 3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Keep:
    """The keep rule of one run.

    Attributes:
        edit: m_edit, (h, w) bool, every latent cell touched by κ > 0.
        paste: ``keep.paste``; False lets the rest of the image drift.
    """

    edit: Tensor
    paste: bool

    def __call__(self, z: Tensor, source: Tensor) -> Tensor:
        """z and z_src@t_{i+1}, both (N, 4, h, w) -> z <- m z + (1 - m) z_src@t_{i+1}."""
        return torch.where(self.edit, z, source) if self.paste else z
