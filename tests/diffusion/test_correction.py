# SPDX-License-Identifier: Apache-2.0
"""Latent correction (Eq. 9): gradients, truncation, mask, cap, skips; what it must not touch."""

import gc
import json

import pytest
import torch

from monai_cxr_cf.diffusion.attention import controlled
from monai_cxr_cf.diffusion.energy import Correction, energy, roi_scores, truncated_forward
from monai_cxr_cf.diffusion.maps import latent_edit_mask
from monai_cxr_cf.diffusion.truncate import last_cross_layer
from monai_cxr_cf.errors import BadRequest, CxrError
from monai_cxr_cf.presets import DEFAULT, PAPER
from tests.diffusion.small import (
    ALL_ON,
    LATENT,
    REGION,
    Target,
    edit_task,
    latent,
    plan,
    small_unet,
    states,
)

T = 500


@pytest.fixture(scope="module")
def unet():
    return small_unet()


@pytest.fixture(scope="module")
def exact():
    return small_unet(dtype=torch.float64)


def config(base=DEFAULT, **correct):
    return base.with_overrides({"correct": {"stop_score": 1.0, **correct}})


def corrected(unet, settings, *, z=None, i=0, n_window=4, task=None, alpha_bar=0.5, steps=1):
    """z and record after ``steps`` calls."""
    z = latent(dtype=unet.dtype) if z is None else z
    text = states(batch=len(z), dtype=unet.dtype)
    with controlled(unet, plan(unet, settings, task)) as control:
        control.set(**(ALL_ON | {"record": False}))
        correction = Correction(unet, control, control.plan)
        for _ in range(steps):
            z, record = correction.step(
                z, T, alpha_bar=alpha_bar, i=i, n_window=n_window, cond_states=text
            )
    return z, record, correction


def value(unet, settings, z):
    """Energy of z under the laws, as the correction sees it."""
    with controlled(unet, plan(unet, settings)) as control, torch.no_grad():
        control.set(**ALL_ON)
        unet(z, T, encoder_hidden_states=states(batch=len(z), dtype=unet.dtype))
        scores = roi_scores(control.take(), control.plan, map=settings.energy.map)
    return energy(scores, settings)


def gradient(unet, settings, z):
    """-Δz of a raw step of size 1: the gradient itself."""
    raw = settings.with_overrides(
        {"correct": {"norm": "none", "alpha_max": 1.0, "cap": 0.0, "stop_score": 1.0}}
    )
    return z - corrected(unet, raw, z=z)[0]


# --- gradient ------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [PAPER, DEFAULT], ids=["paper", "default"])
def test_gradient_agrees_with_finite_differences(exact, base):
    settings = base.with_overrides({"boost": {"eta": 1.5}})
    z = latent(dtype=torch.float64)
    g = gradient(exact, settings, z)
    for seed in range(3):
        way = latent(seed=seed + 20, dtype=torch.float64)
        h = 1e-4
        slope = (value(exact, settings, z + h * way) - value(exact, settings, z - h * way)) / (
            2 * h
        )
        assert float((g * way).sum()) == pytest.approx(float(slope), rel=1e-4)


@pytest.mark.parametrize("levels", ["0", "1", "2", "auto", "0,1,2"])
def test_truncated_gradient_equals_the_full_one(unet, levels):
    full = DEFAULT.with_overrides({"energy": {"levels": levels}, "correct": {"truncated": False}})
    part = full.with_overrides({"correct": {"truncated": True}})
    z = latent(batch=2)
    whole = gradient(unet, full, z)
    gap = (gradient(unet, part, z) - whole).norm() / whole.norm()
    assert float(gap) <= 1e-5


@pytest.mark.parametrize("shape", ["linear", "square", "log"])
def test_one_rms_step_lowers_the_energy(unet, shape):
    settings = config().with_overrides({"energy": {"shape": shape}})
    z = latent(batch=3)
    moved, record, _ = corrected(unet, settings, z=z)
    before, after = value(unet, settings, z), value(unet, settings, moved)
    assert torch.allclose(before, torch.tensor(record.energy), atol=1e-6)
    assert (after < before).all()


