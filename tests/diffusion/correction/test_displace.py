# SPDX-License-Identifier: Apache-2.0
"""Eq. 9 step: size, mask, cap, stops, and gradients that are not finite."""

import json

import pytest
import torch

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.correction.correction import Correction
from monai_cxr_cf.diffusion.laws.priors import latent_edit_mask
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import PAPER
from tests.diffusion.correcting import config, corrected, gradient
from tests.diffusion.small import (
    LATENT,
    REGION,
    Target,
    edit_task,
    latent,
    plan,
    small_unet,
)


@pytest.fixture(scope="module")
def unet():
    return small_unet()


# --- size, mask, cap -----------------------------------------------------------------------------


def test_the_raw_step_is_alpha_times_the_gradient_everywhere(unet):
    z = latent()
    moved, record, _ = corrected(unet, PAPER, z=z, i=1, n_window=4)
    assert record.alpha == pytest.approx(0.05 * 0.75)
    expected = 0.05 * 0.75 * gradient(unet, PAPER, z)
    assert torch.allclose(z - moved, expected, atol=1e-6)


def test_the_rms_step_has_its_size_inside_the_mask_and_none_outside(unet):
    z, alpha_bar = latent(), 0.36
    moved, record, correction = corrected(unet, config(), z=z, alpha_bar=alpha_bar)
    mask = torch.as_tensor(latent_edit_mask(correction.plan.kappa, LATENT))
    delta = moved - z
    assert float(delta[..., ~mask].abs().max()) == 0
    rms = float(delta[..., mask].square().mean().sqrt())
    assert rms == pytest.approx(0.05 * (1 - alpha_bar) ** 0.5, rel=1e-4)
    assert record.displacement == pytest.approx([0.05], rel=1e-4)


def test_the_max_norm_bounds_every_value(unet):
    z = latent()
    moved, _, _ = corrected(unet, config(norm="max"), z=z, alpha_bar=0.36)
    assert float((moved - z).abs().max()) == pytest.approx(0.05 * 0.8, rel=1e-3)


def test_step_sizes_fall_over_the_window(unet):
    settings = config(alpha_max=0.05, scale=2.0)
    found = [corrected(unet, settings, i=i)[1].alpha for i in range(4)]
    assert found == pytest.approx([0.1, 0.075, 0.05, 0.025])


def test_the_summed_displacement_stops_at_the_cap(unet):
    settings = config(cap=0.12)
    z = latent(batch=2)
    moved, record, correction = corrected(unet, settings, z=z, steps=5)
    assert correction.mover.spent.tolist() == pytest.approx([0.12, 0.12], rel=1e-4)
    assert record.reason == ["cap", "cap"]
    third = corrected(unet, settings, z=z, steps=3)
    assert third[1].displacement == pytest.approx([0.02, 0.02], rel=1e-3)
    assert torch.equal(moved, third[0])


def test_a_score_that_is_high_enough_stops_the_correction(unet):
    z = latent()
    moved, record, correction = corrected(unet, config(stop_score=0.01), z=z)
    assert torch.equal(moved, z)
    assert record.reason == ["stop_score"]
    assert correction.passes == (1, 0)


@pytest.mark.parametrize(
    ("settings", "task"),
    [
        (config(alpha_max=0.0), None),
        (config(), edit_task(mode="removal")),
        (config(), edit_task(mode="sham", targets=(Target("effusion", (), REGION),))),
    ],
    ids=["no step size", "removal", "no finding word"],
)
def test_correction_off_costs_and_changes_nothing(unet, settings, task):
    z = latent()
    moved, record, correction = corrected(unet, settings, z=z, task=task)
    assert moved is z
    assert not correction.enabled
    assert record.reason == ["off"]
    assert correction.passes == (0, 0)


# --- numbers that go wrong -----------------------------------------------------------------------


def test_a_non_finite_gradient_is_skipped_counted_and_traced(unet):
    z = latent(batch=2)
    z[1, 0, 0, 0] = torch.inf
    moved, record, correction = corrected(unet, config(), z=z)
    assert torch.equal(moved[1], z[1])
    assert not torch.equal(moved[0], z[0])
    assert correction.non_finite == 1
    assert record.reason == ["", "non_finite"]
    assert record.energy[1] is None
    assert json.loads(json.dumps(record.as_dict(), allow_nan=False))["backwards"] == 1


def test_one_bad_item_does_not_change_the_others(unet):
    z = latent(batch=2)
    alone = corrected(unet, config(), z=z[:1])[0]
    z[1] = torch.nan
    assert torch.allclose(corrected(unet, config(), z=z)[0][0], alone[0], atol=1e-4)


def test_fp16_is_refused(unet):
    half = small_unet(dtype=torch.float16)
    with (
        controlled(half, plan(half, config())) as control,
        pytest.raises(BadRequest, match="fp16"),
    ):
        Correction(half, control, control.plan)
    with pytest.raises(BadRequest, match="fp16"):
        corrected(unet, config(), z=latent(dtype=torch.float16))


def test_bf16_is_corrected_and_keeps_its_type():
    unet = small_unet(dtype=torch.bfloat16)
    moved, record, _ = corrected(unet, config())
    assert moved.dtype == torch.bfloat16
    assert record.reason == [""]
    wide, _, _ = corrected(unet, config(), z=latent())
    assert wide.dtype == torch.float32
