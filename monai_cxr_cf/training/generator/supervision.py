# SPDX-License-Identifier: Apache-2.0
"""A UNet in, its cross-attention to finding words out: the paper's energy as a training loss.

Eq. 7 and 8 are computed on the coarse levels for words whose place is known (drawn findings), so
that the backbone learns to look from the place to the word: what the regulator later leans on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F


class WatchedCrossAttention:
    """Cross-attention by explicit softmax; keeps the mean map over heads of every token."""

    def __init__(self, store: list[Tensor], limit: int) -> None:
        self.store, self.limit = store, limit

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """(B, N, C) queries and (B, 77, D) text states -> (B, N, C)."""
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(x)
            for x in (attn.to_q(hidden_states), attn.to_k(text), attn.to_v(text))
        )
        logits = torch.bmm(query, key.transpose(1, 2)) * attn.scale
        weights = logits.float().softmax(-1)
        if hidden_states.shape[1] <= self.limit:
            cells = weights.shape[1]
            self.store.append(weights.view(len(text), -1, cells, weights.shape[-1]).mean(1))
        out = attn.batch_to_head_dim(torch.bmm(weights.to(value.dtype), value))
        return attn.to_out[1](attn.to_out[0](out))


@contextmanager
def watched(unet: UNet2DConditionModel, *, limit: int = 256) -> Iterator[list[Tensor]]:
    """Collect (B, N, 77) maps of all cross-attentions with N <= limit; restores the processors."""
    store: list[Tensor] = []
    before = unet.attn_processors
    chosen = {
        name: WatchedCrossAttention(store, limit) if ".attn2." in name else processor
        for name, processor in before.items()
    }
    unet.set_attn_processor(chosen)
    try:
        yield store
    finally:
        unet.set_attn_processor(before)


def attention_energy(maps: list[Tensor], columns: Tensor, place: Tensor) -> Tensor:
    """L = 1 - mean score, score = <A_k, Omega> / <A_k, 1> (Eq. 7, 8), over samples with words.

    ``maps``: (B, N, 77) each; ``columns``: (B, 77); ``place``: (B, h, w) 0..1. Zero without words.
    """
    used = (columns.sum(1) > 0) & (place.amax((1, 2)) > 0)
    if not used.any():
        return columns.new_zeros(())
    columns, place = columns[used], place[used]
    losses = []
    for weights in maps:
        side = round(weights.shape[1] ** 0.5)
        omega = F.adaptive_avg_pool2d(place[:, None], side).flatten(1)
        omega = omega / omega.amax(1, keepdim=True).clamp_min(1e-6)
        mass = weights[used]
        score = (mass * omega[..., None]).sum(1) / mass.sum(1).clamp_min(1e-8)
        mean = (score * columns).sum(1) / columns.sum(1)
        losses.append(1 - mean.mean())
    return torch.stack(losses).mean()


def cross_attention_parameters(unet: UNet2DConditionModel) -> set[str]:
    """Names of the parameters of all cross-attentions."""
    names = {name for name, module in unet.named_modules() if name.endswith("attn2")}
    return {
        f"{name}.{key}"
        for name, module in unet.named_modules()
        if name in names and isinstance(module, nn.Module)
        for key, _ in module.named_parameters()
    }
