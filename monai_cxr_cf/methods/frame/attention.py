# SPDX-License-Identifier: Apache-2.0
"""Look at a UNet's attention, or replace it, from a published editor; nothing is left behind.

``with hooked(unet, layers, hook)`` puts a processor in front of each of some layers and gives the
same processor objects back on any exit.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.attention.processors import projected, projections
from monai_cxr_cf.diffusion.model.layers import AttentionLayer, attention_levels
from monai_cxr_cf.methods.frame.bench import Bench


class Hook(Protocol):
    """What an editor does in a layer: queries, keys and values in, their attention out."""

    def __call__(self, layer: AttentionLayer, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
        """(B, heads, N, d) of each -> (B, heads, N, d); None leaves the layer to itself."""


class Hooked:
    """A processor with diffusers' call contract, in front of the layer's own one."""

    def __init__(self, layer: AttentionLayer, plain: Any, hook: Hook) -> None:
        self.layer, self.plain, self.hook = layer, plain, hook

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        *,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """(B, N, C) -> (B, N, C) of the layer ``attn``."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        out = self.hook(self.layer, *projections(attn, hidden_states, context))
        if out is None:
            given = {"encoder_hidden_states": encoder_hidden_states}
            plain: Tensor = self.plain(attn, hidden_states, attention_mask=attention_mask, **given)
            return plain
        return projected(attn, out, hidden_states.dtype)


@contextmanager
def hooked(unet: Any, layers: Sequence[AttentionLayer], hook: Hook) -> Iterator[None]:
    """Install ``hook`` on some layers; restore the same objects on any exit."""
    modules = dict(unet.named_modules())
    held: list[tuple[Any, Any]] = []
    try:
        for layer in layers:
            module = modules[layer.name]
            held.append((module, module.processor))
            module.set_processor(Hooked(layer, module.processor, hook))
        yield
    finally:
        for module, processor in reversed(held):
            module.set_processor(processor)


def layers_of(bench: Bench) -> tuple[AttentionLayer, ...]:
    """All attention layers of a run, in execution order."""
    return attention_levels(bench.backbone.unet, bench.hw)


def probabilities(q: Tensor, k: Tensor) -> Tensor:
    """softmax(q k^T / √d), (B, heads, N, keys)."""
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)
