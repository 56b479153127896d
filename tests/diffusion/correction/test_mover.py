# SPDX-License-Identifier: Apache-2.0
"""The step of Eq. 9 against a loop over numbers, and the record of what it did."""

import math

import pytest
import torch

from monai_cxr_cf.diffusion.correction.displace import Moved, Mover
from monai_cxr_cf.diffusion.correction.record import recorded
from monai_cxr_cf.diffusion.correction.scores import Scores, roi_scores
from monai_cxr_cf.diffusion.task import Target
from tests.diffusion.correcting import config, corrected
from tests.diffusion.small import (
    ALL_ON,
    REGION,
    controlled,
    edit_task,
    latent,
    off,
    plan,
    predict,
    small_unet,
)

ALPHA, ALPHA_BAR = 0.2, 0.36


@pytest.fixture(scope="module")
def unet():
    return small_unet()


def mover(unet, **correct):
    return Mover(plan(unet, off(correct={"alpha_max": 0.05, "cap": 0.0, **correct})))


def cells():
    """Latent cells under the task's κ, rows 56..104 and columns 80..116 of 128 pixels."""
    return [(r, c) for r in range(7, 13) for c in range(10, 15)]


def by_hand(z, g, *, norm, share=1.0):
    """One image of Eq. 9 in lists: the new latent, the RMS of g, and the length."""
    at = cells() if norm != "none" else [(r, c) for r in range(16) for c in range(16)]
    inside = [float(g[k, r, c]) for k in range(4) for r, c in at]
    rms = math.sqrt(sum(x * x for x in inside) / len(inside))
    unit = math.sqrt(1 - ALPHA_BAR)
    size = {"none": 1.0, "rms": rms, "max": max(map(abs, inside))}[norm]
    factor = ALPHA / size * (1.0 if norm == "none" else unit)
    new = z.clone()
    for k in range(4):
        for r, c in at:
            new[k, r, c] -= share * factor * float(g[k, r, c])
    return new, rms, share * factor * rms / unit


@pytest.mark.parametrize("norm", ["none", "rms", "max"])
def test_each_image_is_moved_by_its_own_scaled_gradient(unet, norm):
    z, g = (
        latent(batch=3),
        latent(batch=3, seed=9) * torch.tensor([1e-4, 3.0, 1.0]).view(3, 1, 1, 1),
    )
    one = mover(unet, norm=norm)
    moved = one.move(
        z, g, alpha=ALPHA, alpha_bar=ALPHA_BAR, items=torch.tensor([True, True, False])
    )
    assert moved.reason == ("", "", "stop_score")
    assert torch.equal(moved.z[2], z[2])
    for i in (0, 1):
        new, rms, length = by_hand(z[i], g[i], norm=norm)
        assert torch.allclose(moved.z[i], new, atol=1e-5)
        assert float(moved.rms[i]) == pytest.approx(rms, rel=1e-4)
        assert float(moved.length[i]) == pytest.approx(length, rel=1e-4)
    assert float(moved.length[2]) == 0
    assert one.spent.tolist() == pytest.approx(moved.length.tolist())
    assert one.non_finite == 0


def test_the_cap_shortens_a_step_and_then_ends_them_for_each_image_alone(unet):
    z, g = latent(batch=2), latent(batch=2, seed=9)
    one, both = mover(unet, norm="rms", cap=0.5), torch.tensor([True, True])
    first = one.move(z, g, alpha=0.3, alpha_bar=ALPHA_BAR, items=torch.tensor([True, False]))
    assert first.length.tolist() == pytest.approx([0.3, 0])
    second = one.move(z, g, alpha=ALPHA, alpha_bar=ALPHA_BAR, items=both)
    assert second.length.tolist() == pytest.approx([0.2, 0.2], rel=1e-5)
    third = one.move(z, g, alpha=0.4, alpha_bar=ALPHA_BAR, items=both)
    assert third.reason == ("cap", "")
    assert third.length.tolist() == pytest.approx([0, 0.3], abs=1e-5)
    assert torch.equal(third.z[0], z[0])
    shortened = by_hand(z[1], g[1], norm="rms", share=0.3 / ALPHA)[0]
    assert torch.allclose(third.z[1], shortened, atol=1e-5)
    assert one.spent.tolist() == pytest.approx([0.5, 0.5])
    fourth = one.move(z, g, alpha=0.4, alpha_bar=ALPHA_BAR, items=torch.tensor([True, False]))
    assert fourth.reason == ("cap", "stop_score")


def test_without_a_cap_steps_add_up(unet):
    one, both = mover(unet, norm="rms"), torch.tensor([True])
    for _ in range(3):
        one.move(latent(), latent(seed=9), alpha=5.0, alpha_bar=ALPHA_BAR, items=both)
    assert one.spent.tolist() == pytest.approx([15.0], rel=1e-5)


def test_gradients_that_are_not_finite_are_counted_where_they_were_wanted(unet):
    z, g = latent(batch=4), latent(batch=4, seed=9)
    g[1, 2, 0, 0] = torch.nan  # outside the mask, too: a network that fails anywhere has failed
    g[2, 0, 8, 12] = -torch.inf
    g[3, 0, 0, 0] = torch.inf
    one = mover(unet, norm="rms")
    items = torch.tensor([True, True, True, False])
    moved = one.move(z, g, alpha=ALPHA, alpha_bar=ALPHA_BAR, items=items)
    assert moved.reason == ("", "non_finite", "non_finite", "stop_score")
    assert one.non_finite == 2
    assert torch.equal(moved.z[1:], z[1:])
    assert torch.allclose(moved.z[0], by_hand(z[0], g[0], norm="rms")[0], atol=1e-5)
    assert moved.rms[1:].tolist() == moved.length[1:].tolist() == [0, 0, 0]
    one.move(z, g, alpha=ALPHA, alpha_bar=ALPHA_BAR, items=items)
    assert one.non_finite == 4


