# SPDX-License-Identifier: Apache-2.0
"""The step of Eq. 9: a latent and a gradient in, the displaced latent and what it took out.

Holds what a run has spent of its cap and how many gradients were not finite. Batch items are
independent: a skip, a stop or the cap of one never touches another.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.laws.plan import LawPlan
from monai_cxr_cf.diffusion.laws.priors import latent_edit_mask

TINY = 1e-12


@dataclass(frozen=True)
class Moved:
    """Result of one displacement; ``rms`` and ``length`` hold one value per batch item.

    ``length`` is the RMS displacement in units of √(1 - ᾱ); ``reason`` is empty where the item was
    moved, else ``stop_score``, ``non_finite`` or ``cap``.
    """

    z: Tensor
    rms: Tensor
    length: Tensor
    reason: tuple[str, ...]


class Mover:
    """Displaces latents by scaled gradients, within the latent edit mask, up to the cap."""

    def __init__(self, plan: LawPlan) -> None:
        self.settings, self.kappa = plan.config.correct, plan.kappa
        self.non_finite = 0
        self.spent: Tensor | None = None
        self._mask: Tensor | None = None

    def move(
        self, z: Tensor, gradient: Tensor, *, alpha: float, alpha_bar: float, items: Tensor
    ) -> Moved:
        """z <- z - α ĝ √(1-ᾱ), or z - α g for ``norm`` none (the seed's literal form, unmasked).

        z, gradient (B, 4, h, w); ``items`` (B,) bool, which to move. ĝ = g / (RMS(g) + 1e-12), or
        / (max |g| + 1e-12), both taken inside the mask. A run's summed ``length`` stays <= cap.
        """
        exact = torch.promote_types(z.dtype, torch.float32)
        old, mask, unit = z.detach().to(exact), self._region(z, exact), (1 - alpha_bar) ** 0.5
        finite = gradient.isfinite().flatten(1).all(1)
        self.non_finite += int((items & ~finite).sum())
        use = (items & finite).view(-1, 1, 1, 1)
        g = torch.where(use, gradient.to(exact), 0.0) * mask
        rms = _rms(g, mask)
        delta = -alpha * self._scaled(g, rms, unit)
        length = torch.where(use.flatten(), _rms(delta, mask) / max(unit, TINY), 0.0)
        share = self._within_cap(length)
        new = torch.where(use, old + share.view(-1, 1, 1, 1) * delta, old)
        reason = [
            "stop_score" if not wanted else "non_finite" if not ok else "cap" if s == 0 else ""
            for wanted, ok, s in zip(items.tolist(), finite.tolist(), share.tolist(), strict=True)
        ]
        return Moved(new.to(z.dtype), rms, share * length, tuple(reason))

    def _scaled(self, g: Tensor, rms: Tensor, unit: float) -> Tensor:
        """ĝ in latent units."""
        if self.settings.norm == "none":
            return g
        size = rms if self.settings.norm == "rms" else g.abs().flatten(1).amax(1)
        return g / (size.view(-1, 1, 1, 1) + TINY) * unit

    def _within_cap(self, length: Tensor) -> Tensor:
        """Share (B,) of the displacement that the cap still allows; books what is spent."""
        spent = torch.zeros_like(length) if self.spent is None else self.spent
        share = torch.ones_like(length)
        if self.settings.cap > 0:
            room = (self.settings.cap - spent).clamp_min(0)
            share = torch.where(length > room, room / length.clamp_min(TINY), share)
        self.spent = spent + share * length
        return share

    def _region(self, z: Tensor, dtype: torch.dtype) -> Tensor:
        """m_edit as (1, 1, h, w) weights; everything for ``norm`` none."""
        if self._mask is None or self._mask.shape[-2:] != z.shape[-2:]:
            rows, columns = int(z.shape[-2]), int(z.shape[-1])
            mask = torch.ones(rows, columns)
            if self.settings.norm != "none":
                mask = torch.as_tensor(latent_edit_mask(self.kappa, (rows, columns)))
            self._mask = mask[None, None]
        return self._mask.to(z.device, dtype)


def _rms(x: Tensor, mask: Tensor) -> Tensor:
    """RMS per batch item over channels and masked cells, (B,)."""
    cells = mask.sum().clamp_min(1) * x.shape[1]
    return ((x * mask).square().sum((1, 2, 3)) / cells).sqrt()
