# SPDX-License-Identifier: Apache-2.0
"""Cross-attention under a token gain, with the few columns that are needed and nothing more.

q (B, heads, N, d), k and v (B, heads, 77, d) and a ``TokenGain`` in; output and columns A_k out.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.laws.self_attention import attend, padded_width, widened
from monai_cxr_cf.diffusion.laws.specification import TokenGain


def token_columns(q: Tensor, k: Tensor, tokens: tuple[int, ...]) -> Tensor:
    """A_k = exp(c q·k_k - logsumexp over 77): (B, heads, N, tokens), fp32 or fp64."""
    exact = torch.promote_types(q.dtype, torch.float32)
    logits = (q.to(exact) @ k.to(exact).transpose(-1, -2)) * q.shape[-1] ** -0.5
    columns: Tensor = logits[..., list(tokens)] - logits.logsumexp(-1, keepdim=True)
    return columns.exp()


def attend_with_columns(
    q: Tensor, k: Tensor, v: Tensor, tokens: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Plain output and A_k (B, heads, N, tokens) of one fused call: one-hot columns ride on v."""
    d = q.shape[-1]
    width = padded_width(d + len(tokens))
    wide = widened(v, _onehot(k.shape[-2], tokens, v.dtype, v.device), width)
    out = attend(widened(q, None, width), widened(k, None, width), wide, d**-0.5)
    return out[..., :d], out[..., d : d + len(tokens)]


@lru_cache(maxsize=32)
def _onehot(keys: int, tokens: tuple[int, ...], dtype: torch.dtype, device: Any) -> Tensor:
    """(keys, tokens): column n is 1 at the n-th token."""
    with torch.inference_mode(False):
        onehot = torch.zeros(keys, len(tokens), dtype=dtype, device=device)
        onehot[list(tokens), range(len(tokens))] = 1
    return onehot


def recorded(
    q: Tensor, k: Tensor, v: Tensor, tokens: tuple[int, ...]
) -> tuple[Tensor, Tensor | None]:
    """Plain output and A_k, or None for A_k where the fused call would be less exact than fp32."""
    out, columns = attend_with_columns(q, k, v, tokens)
    return out, columns if columns.dtype in (torch.float32, torch.float64) else None


def gained(
    q: Tensor, k: Tensor, v: Tensor, law: TokenGain, *, record: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor | None]:
    """Output under ``law``, and raw A_k of the ``record`` tokens where they come free in fp32.

    Unnormalised (Eq. 6): out' = out + Σ_k (W_k - 1) A_k v_k. Renormalised: logit bias log W.
    """
    if law.renorm:
        return _log_biased(q, k, v, law), None
    tokens = tuple(sorted({*law.tokens, *record}))
    out, columns = attend_with_columns(q, k, v, tokens)
    own = _among(columns, tokens, law.tokens)
    out = out + (own * (law.gain.T - 1).to(own)) @ v[:, :, list(law.tokens)]
    if not record or columns.dtype not in (torch.float32, torch.float64):
        return out, None
    return out, _among(columns, tokens, record)


def _among(columns: Tensor, tokens: tuple[int, ...], wanted: tuple[int, ...]) -> Tensor:
    """The columns of the wanted ones among tokens."""
    if wanted == tokens:
        return columns
    return columns[..., [tokens.index(token) for token in wanted]]


def _log_biased(q: Tensor, k: Tensor, v: Tensor, law: TokenGain) -> Tensor:
    """Softmax(c q k^T + log W) v; 77 keys, so explicit logits stay small."""
    bias = q.new_zeros(q.shape[-2], k.shape[-2])
    bias[:, list(law.tokens)] = law.gain.T.log().to(bias)
    logits = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    maps: Tensor = (logits + bias).softmax(-1)
    return maps @ v