@pytest.mark.parametrize("norm", ["none", "rms", "max"])
def test_a_gradient_of_zero_moves_nothing_and_stays_a_number(unet, norm):
    z = latent()
    moved = mover(unet, norm=norm, cap=0.1).move(
        z, torch.zeros_like(z), alpha=ALPHA, alpha_bar=ALPHA_BAR, items=torch.tensor([True])
    )
    assert torch.equal(moved.z, z)
    assert (moved.rms.tolist(), moved.length.tolist()) == ([0], [0])


def test_types_and_sizes_of_latents(unet):
    one, items = mover(unet, norm="rms"), torch.tensor([True])
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        z, g = latent(dtype=dtype), latent(seed=9, dtype=dtype)
        moved = one.move(z, g, alpha=ALPHA, alpha_bar=ALPHA_BAR, items=items)
        assert moved.z.dtype == dtype
        assert moved.length.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    small = latent(grid=(8, 8))
    moved = one.move(small, small, alpha=ALPHA, alpha_bar=ALPHA_BAR, items=items)
    touched = (moved.z != small).any(1)[0]
    assert touched[3:7, 5:8].all()  # the same κ on cells of 16 pixels
    assert int(touched.sum()) == 4 * 3
    assert (
        one.move(small.bfloat16(), small, alpha=ALPHA, alpha_bar=1.0, items=items)
        .z.isfinite()
        .all()
    )


# --- stops ---------------------------------------------------------------------------------------


def test_an_image_is_left_alone_only_once_all_its_findings_score_enough(unet):
    task = edit_task(
        Target("effusion", (3, 4), REGION), Target("mass", (6,), REGION[:, ::-1].copy())
    )
    settings = config()
    with controlled(unet, plan(unet, settings, task)) as control:
        control.set(**ALL_ON)
        predict(unet, t=500)
        found = roi_scores(control.take(), control.plan).per_finding()
    low, high = sorted(float(value) for value in found.values())
    assert low < high
    for stop, reason in ((low, "stop_score"), ((low + high) / 2, ""), (high + 1e-3, "")):
        limit = config(stop_score=stop)
        moved, record, _ = corrected(unet, limit, task=task)
        assert record.reason == [reason], stop
        assert torch.equal(moved, latent()) == (reason != "")


def test_a_reached_image_does_not_stop_the_others_of_its_batch(unet):
    z = latent(batch=2)
    _, record, _ = corrected(unet, config(), z=z)
    scores = [1 - value for value in record.energy]
    stop = (scores[0] + scores[1]) / 2
    moved, record, correction = corrected(unet, config(stop_score=stop), z=z)
    assert record.reason == ["stop_score" if s > stop else "" for s in scores]
    assert [torch.equal(a, b) for a, b in zip(moved, z, strict=True)] == [s > stop for s in scores]
    assert correction.passes == (1, 1)


def test_the_last_layer_of_a_truncated_gradient_is_named(unet):
    assert corrected(unet, config(truncated=False))[1].last_layer == ""
    named = corrected(unet, config())[1].last_layer
    assert named.startswith("up_blocks.1.attentions.1.")


# --- the record ----------------------------------------------------------------------------------


def seen(*values):
    return Scores({(2, "t"): torch.tensor(values)}, {(2, "t"): torch.zeros(3)}, {2: 1}, (2,))


def test_a_record_holds_what_was_seen_and_what_moved():
    look, value = seen(0.25, 0.5, 0.75), torch.tensor([0.75, 0.5, torch.nan])
    length, rms = torch.tensor([0.25, 0.0, 0.0]), torch.tensor([1.0, torch.inf, 4])
    moved = Moved(torch.zeros(3, 1, 1, 1), rms, length, ("", "cap", "non_finite"))
    record = recorded(look, value, moved, alpha=0.5, last_layer="up")
    assert record.as_dict() == {
        "alpha": 0.5,
        "last_layer": "up",
        "forwards": 1,
        "backwards": 1,
        "energy": [0.75, 0.5, None],
        "gradient_rms": [1.0, None, 4.0],
        "displacement": [0.25, 0.0, 0.0],
        "reason": ["", "cap", "non_finite"],
        "scores": look.as_dict(),
    }
    assert record.scores["score"] == {"2": {"t": [0.25, 0.5, 0.75]}}


def test_a_record_of_a_step_on_which_nothing_had_to_move():
    look = seen(0.25, 0.5, 0.75)
    record = recorded(look, torch.tensor([0.75, 0.5, 0.25]), None, alpha=0.5, last_layer="up")
    assert record.as_dict() == {
        "alpha": 0.5,
        "last_layer": "up",
        "forwards": 1,
        "backwards": 0,
        "energy": [0.75, 0.5, 0.25],
        "gradient_rms": [0.0, 0.0, 0.0],
        "displacement": [0.0, 0.0, 0.0],
        "reason": ["stop_score"] * 3,
        "scores": look.as_dict(),
    }


def test_a_record_of_a_step_on_which_nothing_was_computed(unet):
    _, record, _ = corrected(unet, config(alpha_max=0.0), z=latent(batch=2))
    assert (record.alpha, record.reason, record.energy) == (0.0, ["off", "off"], [])
    assert (record.forwards, record.backwards, record.scores) == (0, 0, {})
