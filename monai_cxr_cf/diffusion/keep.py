# SPDX-License-Identifier: Apache-2.0
"""What holds the rest of the image while the region changes: paste, low-pass guidance, soft map.

Called by the loop after each solver step with z at t_{i+1} and the source at that same level:
pasting the source of t_i there, as others did, leaves noise in the kept area (docs/method.md 3).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_cxr_cf.presets import EditConfig


def low_pass(z: Tensor, factor: int) -> Tensor:
    """φ_N: (N, 4, h, w) averaged down by ``factor`` and interpolated back up."""
    size = (z.shape[-2], z.shape[-1])
    small = F.interpolate(z, [max(1, -(-side // factor)) for side in size], mode="area")
    return F.interpolate(small, size, mode="bilinear", align_corners=False)


def cell_strength(kappa: Any, hw: tuple[int, int], strength: float) -> Tensor:
    """s(p) in 0..strength: (h, w) mean κ of each latent cell, times the strength of the run."""
    planes = torch.as_tensor(kappa, dtype=torch.float32)[None, None]
    return strength * F.interpolate(planes, hw, mode="area")[0, 0]


@dataclass(frozen=True)
class Keep:
    """The keep rule of one run.

    Attributes:
        edit: m_edit, (h, w) bool, every latent cell touched by κ > 0.
        strengths: s(p) for ``keep.soft_map``, else None.
        n, n_exec: scheduler steps and executed steps.
    """

    config: EditConfig
    edit: Tensor
    strengths: Tensor | None
    n: int
    n_exec: int

    def free(self, i: int) -> Tensor:
        """Cells not pasted after executed step i, (h, w) bool.

        With a strength map, after global step j = n - n_exec + i a cell is pasted while
        s(p) <= 1 - (j + 1) / n, so cells of the rim are freed later.
        """
        if self.strengths is None:
            return self.edit
        j = self.n - self.n_exec + i
        return self.edit & (self.strengths > 1 - (j + 1) / self.n)

    def __call__(self, z: Tensor, source: Tensor, i: int) -> Tensor:
        """z and z_src@t_{i+1}, both (N, 4, h, w), after executed step i -> z with the rest held.

        Paste: z <- m z + (1 - m) z_src@t_{i+1}. ILVR: z <- z + φ_N(z_src@t_{i+1}) - φ_N(z),
        outside m_edit.
        """
        ilvr = self.config.keep.ilvr
        if ilvr:
            guided = z + low_pass(source, ilvr) - low_pass(z, ilvr)
            z = torch.where(self.edit, z, guided)
        return torch.where(self.free(i), z, source) if self.config.keep.paste else z
