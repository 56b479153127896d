# SPDX-License-Identifier: Apache-2.0
"""One layer's cross-attention to a text, and to the same with some tokens' K and V exchanged.

Explicit softmax over 77 keys: small enough for the one step that ``diffusion.census`` looks at.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.laws.specification import TokenGain


class Exchange:
    """q (B, heads, N, d), k and v (B, heads, 77, d) of the text; those of the source (1, ...).

    Args:
        gain: W of Eq. 6 and its kin on the text's tokens; an exchanged token has none.
        omega: weight of each cell (N,), where the source prompt rules outside it; None = 1.

    Attributes:
        flops: of all that was asked so far, two a multiplication.
    """

    def __init__(
        self, q: Tensor, k: Tensor, v: Tensor, *source: Tensor,
        gain: TokenGain | None = None, omega: Tensor | None = None,
    ) -> None:  # fmt: skip
        k_source, v_source = (x.expand_as(k) for x in source)
        self.v, self.v_source, self.gain, self.omega = v, v_source, gain, omega
        self.logits, self.logits_source = (
            (q @ keys.transpose(-1, -2)) * q.shape[-1] ** -0.5 for keys in (k, k_source)
        )
        self._product = 2 * q.numel() * k.shape[-2]
        self.flops = 2 * self._product
        self.target, self.source = self.output(()), self.output(range(k.shape[-2]))

    def output(self, exchanged: Iterable[int]) -> Tensor:
        """(B, heads, N, d) where these positions have the source's keys and values."""
        taken = torch.zeros(self.v.shape[-2], dtype=torch.bool, device=self.v.device)
        taken[list(exchanged)] = True
        maps = torch.where(taken, self.logits_source, self.logits).softmax(-1)
        if self.gain is not None:
            maps = torch.where(taken, maps, maps * self._weights(maps))
            maps = maps / maps.sum(-1, keepdim=True) if self.gain.renorm else maps
        self.flops += self._product
        return maps @ torch.where(taken[:, None], self.v_source, self.v)

    def share(self, positions: Iterable[int]) -> float | None:
        """Part of the text's effect on the output, in its own direction, that these tokens hold.

        <o - o', o - o_source> / |o - o_source|^2, mean over images; 1 for all positions, 0 for
        none. None where the text has no effect at all.
        """
        effect = self._weighed(self.target - self.source)
        lost = self._weighed(self.target - self.output(positions))
        along, size = (lost * effect).sum((1, 2, 3)), effect.square().sum((1, 2, 3))
        known = size > 0
        return float((along[known] / size[known]).mean()) if bool(known.any()) else None

    def mass(self, positions: Iterable[int]) -> float:
        """Share of plain attention, mean over images, heads and cells."""
        return float(self.logits.softmax(-1)[..., list(positions)].sum(-1).mean())

    def _weights(self, maps: Tensor) -> Tensor:
        weights = maps.new_ones(maps.shape[-2:])
        if self.gain is not None:
            weights[:, list(self.gain.tokens)] = self.gain.gain.T.to(maps)
        return weights

    def _weighed(self, out: Tensor) -> Tensor:
        return out if self.omega is None else out * self.omega[:, None].to(out)
