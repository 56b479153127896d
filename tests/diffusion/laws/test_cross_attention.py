# SPDX-License-Identifier: Apache-2.0
"""Token gains, regional prompting and recorded columns equal the explicit softmax."""

import pytest
import torch

from monai_cxr_cf.diffusion.laws.cross_attention import attend_with_columns, gained, token_columns
from monai_cxr_cf.diffusion.laws.specification import TokenGain, regional
from monai_cxr_cf.diffusion.task import Target as Finding
from tests.diffusion.small import ORGANS, REGION, edit_task, off, plan, small_unet

GRIDS = [(16, 16), (8, 8), (5, 7)]


def qkv(cells, width, *, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(2, 3, n, width, generator=generator, dtype=torch.float64).to(dtype)
        for n in (cells, 77, 77)
    )


def softmax_map(q, k):
    return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)


def gains(cells):
    soft = torch.rand(3, cells, generator=torch.Generator().manual_seed(4))
    return {
        "one": torch.ones(3, cells),
        "boost": 1 + 1.5 * soft,
        "suppress": 1 / (1 + 1.5 * soft),
        "binary": (soft > 0.5).float(),
        "zero": torch.zeros(3, cells),
    }


@pytest.mark.parametrize("width", [3, 5, 16, 40])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_fused_gain_equals_the_explicit_softmax(grid, width):
    cells = grid[0] * grid[1]
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-7)):
        q, k, v = qkv(cells, width, dtype=dtype)
        for name, gain in gains(cells).items():
            for renorm in (False, True):
                law = TokenGain((2, 5, 76), gain, renorm)
                fused, _ = gained(q, k, v, law)
                gap = (fused - law(softmax_map(q, k)) @ v).abs().max()
                assert gap <= tolerance, (name, renorm, float(gap))


def test_one_fused_call_yields_the_columns_too():
    q, k, v = qkv(64, 5, dtype=torch.float64)
    out, columns = attend_with_columns(q, k, v, (2, 5, 76))
    probs = softmax_map(q, k)
    assert torch.allclose(out, probs @ v, atol=1e-13)
    assert torch.allclose(columns, probs[..., [2, 5, 76]], atol=1e-13)


def test_columns_are_fp32_and_equal_the_softmax_even_for_bf16():
    q, k, _ = qkv(64, 40)
    exact = softmax_map(q, k)[..., [2, 5]]
    assert torch.allclose(token_columns(q, k, (2, 5)), exact, atol=1e-6)
    half = token_columns(q.bfloat16(), k.bfloat16(), (2, 5))
    assert half.dtype == torch.float32
    rounded = softmax_map(q.bfloat16().float(), k.bfloat16().float())[..., [2, 5]]
    assert torch.allclose(half, rounded, atol=1e-6)


def test_boost_is_not_renormalised_so_rows_grow_by_eta_omega_times_their_mass():
    q, k, _ = qkv(64, 5, dtype=torch.float64)
    omega = torch.rand(64, dtype=torch.float64)
    law = TokenGain((2, 5), (1 + 1.5 * omega).expand(2, -1))
    probs = softmax_map(q, k)
    rows = law(probs).sum(-1)
    assert torch.allclose(rows, 1 + 1.5 * omega * probs[..., [2, 5]].sum(-1))


def test_regional_prompt_with_equal_prompts_is_plain():
    out = torch.randn(2, 3, 64, 5)
    assert torch.equal(regional(out, out, torch.rand(64)), out)


def test_regional_prompt_takes_the_target_inside_and_the_source_outside():
    target, source = torch.randn(1, 1, 4, 2), torch.randn(1, 1, 4, 2)
    omega = torch.tensor([0.0, 0.25, 0.5, 1.0])
    out = regional(target, source, omega)
    assert torch.equal(out[:, :, 0], source[:, :, 0])
    assert torch.allclose(out[:, :, 3], target[:, :, 3])
    assert torch.allclose(out, omega[:, None] * target + (1 - omega[:, None]) * source, atol=1e-6)


# --- the weight map W of a task -----------------------------------------------------------------


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def weights(made, *, branch="cond", boost=True, level=0):
    """Token -> W (rows, columns) of one level."""
    law = made.gains.get((branch, level, boost))
    shape = made.omega[level].shape[-2:]
    if law is None:
        return {}
    return {k: row.view(shape) for k, row in zip(law.tokens, law.gain, strict=True)}


