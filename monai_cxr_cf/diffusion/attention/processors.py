# SPDX-License-Identifier: Apache-2.0
"""Attention processors for diffusers that run the laws of a plan on one layer each.

``install.controlled`` installs them; their switches live in its ``Control``, so that nothing is
re-installed between steps. With every switch off a layer runs the processor it had before. In a
UNet of half precision a law computes in float32 and its output is rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch.nn import functional as F

from monai_cxr_cf.diffusion.laws.cross_attention import gained, recorded, token_columns
from monai_cxr_cf.diffusion.laws.self_attention import dense, gated
from monai_cxr_cf.diffusion.laws.specification import TokenGain, regional
from monai_cxr_cf.diffusion.model.layers import AttentionLayer
from monai_cxr_cf.diffusion.task import PROMPT_TOKENS
from monai_cxr_cf.errors import CxrError

if TYPE_CHECKING:
    from monai_cxr_cf.diffusion.attention.control import Control


class Steered:
    """A processor with diffusers' call contract, in front of the layer's own one."""

    def __init__(self, control: Control, layer: AttentionLayer, plain: Any) -> None:
        self.control, self.layer, self.plain = control, layer, plain

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        *,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """(B, N, C) -> (B, N, C) of the layer ``attn``."""
        if not self.busy():
            given = {
                "encoder_hidden_states": encoder_hidden_states,
                "attention_mask": attention_mask,
            }
            plain: Tensor = self.plain(attn, hidden_states, **given)
            return plain
        if attention_mask is not None:
            raise CxrError("Regulated attention takes no attention mask.")
        cells = self.layer.grid[0] * self.layer.grid[1]
        if hidden_states.shape[1] != cells:
            raise CxrError(
                f"A layer of {cells} planned cells met {hidden_states.shape[1]}; "
                "expected the latent size of the plan."
            )
        out = self.steer(attn, hidden_states, encoder_hidden_states)
        return projected(attn, out, hidden_states.dtype)

    def busy(self) -> bool:
        """Whether any law or the recorder wants this layer in the current state."""
        raise NotImplementedError

    def steer(self, attn: Any, hidden: Tensor, context: Tensor | None) -> Tensor:
        """Output (B, heads, N, d) before the layer's output projection."""
        raise NotImplementedError


class SteeredSelf(Steered):
    """Self-attention under the organ gate (Eq. 5)."""

    def busy(self) -> bool:
        return self.control.gating

    def steer(self, attn: Any, hidden: Tensor, context: Tensor | None) -> Tensor:
        q, k, v = _exact(_queries(attn, hidden), *_keys_values(attn, hidden))
        return gated(q, k, v, self.control.plan.gates[self.layer.level], self.control.dense_level)


