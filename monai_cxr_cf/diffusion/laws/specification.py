# SPDX-License-Identifier: Apache-2.0
"""The attention laws as written: frozen dataclasses that map attention probabilities to new ones.

This is the specification (Eq. 5 and 6 and the project's variants): ``law(probs)`` of maps (..., N,
keys) that nobody stores in practice. ``self_attention`` and ``cross_attention`` hold the exact
fused forms that the processors run; the tests compare both. N = attention cells, row-major.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

BIAS_FLOOR = 1e-4  # log m of a key outside every organ: finite, so an all-zero mask stays plain


@dataclass(frozen=True)
class MaskGate:
    """Eq. 5, S^anat = S ⊙ m, on keys, queries or both; m (N,) in 0..1, blend ``lam``.

    ``renorm`` divides rows by their sum again (keys only; there m is at least 1e-4).
    """

    mask: Tensor
    side: str = "keys"
    renorm: bool = False
    lam: float = 1.0

    def __call__(self, probs: Tensor) -> Tensor:
        """(..., N, N) -> (..., N, N)."""
        gated = probs
        if self.side in ("keys", "outer"):
            floor = BIAS_FLOOR if self.renorm else 0.0
            gated = gated * self.mask.clamp_min(floor)[None, :]
        if self.side in ("queries", "outer"):
            gated = gated * self.mask[:, None]
        if self.renorm:
            gated = gated / gated.sum(-1, keepdim=True)
        return torch.lerp(probs, gated, self.lam)


@dataclass(frozen=True)
class Partition:
    """S_ij exp(β <p_i, p_j>), renormalised; p (N, classes), β in logits, blend ``lam``."""

    membership: Tensor
    beta: float = 4.0
    lam: float = 1.0

    @cached_property
    def kept(self) -> dict[Any, tuple[Tensor, Tensor]]:
        """What the fused form has made of ``membership``, by head width and precision."""
        return {}

    def __call__(self, probs: Tensor) -> Tensor:
        """(..., N, N) -> (..., N, N)."""
        gated = probs * torch.exp(self.beta * (self.membership @ self.membership.T))
        return torch.lerp(probs, gated / gated.sum(-1, keepdim=True), self.lam)


@dataclass(frozen=True)
class HardPartition:
    """Own organ only, renormalised; free cells (bridge) attend everywhere and are seen by none.

    ``organ`` (N,) integer class of each cell, -1 = free.
    """

    organ: Tensor
    lam: float = 1.0

    @cached_property
    def groups(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """(query cells, key cells) of each organ; free cells see all cells."""
        organs = torch.unique(self.organ).tolist()
        own = [torch.nonzero(self.organ == c).flatten() for c in organs]
        everywhere = torch.arange(len(self.organ), device=self.organ.device)
        return tuple(
            (cells, everywhere if c < 0 else cells) for c, cells in zip(organs, own, strict=True)
        )

    def __call__(self, probs: Tensor) -> Tensor:
        """(..., N, N) -> (..., N, N)."""
        free = self.organ[:, None] < 0
        seen = free | (self.organ[:, None] == self.organ[None, :])
        gated = probs * seen
        return torch.lerp(probs, gated / gated.sum(-1, keepdim=True), self.lam)


@dataclass(frozen=True)
class DenseShift:
    """DenseDiffusion: sim += w l_t (1 - area) [R (max - sim) - (1 - R) (sim - min)] before softmax.

    ``same`` R (N, keys) in {0, 1} or -1 where a key is left alone; ``area`` broadcastable to R, the
    share of cells in the segment; ``weight`` w; l_t = (t / 1000)^5 is the call's ``level``.
    """

    same: Tensor
    area: Tensor
    weight: float = 0.3
    lam: float = 1.0

    def shift(self, sim: Tensor) -> Tensor:
        """The added logits for w l_t = 1, from logits (..., N, keys)."""
        top, low = sim.amax(-1, keepdim=True), sim.amin(-1, keepdim=True)
        moved = torch.where(self.same > 0, top - sim, low - sim)
        return torch.where(self.same < 0, 0.0, (1 - self.area) * moved)

    def __call__(self, probs: Tensor, level: float = 1.0) -> Tensor:
        """(..., N, keys) -> (..., N, keys); logits enter up to a constant, which cancels."""
        sim = probs.log()
        gated = (sim + self.weight * level * self.shift(sim)).softmax(-1)
        return torch.lerp(probs, gated, self.lam)


@dataclass(frozen=True)
class TokenGain:
    """Eq. 6 and its kin, A_k <- W_k A_k for a few tokens; not renormalised unless asked.

    ``tokens`` positions k; ``gain`` W (tokens, N): 1 + η Ω on K_path, 1 - λ + λ m_organ on K_anat.
    """

    tokens: tuple[int, ...]
    gain: Tensor
    renorm: bool = False

    def within(self, first: int, count: int) -> "TokenGain | None":
        """The part of it for ``count`` tokens from ``first`` on, counted from there, if any."""
        own = [i for i, k in enumerate(self.tokens) if first <= k < first + count]
        if not own:
            return None
        tokens = tuple(self.tokens[i] - first for i in own)
        return TokenGain(tokens, self.gain[own], self.renorm)

    def __call__(self, probs: Tensor) -> Tensor:
        """(..., N, 77) -> (..., N, 77)."""
        weights = probs.new_ones(probs.shape[-2:])
        weights[:, list(self.tokens)] = self.gain.T.to(probs)
        probs = probs * weights
        return probs / probs.sum(-1, keepdim=True) if self.renorm else probs


Gate = MaskGate | Partition | HardPartition | DenseShift


def regional(target: Tensor, source: Tensor, omega: Tensor) -> Tensor:
    """out = Ω attn(K_tgt, V_tgt) + (1 - Ω) attn(K_src, V_src); outputs (..., N, d), omega (N,)."""
    return torch.lerp(source, target, omega[:, None].to(source))