def test_boost_weighs_finding_tokens_by_eta_omega(unet):
    made = plan(unet, off(boost={"eta": 1.5}))
    found = weights(made)
    assert set(found) == {3, 4}
    assert torch.equal(found[3], 1 + 1.5 * made.omega[0][0])
    assert weights(made, boost=False) == {}


def test_each_finding_has_its_own_gain_and_region(unet):
    left = Finding("edema", (3,), REGION, eta=0.5)
    right = Finding("mass", (5,), REGION[:, ::-1].copy())
    made = plan(unet, off(boost={"eta": 2.0}), edit_task(left, right))
    found = weights(made)
    assert torch.equal(found[3], 1 + 0.5 * made.omega[0][0])
    assert torch.equal(found[5], 1 + 2.0 * made.omega[0][1])


def test_a_word_of_two_findings_is_boosted_in_both_regions(unet):
    left = Finding("effusion", (3,), REGION)
    right = Finding("effusion", (3,), REGION[:, ::-1].copy())
    made = plan(unet, off(boost={"eta": 2.0}), edit_task(left, right))
    assert made.findings == ("effusion", "effusion #2")
    assert torch.equal(weights(made)[3], 1 + 2.0 * made.omega[0].amax(0))


def test_switching_the_boost_off_silences_the_eta_of_findings_too(unet):
    made = plan(unet, off(), edit_task(Finding("edema", (3,), REGION, eta=3.0)))
    assert made.gains == {}


def test_anatomy_tokens_are_drawn_to_their_organ_in_and_out_of_the_window(unet):
    made = plan(unet, off(anatomy={"strength": 0.5}))
    for boost in (True, False):
        found = weights(made, boost=boost)
        assert set(found) == {8, 9}
        heart = torch.as_tensor(ORGANS["heart"]).view(16, 8, 16, 8).mean((1, 3))
        assert torch.allclose(found[9], 0.5 + 0.5 * heart)
        assert float(found[8].min()) == 0.5
        assert float(found[8].max()) == 1.0


def test_finding_tokens_win_over_anatomy_tokens(unet):
    task = edit_task(Finding("enlarged heart", (8, 9), REGION))
    made = plan(unet, off(anatomy={"strength": 1.0}, boost={"eta": 1.5}), task)
    assert torch.equal(weights(made)[9], 1 + 1.5 * made.omega[0][0])
    assert weights(made, boost=False) == {}


def test_end_and_padding_tokens_join_with_the_whole_gain(unet):
    made = plan(unet, off(boost={"eta": 2.0}, tokens={"carrier": "finding+eos"}))
    found = weights(made)
    assert set(found) == {3, 4, *range(12, 77)}
    assert torch.allclose(found[40], 1 + 2.0 * made.omega[0][0])


def test_removal_boosts_the_negative_prompt_and_healthy_words_in_the_target(unet):
    negative = Finding("effusion", (3,), REGION, where="negative")
    kept = Finding("edema", (5,), REGION)
    made = plan(unet, off(boost={"eta": 1.5}), edit_task(negative, kept, mode="removal"))
    omega = made.omega[0]
    assert torch.equal(weights(made, branch="negative")[3], 1 + 1.5 * omega[0])
    assert torch.equal(weights(made)[5], 1 + 1.5 * omega[1])
    assert set(weights(made)) == {5}
    assert weights(made, branch="negative", boost=False) == {}


def test_a_mixed_edit_boosts_what_comes_and_what_goes_in_their_own_branches(unet):
    coming = Finding("edema", (5,), REGION)
    going = Finding("effusion", (3,), REGION[:, ::-1].copy(), where="negative")
    made = plan(unet, off(boost={"eta": 1.5}), edit_task(coming, going, mode="mixed"))
    assert torch.equal(weights(made)[5], 1 + 1.5 * made.omega[0][0])
    assert torch.equal(weights(made, branch="negative")[3], 1 + 1.5 * made.omega[0][1])
    assert set(weights(made)) == {5}
    assert set(weights(made, branch="negative")) == {3}