class SteeredCross(Steered):
    """Cross-attention under token gains (Eq. 6), regional prompting and the recorder.

    K and V of a text are the same at every step, so they are kept: as long as a branch is called
    with the same tensor of states, and where no law acts too if the layer's own processor is the
    common one, whose arithmetic this is.
    """

    def __init__(self, control: Control, layer: AttentionLayer, plain: Any) -> None:
        super().__init__(control, layer, plain)
        self.source: tuple[Tensor, Tensor] | None = None
        self.kept: dict[str, tuple[Tensor, tuple[Tensor, Tensor]]] = {}

    def busy(self) -> bool:
        common = type(self.plain) is AttnProcessor2_0
        several = self.control.several
        return common or several or self.control.records(self.layer.level) or self.acting()

    def acting(self) -> bool:
        """Whether a law changes what this layer gives out."""
        control, level = self.control, self.layer.level
        return (
            control.gain(level) is not None
            or control.region(level) is not None
            or control.shift(level) is not None
        )

    def steer(self, attn: Any, hidden: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            raise CxrError("Cross-attention was called without text states.")
        q, (k, v) = _queries(attn, hidden), self._text(attn, context)
        if self.acting():
            q, k, v = _exact(q, k, v)
        out = self._texts(q, k, v) if self.control.several else self._target(q, k, v)
        omega = self.control.region(self.layer.level)
        if omega is None:
            return out
        k_source, v_source = _exact(*self._source(attn))
        rows = q.shape[0]
        plain = F.scaled_dot_product_attention(
            q, k_source.expand(rows, -1, -1, -1), v_source.expand(rows, -1, -1, -1)
        )
        shares = self.control.shares(self.layer.level)
        return regional(out, plain, omega) if shares is None else out + (1 - omega)[:, None] * plain

    def _texts(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Σ_f share_f attention to finding f's own text; the prompt's where no region is known."""
        control, level = self.control, self.layer.level
        shares = control.shares(level)
        if shares is None:
            own = slice(0, PROMPT_TOKENS)
            return F.scaled_dot_product_attention(q, k[:, :, own], v[:, :, own])
        outs, seen = [], []
        record = control.plan.tokens[control.branch] if control.records(level) else ()
        gain = control.gain(level)
        for first in range(PROMPT_TOKENS, k.shape[2], PROMPT_TOKENS):
            own = slice(first, first + PROMPT_TOKENS)
            wanted = tuple(t - first for t in record if own.start <= t < own.stop)
            law = None if gain is None else gain.within(first, PROMPT_TOKENS)
            out, columns = _attended(q, k[:, :, own], v[:, :, own], law, wanted)
            outs.append(out)
            seen += [] if columns is None else [columns]
        if seen:
            control.store(self.layer, torch.cat(seen, -1).mean(1))
        return (shares[:, None, None, :, None] * torch.stack(outs)).sum(0)

    def _target(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention to the branch's own prompt under W; records the raw columns on the way."""
        control, level = self.control, self.layer.level
        gain, shift = control.gain(level), control.shift(level)
        record = control.plan.tokens[control.branch] if control.records(level) else ()
        columns: Tensor | None = None
        if shift is not None:
            probs = dense(q, k, shift, control.dense_level)
            out = (probs if gain is None else gain(probs)) @ v
        elif gain is not None or (record and control.region(level) is not None):
            out, columns = _attended(q, k, v, gain, record)
        else:  # nothing acts on this layer: looking at it must not change a bit
            out = F.scaled_dot_product_attention(q, k, v)
        if record and columns is None:
            columns = token_columns(q, k, record)
        if columns is not None:
            control.store(self.layer, columns.mean(1))
        return out

    def _text(self, attn: Any, context: Tensor) -> tuple[Tensor, Tensor]:
        """K and V of the branch's prompt, (B, heads, 77, d)."""
        if context.requires_grad:
            return _keys_values(attn, context)
        states, made = self.kept.get(self.control.branch, (None, None))
        if made is None or states is not context:
            with torch.inference_mode(False), torch.no_grad():
                made = _keys_values(attn, context)
            self.kept[self.control.branch] = (context, made)
        return made

    def _source(self, attn: Any) -> tuple[Tensor, Tensor]:
        """K and V of the source prompt, (1, heads, 77, d)."""
        if self.source is None:
            states = self.control.plan.source_states
            if states is None:
                raise CxrError("Regional prompting without source states.")
            weight = attn.to_k.weight
            with torch.inference_mode(False), torch.no_grad():
                self.source = _keys_values(attn, states.to(weight.device, weight.dtype))
        return self.source


def _attended(
    q: Tensor, k: Tensor, v: Tensor, gain: TokenGain | None, record: tuple[int, ...]
) -> tuple[Tensor, Tensor | None]:
    """Attention to one text under W, and the raw columns of ``record``, if there are any."""
    if gain is not None:
        out, columns = gained(q, k, v, gain, record=record)
    elif record:
        out, columns = recorded(q, k, v, record)
    else:
        return F.scaled_dot_product_attention(q, k, v), None
    return out, token_columns(q, k, record) if record and columns is None else columns


def _exact(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The same in float32, where they come in less."""
    return tuple(x.to(torch.promote_types(x.dtype, torch.float32)) for x in tensors)


def _heads(attn: Any, x: Tensor) -> Tensor:
    """(B, n, heads d) -> (B, heads, n, d)."""
    return x.view(*x.shape[:-1], attn.heads, -1).transpose(1, 2)


def _queries(attn: Any, hidden: Tensor) -> Tensor:
    q = _heads(attn, attn.to_q(hidden))
    return q if attn.norm_q is None else attn.norm_q(q)


def _keys_values(attn: Any, context: Tensor) -> tuple[Tensor, Tensor]:
    if attn.is_cross_attention and attn.norm_cross:
        context = attn.norm_encoder_hidden_states(context)
    k, v = _heads(attn, attn.to_k(context)), _heads(attn, attn.to_v(context))
    return (k if attn.norm_k is None else attn.norm_k(k)), v


def projected(attn: Any, out: Tensor, dtype: torch.dtype) -> Tensor:
    """Heads (B, heads, N, d) through the layer's output projection, (B, N, C) of ``dtype``."""
    joined = out.transpose(1, 2).flatten(2).to(dtype)
    result: Tensor = attn.to_out[1](attn.to_out[0](joined)) / attn.rescale_output_factor
    return result


def projections(attn: Any, hidden: Tensor, *contexts: Tensor) -> tuple[Tensor, ...]:
    """q (B, heads, N, d), and k and v (B, heads, 77, d) of each text, for who only looks."""
    pairs = (_keys_values(attn, context) for context in contexts)
    return _exact(_queries(attn, hidden), *(x for pair in pairs for x in pair))
