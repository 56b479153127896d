# SPDX-License-Identifier: Apache-2.0
"""The laws as loops over numbers: what specification and fused forms share is pinned here."""

import math

import pytest
import torch

from monai_cxr_cf.diffusion.laws.cross_attention import gained, recorded
from monai_cxr_cf.diffusion.laws.self_attention import attend, dense, gated
from monai_cxr_cf.diffusion.laws.specification import (
    DenseShift,
    HardPartition,
    MaskGate,
    Partition,
    TokenGain,
)


def qkv(cells, keys, width=5, *, dtype=torch.float64, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(2, 2, n, width, generator=generator, dtype=torch.float64).to(dtype)
        for n in (cells, keys, keys)
    )


def logits(q, k):
    return q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])


def by_hand(sim, same, area, *, weight, level):
    """DenseDiffusion on one map (N, keys), number by number."""
    out = sim.clone()
    for i in range(sim.shape[0]):
        top, low = max(sim[i].tolist()), min(sim[i].tolist())
        for j in range(sim.shape[1]):
            if same[i, j] < 0:
                continue
            towards = top - sim[i, j] if same[i, j] > 0 else -(sim[i, j] - low)
            out[i, j] += weight * level * (1 - area[i, j]) * towards
    return out.softmax(-1)


@pytest.mark.parametrize("lam", [1.0, 0.3])
def test_the_dense_shift_is_the_published_one_and_leaves_keys_without_a_segment_alone(lam):
    q, k, v = qkv(6, 4)
    same = torch.tensor([[1.0, 0, -1, 1], [0, 1, -1, 0]]).repeat(3, 1).double()
    area = torch.tensor([[0.2, 0.5, 0.0, 0.9]]).double()
    law = DenseShift(same, area, 0.7, lam)
    sim = logits(q, k)
    for level in (0.4, 1.0):
        expected = torch.stack(
            [
                torch.stack(
                    [by_hand(one, same, area.expand(6, 4), weight=0.7, level=level) for one in item]
                )
                for item in sim
            ]
        )
        expected = lam * expected + (1 - lam) * sim.softmax(-1)
        assert torch.allclose(dense(q, k, law, level), expected, atol=1e-12)
        assert torch.allclose(law(sim.softmax(-1), level), expected, atol=1e-12)
        assert torch.allclose(gated(q, k, v, law, level), expected @ v, atol=1e-12)
    assert torch.allclose(gated(q, k, v, law), dense(q, k, law, 1.0) @ v, atol=1e-15)


def test_a_law_acts_in_full_unless_told_otherwise():
    one = torch.ones(1, 1)
    laws = (MaskGate(one[0]), Partition(one), HardPartition(one[0]), DenseShift(one, one))
    assert [law.lam for law in laws] == [1.0] * 4
    assert (laws[0].side, laws[0].renorm) == ("keys", False)
    assert (laws[1].beta, laws[3].weight) == (4.0, 0.3)
    assert TokenGain((1,), one).renorm is False


def test_renormalised_keys_keep_one_ten_thousandth_of_a_key_outside():
    q = torch.zeros(1, 1, 2, 8, dtype=torch.float64)
    v = torch.eye(2, dtype=torch.float64).view(1, 1, 2, 2)
    law = MaskGate(torch.tensor([1.0, 0.0], dtype=torch.float64), "keys", True)
    for out in (gated(q, q, torch.nn.functional.pad(v, (0, 6)), law)[..., :2], law(v * 0 + 0.5)):
        assert float(out[0, 0, 0, 1]) == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-9)


def test_masks_scale_keys_queries_or_both_without_a_new_sum():
    probs = torch.tensor([[0.2, 0.8], [0.5, 0.5]], dtype=torch.float64)
    mask = torch.tensor([0.5, 0.25], dtype=torch.float64)
    expected = {
        "keys": [[0.1, 0.2], [0.25, 0.125]],
        "queries": [[0.1, 0.4], [0.125, 0.125]],
        "outer": [[0.05, 0.1], [0.0625, 0.03125]],
    }
    for side, rows in expected.items():
        assert torch.allclose(MaskGate(mask, side)(probs), torch.tensor(rows).double())
    half = MaskGate(mask, "keys", False, 0.5)(probs)
    assert torch.allclose(half, torch.tensor([[0.15, 0.5], [0.375, 0.3125]]).double())


def test_partitions_by_hand():
    probs = torch.tensor([[0.5, 0.3, 0.2]] * 3, dtype=torch.float64)
    p = torch.tensor([[1.0, 0], [0.5, 0.5], [0, 1]], dtype=torch.float64)
    row = [0.5 * math.exp(2.0), 0.3 * math.exp(1.0), 0.2]
    soft = Partition(p, 2.0)(probs)
    assert soft[0].tolist() == pytest.approx([x / sum(row) for x in row])
    law = HardPartition(torch.tensor([0, 1, -1]))
    assert law(probs).tolist() == [[1, 0, 0], [0, 1, 0], pytest.approx([0.5, 0.3, 0.2])]
    assert [(a.tolist(), b.tolist()) for a, b in law.groups] == [
        ([2], [0, 1, 2]),
        ([0], [0]),
        ([1], [1]),
    ]


def test_token_gains_by_hand():
    probs = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], dtype=torch.float64)
    gain = torch.tensor([[2.0, 0.5], [3.0, 1.0]], dtype=torch.float64)  # of tokens 2 and 0
    assert torch.allclose(
        TokenGain((2, 0), gain)(probs), torch.tensor([[0.6, 0.3, 1.0], [0.6, 0.3, 0.05]]).double()
    )
    again = TokenGain((2, 0), gain, True)(probs)
    assert again[0].tolist() == pytest.approx([0.6 / 1.9, 0.3 / 1.9, 1 / 1.9])


@pytest.mark.parametrize("tokens", [(5, 2), (2, 5)])
def test_recorded_tokens_come_in_the_order_asked_for_beside_those_of_the_gain(tokens):
    q, k, v = qkv(6, 9)
    gain = torch.rand(2, 6, generator=torch.Generator().manual_seed(1)).double() + 0.5
    law = TokenGain(tokens, gain)
    probs = logits(q, k).softmax(-1)
    out, columns = gained(q, k, v, law, record=(7, 5, 0))
    assert torch.allclose(columns, probs[..., [7, 5, 0]], atol=1e-12)
    weights = torch.ones(6, 9).double()
    for row, token in zip(gain, tokens, strict=True):
        weights[:, token] = row
    assert torch.allclose(out, (probs * weights) @ v, atol=1e-12)
    assert gained(q, k, v, law)[1] is None
    assert gained(q, k, v, TokenGain(tokens, gain, True), record=(7,))[1] is None


def test_columns_of_a_fused_call_are_given_only_where_they_are_exact():
    for dtype, exact in ((torch.float32, True), (torch.float64, True), (torch.bfloat16, False)):
        q, k, v = qkv(6, 9, dtype=dtype)
        assert (recorded(q, k, v, (1,))[1] is not None) == exact
        law = TokenGain((2,), torch.ones(1, 6))
        assert (gained(q, k, v, law, record=(1,))[1] is not None) == exact
    out, columns = recorded(*(x.float() for x in (q, k, v)), (4, 1))
    probs = logits(q.float(), k.float()).softmax(-1)
    assert torch.allclose(out, attend(q.float(), k.float(), v.float(), 5**-0.5), atol=1e-6)
    assert torch.allclose(columns, probs[..., [4, 1]], atol=1e-6)