def test_several_findings_are_lowered_together(unet):
    task = edit_task(
        Target("effusion", (3, 4), REGION), Target("mass", (6,), REGION[:, ::-1].copy())
    )
    _, first, _ = corrected(unet, config(), task=task)
    _, second, _ = corrected(unet, config(), task=task, steps=3)
    assert second.energy[0] < first.energy[0]
    assert set(first.scores["score"]["2"]) == {"effusion", "mass"}


# --- truncation ----------------------------------------------------------------------------------


def test_the_forward_stops_after_the_last_layer_the_energy_needs(unet):
    made = plan(unet)
    last = last_cross_layer(made.layers, (2,))
    assert last.startswith("up_blocks.1.attentions.1")
    ran = []
    hooks = [
        unet.get_submodule(x.name).register_forward_pre_hook(
            lambda _, __, name=x.name: ran.append(name)
        )
        for x in made.layers
    ]
    with torch.no_grad():
        truncated_forward(unet, latent(), T, states(), last_layer=last)
    for hook in hooks:
        hook.remove()
    names = [x.name for x in made.layers]
    assert ran == names[: names.index(last) + 1]


def test_truncation_leaves_no_hook_behind(unet):
    last = last_cross_layer(plan(unet).layers, (2,))
    truncated_forward(unet, latent(), T, states(), last_layer=last)
    assert not unet.get_submodule(last)._forward_hooks
    assert unet(latent(), T, encoder_hidden_states=states()).sample.shape == (1, 4, *LATENT)


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


@pytest.mark.parametrize(("decay", "alphas"), [("linear", [0.1, 0.075]), ("constant", [0.1, 0.1])])
def test_step_sizes_fall_over_the_window(unet, decay, alphas):
    settings = config(decay=decay, alpha_max=0.05, scale=2.0)
    found = [corrected(unet, settings, i=i)[1].alpha for i in range(2)]
    assert found == pytest.approx(alphas)


def test_the_summed_displacement_stops_at_the_cap(unet):
    settings = config(cap=0.12, decay="constant")
    z = latent(batch=2)
    moved, record, correction = corrected(unet, settings, z=z, steps=5)
    assert correction.mover.spent.tolist() == pytest.approx([0.12, 0.12], rel=1e-4)
    assert record.reason == ["cap", "cap"]
    third = corrected(unet, settings, z=z, steps=3)
    assert third[1].displacement == pytest.approx([0.02, 0.02], rel=1e-3)
    assert torch.equal(moved, third[0])


def test_keep_std_restores_the_spread_inside_the_mask(unet):
    z = latent()
    moved, _, correction = corrected(unet, config(keep_std=True, alpha_max=0.3, cap=0.0), z=z)
    mask = torch.as_tensor(latent_edit_mask(correction.plan.kappa, LATENT))
    assert float(moved[..., mask].std()) == pytest.approx(float(z[..., mask].std()), rel=1e-4)
    assert torch.equal(moved[..., ~mask], z[..., ~mask])
    assert not torch.equal(moved, z)


def test_iterations_repeat_the_step(unet):
    once = corrected(unet, config(decay="constant"), steps=2)[0]
    twice, record, correction = corrected(unet, config(iters=2))
    assert torch.allclose(once, twice, atol=1e-6)
    assert (record.forwards, record.backwards) == correction.passes == (2, 2)
    assert record.displacement == pytest.approx([0.1], rel=1e-4)


def test_a_score_that_is_high_enough_stops_the_correction(unet):
    z = latent()
    moved, record, correction = corrected(unet, config(stop_score=0.01), z=z)
    assert torch.equal(moved, z)
    assert record.reason == ["stop_score"]
    assert correction.passes == (1, 0)


def test_every_kth_window_step_is_corrected(unet):
    found = [corrected(unet, config(every=2), i=i)[1].reason for i in range(4)]
    assert found == [[""], ["not_due"], [""], ["not_due"]]


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


# --- what it must not touch ----------------------------------------------------------------------


