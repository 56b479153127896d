# SPDX-License-Identifier: Apache-2.0
"""Self-attention under an organ gate without an N x N map: q, k, v and a law in, output out.

Each law of ``specification`` has an exact form around one fused attention call (docs/method.md 2.2,
c = 1/√d); only ``DenseShift`` needs explicit logits and is refused above a size. Shapes:
(B, heads, N, d).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cxr_cf.diffusion.laws.specification import (
    BIAS_FLOOR,
    DenseShift,
    Gate,
    MaskGate,
    Partition,
)

WIDTH = 8  # fused kernels want head widths that are multiples of this


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Plain fused attention Softmax(scale q k^T) v."""
    return F.scaled_dot_product_attention(q, k, v, scale=scale)


def widened(x: Tensor, extra: Tensor | None, width: int) -> Tensor:
    """x (B, heads, n, d) with ``extra`` (n, e) appended to each row, zeros up to ``width``."""
    parts = [x]
    if extra is not None:
        parts.append(extra.to(x).expand(*x.shape[:-1], extra.shape[-1]))
    fill = width - sum(part.shape[-1] for part in parts)
    if fill:
        parts.append(x.new_zeros(()).expand(*x.shape[:-1], fill))
    return torch.cat(parts, dim=-1)


def padded_width(d: int) -> int:
    """The next multiple of 8."""
    return -(-d // WIDTH) * WIDTH


def biased(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Softmax(c q k^T + rows columns^T) v by q' = [q, rows/c], k' = [k, columns]; exact.

    rows, columns: (N, e), the low-rank logit bias. c stays that of the unwidened q.
    """
    return _attend_wide(q, k, v, tails(rows, columns, q))


def tails(rows: Tensor, columns: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """What ``biased`` appends to the rows of q and k, zeros up to the width included."""
    d, e = like.shape[-1], rows.shape[-1]
    fill = (0, padded_width(d + e) - d - e)
    return F.pad((rows / d**-0.5).to(like), fill), F.pad(columns.to(like), fill)


def _attend_wide(q: Tensor, k: Tensor, v: Tensor, both: tuple[Tensor, Tensor]) -> Tensor:
    """Attention with tails; v gets zeros, since fused kernels want one width."""
    d = q.shape[-1]
    wide_q, wide_k = (
        torch.cat([x, tail.expand(*x.shape[:-1], tail.shape[-1])], dim=-1)
        for x, tail in zip((q, k), both, strict=True)
    )
    return attend(wide_q, wide_k, F.pad(v, (0, both[0].shape[-1])), d**-0.5)[..., :d]


def _partitioned(q: Tensor, k: Tensor, v: Tensor, law: Partition) -> Tensor:
    """The soft partition; its tails are the same at every step, so the law keeps them."""
    key = (q.shape[-1], q.dtype)
    if key not in law.kept:
        with torch.inference_mode(False), torch.no_grad():
            law.kept[key] = tails(law.beta * law.membership, law.membership, q)
    return _attend_wide(q, k, v, law.kept[key])


def gated(q: Tensor, k: Tensor, v: Tensor, law: Gate, level: float = 1.0) -> Tensor:
    """Self-attention output under ``law``; ``level`` is l_t of the dense shift."""
    if isinstance(law, MaskGate):
        return _mask_gated(q, k, v, law)
    if isinstance(law, DenseShift):
        return dense(q, k, law, level) @ v
    if isinstance(law, Partition):
        out = _partitioned(q, k, v, law)
    else:
        out = by_organ(q, k, v, law.groups)
    return _blend(out, q, k, v, law.lam)


def _mask_gated(q: Tensor, k: Tensor, v: Tensor, law: MaskGate) -> Tensor:
    """Eq. 5 by scaling rows of v, of the output, or both; renormalised keys by a logit bias."""
    scale, mask = q.shape[-1] ** -0.5, law.mask.to(q)
    blended = torch.lerp(torch.ones_like(mask), mask, law.lam)[:, None]
    if law.renorm:
        bias = law.mask.clamp_min(BIAS_FLOOR).log()[:, None]
        return _blend(biased(q, k, v, torch.ones_like(bias), bias), q, k, v, law.lam)
    if law.side == "keys":
        return attend(q, k, v * blended, scale)
    if law.side == "queries":
        return attend(q, k, v, scale) * blended
    return _blend(attend(q, k, v * mask[:, None], scale) * mask[:, None], q, k, v, law.lam)


def _blend(out: Tensor, q: Tensor, k: Tensor, v: Tensor, lam: float) -> Tensor:
    """lam of the gated and 1 - lam of the plain output."""
    return out if lam == 1.0 else torch.lerp(attend(q, k, v, q.shape[-1] ** -0.5), out, lam)


def by_organ(q: Tensor, k: Tensor, v: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Attention within each group: Σ_p (n_p / N)² of the plain cost."""
    scale = q.shape[-1] ** -0.5
    parts = [attend(q[:, :, own], k[:, :, seen], v[:, :, seen], scale) for own, seen in groups]
    order = torch.cat([own for own, _ in groups])
    return torch.cat(parts, dim=2)[:, :, order.argsort()]


def dense(q: Tensor, k: Tensor, law: DenseShift, level: float) -> Tensor:
    """Probabilities (B, heads, N, keys) after the pre-softmax shift: explicit, for small N only."""
    sim = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    shifted = (sim + law.weight * level * law.shift(sim)).softmax(-1).to(q.dtype)
    return shifted if law.lam == 1.0 else torch.lerp(sim.softmax(-1), shifted, law.lam)
