# SPDX-License-Identifier: Apache-2.0
"""Fused organ gates equal the explicit softmax of their specification."""

from dataclasses import replace

import pytest
import torch

from monai_cxr_cf.diffusion.laws.self_attention import attend, gated, padded_width
from monai_cxr_cf.diffusion.laws.specification import DenseShift, HardPartition, MaskGate, Partition

GRIDS = [(16, 16), (8, 8), (4, 4), (5, 7)]
WIDTHS = [3, 5, 16, 40]


def qkv(cells, width, *, dtype=torch.float32, keys=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = (cells, keys or cells, keys or cells)
    return tuple(
        torch.randn(2, 3, n, width, generator=generator, dtype=torch.float64).to(dtype)
        for n in sizes
    )


def explicit(q, k, v, law):
    """Eq. 4 with a stored map, then the law on the map, then the values."""
    probs = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    return law(probs) @ v


def masks(cells):
    soft = torch.rand(cells, generator=torch.Generator().manual_seed(5))
    return {
        "zero": torch.zeros(cells),
        "one": torch.ones(cells),
        "binary": (soft > 0.5).float(),
        "soft": soft,
    }


def memberships(cells):
    """Class shares (N, 4): all in one organ, hard, soft."""
    soft = torch.rand(cells, 4, generator=torch.Generator().manual_seed(6)).mul(3).softmax(-1)
    one = torch.zeros(cells, 4)
    one[:, 0] = 1
    hard = torch.nn.functional.one_hot(soft.argmax(-1), 4).float()
    return {"one organ": one, "hard": hard, "soft": soft}


def laws(cells):
    found = {}
    for name, mask in masks(cells).items():
        for lam in (1.0, 0.3):
            for side in ("keys", "queries", "outer"):
                found[f"{side} {name} {lam}"] = MaskGate(mask, side, False, lam)
            found[f"keys renorm {name} {lam}"] = MaskGate(mask, "keys", True, lam)
    for name, p in memberships(cells).items():
        for lam in (1.0, 0.3):
            found[f"partition {name} {lam}"] = Partition(p, 4.0, lam)
            organ = p.argmax(-1)
            found[f"hard {name} {lam}"] = HardPartition(organ, lam)
            organ = torch.where(torch.arange(cells) % 5 == 0, -1, organ)
            found[f"hard bridge {name} {lam}"] = HardPartition(organ, lam)
    organ = memberships(cells)["soft"].argmax(-1)
    same = (organ[:, None] == organ[None]).float()
    found["dense"] = DenseShift(same, same.mean(1, keepdim=True))
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_fused_gate_equals_the_explicit_softmax(grid, width):
    cells = grid[0] * grid[1]
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-7)):
        q, k, v = qkv(cells, width, dtype=dtype)
        for name, law in laws(cells).items():
            difference = (gated(q, k, v, law) - explicit(q, k, v, law)).abs().max()
            assert difference <= tolerance, (name, dtype, float(difference))


def test_float64_soft_partition_is_exact_to_rounding():
    q, k, v = qkv(64, 40, dtype=torch.float64)
    law = Partition(memberships(64)["soft"].double(), 4.0)
    assert (gated(q, k, v, law) - explicit(q, k, v, law)).abs().max() < 1e-13


def test_keys_with_full_mask_is_plain_attention():
    q, k, v = qkv(64, 5)
    plain = attend(q, k, v, 5**-0.5)
    for renorm in (False, True):
        out = gated(q, k, v, MaskGate(torch.ones(64), "keys", renorm))
        assert torch.allclose(out, plain, atol=1e-6)


def test_renormalised_keys_with_empty_mask_is_plain_attention():
    q, k, v = qkv(64, 5)
    out = gated(q, k, v, MaskGate(torch.zeros(64), "keys", True))
    assert torch.allclose(out, attend(q, k, v, 5**-0.5), atol=1e-6)


def test_plain_keys_with_empty_mask_gives_zero():
    q, k, v = qkv(64, 5)
    assert gated(q, k, v, MaskGate(torch.zeros(64))).abs().max() == 0


def test_partition_with_one_organ_is_plain_attention():
    q, k, v = qkv(64, 5)
    p = memberships(64)["one organ"]
    plain = attend(q, k, v, 5**-0.5)
    assert torch.allclose(gated(q, k, v, Partition(p, 4.0)), plain, atol=1e-5)
    assert torch.allclose(gated(q, k, v, HardPartition(p.argmax(-1))), plain, atol=1e-6)