def test_weights_get_no_gradient_and_keep_their_flags(unet):
    flags = [p.requires_grad for p in unet.parameters()]
    assert all(flags)
    corrected(unet, config(iters=2))
    assert all(p.grad is None for p in unet.parameters())
    assert [p.requires_grad for p in unet.parameters()] == flags


def test_no_graph_survives_a_step(unet):
    gc.collect()
    before = sum(1 for o in gc.get_objects() if isinstance(o, torch.Tensor) and o.grad_fn)
    moved, record, correction = corrected(unet, config(), steps=2)
    gc.collect()
    after = sum(1 for o in gc.get_objects() if isinstance(o, torch.Tensor) and o.grad_fn)
    assert after == before
    assert not moved.requires_grad
    assert correction.control.take() == {}
    assert record.backwards == 1


def test_works_under_no_grad_and_inference_mode(unet):
    expected = corrected(unet, config())[0]
    with torch.no_grad():
        assert torch.equal(corrected(unet, config())[0], expected)
    with torch.inference_mode():
        assert torch.equal(corrected(unet, config())[0], expected)


def test_switches_come_back_and_the_negative_branch_is_refused(unet):
    with controlled(unet, plan(unet, config())) as control:
        correction = Correction(unet, control, control.plan)
        control.set(**(ALL_ON | {"record": False, "regional": False}))
        arguments = {"alpha_bar": 0.5, "i": 0, "n_window": 4, "cond_states": states()}
        correction.step(latent(), T, **arguments)
        assert (control.record, control.focus, control.regional) == (False, None, False)
        control.set(**(ALL_ON | {"branch": "negative"}))
        with pytest.raises(CxrError, match="conditional branch"):
            correction.step(latent(), T, **arguments)


def test_the_gradient_pass_sees_the_gate_and_the_boost(unet):
    z = latent()
    free = corrected(unet, config().with_overrides({"gate": {"mode": "off"}}), z=z)[0]
    assert not torch.allclose(free, corrected(unet, config(), z=z)[0], atol=1e-4)


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


# --- lagged --------------------------------------------------------------------------------------


def lagged(unet, settings, z, text):
    """(prediction, columns, corrected latent, record) of one lagged step applied to z itself."""
    with controlled(unet, plan(unet, settings)) as control:
        control.set(**ALL_ON)
        correction = Correction(unet, control, control.plan)
        e = correction.denoise(z, T, cond_states=text)
        columns = control.take()
        moved, record = correction.apply(z, alpha_bar=0.5, i=0, n_window=4)
    return e, columns, moved, record


def test_lagged_reuses_the_denoising_pass_and_its_gradient(unet):
    z, text = latent(batch=2), states(batch=2)
    settings = config(lagged=True)
    e, columns, moved, record = lagged(unet, settings, z, text)
    with controlled(unet, plan(unet, settings)) as control, torch.no_grad():
        control.set(**ALL_ON)
        assert torch.allclose(e, unet(z, T, encoder_hidden_states=text).sample, atol=1e-6)
    assert {level for level, _ in columns} == {0, 1, 2}
    assert not any(maps.requires_grad for maps in columns.values())
    assert not e.requires_grad
    direct = corrected(unet, config(), z=z)[0]
    assert torch.allclose(moved, direct, atol=1e-5)
    assert (record.forwards, record.backwards) == (0, 1)
    assert record.reason == ["", ""]


def test_lagged_without_a_kept_gradient_is_an_error(unet):
    with controlled(unet, plan(unet, config(lagged=True))) as control:
        correction = Correction(unet, control, control.plan)
        with pytest.raises(CxrError, match="without Correction"):
            correction.apply(latent(), alpha_bar=0.5, i=0, n_window=4)


def test_lagged_with_several_iterations_is_refused(unet):
    settings = config(lagged=True, iters=2)
    with (
        controlled(unet, plan(unet, settings)) as control,
        pytest.raises(BadRequest, match="one iteration"),
    ):
        Correction(unet, control, control.plan)


def test_lagged_stops_at_a_high_score_too(unet):
    z = latent()
    _, _, moved, record = lagged(unet, config(lagged=True, stop_score=0.01), z, states())
    assert torch.equal(moved, z)
    assert record.reason == ["stop_score"]
