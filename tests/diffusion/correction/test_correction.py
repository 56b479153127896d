# SPDX-License-Identifier: Apache-2.0
"""Latent correction (Eq. 9): gradients, truncation, mask, cap, skips; what it must not touch."""

import gc

import pytest
import torch

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.correction.correction import Correction
from monai_cxr_cf.diffusion.correction.scores import energy, roi_scores
from monai_cxr_cf.diffusion.model.truncate import last_cross_layer, truncated_forward
from monai_cxr_cf.errors import CxrError
from monai_cxr_cf.presets import PAPER
from tests.diffusion.correcting import T, config, corrected, gradient
from tests.diffusion.small import (
    ALL_ON,
    EVERY,
    LATENT,
    REGION,
    Target,
    edit_task,
    latent,
    plan,
    small_unet,
    states,
)


@pytest.fixture(scope="module")
def unet():
    return small_unet()


@pytest.fixture(scope="module")
def exact():
    return small_unet(dtype=torch.float64)


def value(unet, settings, z):
    """Energy of z under the laws, as the correction sees it."""
    with controlled(unet, plan(unet, settings)) as control, torch.no_grad():
        control.set(**ALL_ON)
        unet(z, T, encoder_hidden_states=states(batch=len(z), dtype=unet.dtype))
        scores = roi_scores(control.take(), control.plan, map=settings.energy.map)
    return energy(scores)


# --- gradient ------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [PAPER, EVERY], ids=["paper", "default"])
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
    full = EVERY.with_overrides({"energy": {"levels": levels}, "correct": {"truncated": False}})
    part = full.with_overrides({"correct": {"truncated": True}})
    z = latent(batch=2)
    whole = gradient(unet, full, z)
    gap = (gradient(unet, part, z) - whole).norm() / whole.norm()
    assert float(gap) <= 1e-5


def test_one_rms_step_lowers_the_energy(unet):
    settings, z = config(), latent(batch=3)
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


# --- what it must not touch ----------------------------------------------------------------------


def test_weights_get_no_gradient_and_keep_their_flags(unet):
    flags = [p.requires_grad for p in unet.parameters()]
    assert all(flags)
    corrected(unet, config(), steps=2)
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


# --- a forward that goes on ----------------------------------------------------------------------


@pytest.mark.parametrize("truncated", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_look_that_finds_nothing_to_do_is_the_denoising_pass_to_the_bit(truncated, dtype):
    unet = small_unet(dtype=dtype)
    settings = config(stop_score=0.01, truncated=truncated)
    z, text = latent(batch=2, dtype=dtype), states(batch=2, dtype=dtype)
    with controlled(unet, plan(unet, settings)) as control:
        control.set(**ALL_ON)
        with torch.no_grad():
            plain = unet(z, T, encoder_hidden_states=text).sample
        columns, graph = control.take(), torch.is_grad_enabled()
        correction, ran = Correction(unet, control, control.plan), []
        hook = unet.register_forward_pre_hook(lambda *_: ran.append(1))
        correction.step(z, T, alpha_bar=0.5, i=0, n_window=4, cond_states=text)
        hook.remove()
        seen = control.take()
    assert ran == [1]
    assert torch.is_grad_enabled() == graph
    assert torch.equal(correction.prediction, plain)
    assert not correction.prediction.requires_grad
    assert list(seen) == list(columns)
    assert {level for level, _ in seen} == {0, 1, 2}
    assert all(torch.equal(seen[key], columns[key]) for key in columns)
    assert not any(kept.requires_grad for kept in seen.values())
    assert not any(m._forward_hooks for m in unet.modules())


def test_a_latent_that_moves_has_no_prediction_yet(unet):
    z = latent(batch=2)
    _, record, correction = corrected(unet, config(), z=z)
    assert correction.prediction is None
    scores = [1 - value for value in record.energy]
    one = corrected(unet, config(stop_score=sum(scores) / 2), z=z)
    assert sorted(one[1].reason) == ["", "stop_score"]
    assert one[2].prediction is None