def test_soft_partition_tends_to_hard_as_beta_grows():
    q, k, v = qkv(64, 16, dtype=torch.float64)
    p = memberships(64)["hard"].double()
    organ = p.argmax(-1)
    free = torch.arange(64) % 7 == 0
    bridged = p * ~free[:, None]
    hard = gated(q, k, v, HardPartition(torch.where(free, -1, organ)))
    gaps = [
        float((gated(q, k, v, Partition(bridged, beta)) - hard).abs().max())
        for beta in (1.0, 4.0, 12.0, 40.0)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-9


def test_beta_four_leaves_two_percent_across_organs():
    q = torch.zeros(1, 1, 2, 4)
    law = Partition(torch.eye(2), 4.0)
    out = gated(q, q, torch.eye(2).view(1, 1, 2, 2).expand(1, 1, 2, 2).contiguous(), law)
    ratio = out[0, 0, 0, 1] / out[0, 0, 0, 0]
    assert float(ratio) == pytest.approx(0.0183, abs=1e-4)


def test_partition_sends_no_value_across_organs_that_the_other_side_could_read():
    q, k, v = qkv(64, 16)
    organ = torch.arange(64) % 2
    shifted = v.clone()
    shifted[:, :, organ == 1] += 100
    law = HardPartition(organ)
    difference = (gated(q, k, shifted, law) - gated(q, k, v, law)).abs().amax((0, 1, 3))
    assert float(difference[organ == 0].max()) == 0
    assert float(difference[organ == 1].min()) > 50


def test_half_strength_is_the_mean_of_gated_and_plain():
    q, k, v = qkv(64, 16, dtype=torch.float64)
    plain = attend(q, k, v, 16**-0.5)
    for name, law in laws(64).items():
        if name.endswith("1.0"):
            half = gated(q, k, v, replace(law, lam=0.5))
            assert torch.allclose(half, (gated(q, k, v, law) + plain) / 2, atol=1e-12), name


def test_bf16_stays_near_the_exact_result():
    q, k, v = qkv(256, 40, dtype=torch.float64)
    law = Partition(memberships(256)["soft"], 4.0)
    exact = explicit(q, k, v, law)
    near = gated(q.bfloat16(), k.bfloat16(), v.bfloat16(), law)
    assert float((near - exact).norm() / exact.norm()) < 0.012


def test_gates_are_differentiable():
    for name, law in laws(16).items():
        q, k, v = (x.requires_grad_() for x in qkv(16, 5, dtype=torch.float64))
        gated(q, k, v, law).square().sum().backward()
        assert all(x.grad.isfinite().all() for x in (q, k, v)), name


def dense_by_hand(sim, same, area, scale):
    """DenseDiffusion, key by key: 1 is drawn to the row's maximum, 0 to its minimum, -1 stays."""
    shifted = sim.clone()
    for row in range(sim.shape[-2]):
        top, low = sim[..., row, :].max(-1).values, sim[..., row, :].min(-1).values
        for key in range(sim.shape[-1]):
            share = scale * (1 - float(area[row]))
            if same[row, key] == 1:
                shifted[..., row, key] += share * (top - sim[..., row, key])
            elif same[row, key] == 0:
                shifted[..., row, key] -= share * (sim[..., row, key] - low)
    return shifted.exp() / shifted.exp().sum(-1, keepdim=True)


def test_the_dense_shift_draws_its_own_keys_pushes_others_and_leaves_those_marked_minus_one():
    q, k, v = qkv(6, 5, dtype=torch.float64)
    same = torch.randint(-1, 2, (6, 6), generator=torch.Generator().manual_seed(3)).double()
    assert set(same.unique().tolist()) == {-1, 0, 1}
    area = torch.linspace(0.1, 0.6, 6, dtype=torch.float64)[:, None]
    sim = q @ k.transpose(-1, -2) * 5**-0.5
    plain = sim.softmax(-1)
    for lam in (1.0, 0.3):
        law = DenseShift(same, area, 0.7, lam)
        probs = lam * dense_by_hand(sim, same, area, 0.7 * 0.4) + (1 - lam) * plain
        assert torch.allclose(gated(q, k, v, law, 0.4), probs @ v, atol=1e-12)
        assert torch.allclose(law(plain, 0.4), probs, atol=1e-12)
    alone = DenseShift(torch.full_like(same, -1), area, 0.7)
    assert torch.allclose(gated(q, k, v, alone), plain @ v, atol=1e-12)


@pytest.mark.parametrize(("d", "width"), [(1, 8), (8, 8), (40, 40), (44, 48)])
def test_widths_are_padded_to_eight(d, width):
    assert padded_width(d) == width


def test_the_soft_partition_keeps_what_it_appends_by_width_and_precision():
    law = Partition(memberships(64)["soft"], 4.0)
    for dtype in (torch.float32, torch.float64):
        for d in (8, 12):
            q, k, v = (torch.randn(2, 2, 64, d, dtype=dtype) for _ in range(3))
            first, second = gated(q, k, v, law), gated(q, k, v, law)
            assert torch.equal(first, second)
            expected = law((q @ k.mT / d**0.5).softmax(-1)) @ v
            assert torch.allclose(first, expected, atol=1e-5)
    assert set(law.kept) == {(d, t) for d in (8, 12) for t in (torch.float32, torch.float64)}
