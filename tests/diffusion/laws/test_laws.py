# SPDX-License-Identifier: Apache-2.0
"""Every law acts in a real UNet, on its own branch and in its own window only."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.correction.correction import Correction
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.task import Target
from tests.diffusion.small import (
    ALL_ON,
    EVERY,
    LATENT,
    REGION,
    box,
    change,
    edit_task,
    latent,
    off,
    plan,
    predict,
    small_unet,
    states,
    steered,
)

NARROW = edit_task(Target("nodule", (3,), box(24, 56, 88, 112)), kappa=box(20, 60, 84, 116))


@pytest.fixture(scope="module")
def unet():
    return small_unet(heads=4, channels=(12, 20, 28, 28))  # odd head widths 3, 5, 7


# --- each law acts, and only where it should -----------------------------------------------------

LAWS = {
    "keys": {"gate": {"mode": "keys", "renorm": False}},
    "keys renorm": {"gate": {"mode": "keys", "renorm": True}},
    "queries": {"gate": {"mode": "queries", "renorm": False}},
    "outer": {"gate": {"mode": "outer", "renorm": False}},
    "partition": {"gate": {"mode": "partition"}},
    "partition_hard": {"gate": {"mode": "partition_hard"}},
    "dense": {"gate": {"mode": "dense"}},
    "half": {"gate": {"mode": "partition", "lam": 0.5}},
    "boost": {"boost": {"eta": 1.5}},
    "boost renorm": {"boost": {"eta": 1.5, "renorm": True}},
    "eos": {"boost": {"eta": 1.5}, "tokens": {"carrier": "finding+eos"}},
    "anatomy": {"anatomy": {"strength": 0.5}},
    "regional": {"tokens": {"regional_prompt": True}},
}


@pytest.mark.parametrize("parts", LAWS.values(), ids=LAWS)
def test_every_law_acts(unet, parts):
    assert change(unet, plan(unet, off(**parts))) > 1e-4


@pytest.mark.parametrize("parts", LAWS.values(), ids=LAWS)
def test_every_law_acts_on_a_non_square_latent(unet, parts):
    z = latent(grid=(16, 24))
    plain = predict(unet, z)
    made = plan(unet, off(**parts), grid=(16, 24))
    assert float((steered(unet, made, z=z) - plain).abs().max()) > 1e-4


@pytest.mark.parametrize("parts", LAWS.values(), ids=LAWS)
def test_every_law_runs_in_bf16_near_its_fp32_result(unet, parts):
    half = small_unet(heads=4, channels=(12, 20, 28, 28), dtype=torch.bfloat16)
    exact = steered(unet, plan(unet, off(**parts)))
    near = steered(
        half, plan(half, off(**parts)), z=latent(dtype=half.dtype), text=states(dtype=half.dtype)
    )
    assert float((near.float() - exact).norm() / exact.norm()) < 0.1


def test_a_carrier_of_end_and_padding_adds_to_the_boost(unet):
    plain = steered(unet, plan(unet, off(**LAWS["boost"])))
    assert float((steered(unet, plan(unet, off(**LAWS["eos"]))) - plain).abs().max()) > 1e-5


def test_the_dense_gate_fades_with_the_timestep(unet):
    made = plan(unet, off(gate={"mode": "dense"}))
    late = float((steered(unet, made, t=100) - predict(unet, t=100)).abs().max())
    early = float((steered(unet, made, t=900) - predict(unet, t=900)).abs().max())
    assert late < 1e-2 * early


def test_each_switch_silences_its_law(unet):
    for parts, switch in (
        (LAWS["partition"], "gate"),
        (LAWS["boost"], "boost"),
        (LAWS["regional"], "regional"),
    ):
        assert change(unet, plan(unet, off(**parts)), **{switch: False}) == 0


@pytest.mark.parametrize("name", ["boost", "boost renorm", "anatomy", "regional", "eos"])
def test_token_laws_never_touch_the_negative_branch(unet, name):
    assert change(unet, plan(unet, off(**LAWS[name])), branch="negative") == 0


@pytest.mark.parametrize("name", ["keys", "partition", "partition_hard"])
def test_the_gate_touches_both_branches_alike(unet, name):
    made = plan(unet, off(**LAWS[name]))
    assert torch.equal(steered(unet, made), steered(unet, made, branch="negative"))


def test_the_gate_can_be_kept_to_the_conditional_branch(unet):
    made = plan(unet, off(gate={"mode": "keys", "renorm": False, "branches": "cond"}))
    assert change(unet, made) > 1e-4
    assert change(unet, made, branch="negative") == 0


def test_the_dense_gate_acts_on_the_conditional_branch_only(unet):
    assert change(unet, plan(unet, off(**LAWS["dense"])), branch="negative") == 0


def test_removal_boosts_the_negative_branch_inside_the_window_only(unet):
    target = Target("effusion", (3, 4), REGION, where="negative")
    made = plan(unet, off(boost={"eta": 1.5}), edit_task(target, mode="removal"))
    assert change(unet, made, branch="negative") > 1e-4
    assert change(unet, made, branch="negative", boost=False) == 0
    assert change(unet, made, branch="cond") == 0


def test_regional_prompting_with_the_target_as_source_is_plain(unet):
    made = plan(unet, off(tokens={"regional_prompt": True}), source=states())
    assert change(unet, made) < 1e-5


def test_regional_prompting_follows_the_source_outside_and_the_target_inside(unet):
    made = plan(unet, off(tokens={"regional_prompt": True}), NARROW)
    layer = next(x for x in attention_levels(unet, LATENT) if x.cross)
    attn, hidden = unet.get_submodule(layer.name), torch.randn(1, 256, 12)
    text, source = states(), made.source_states
    with torch.no_grad():
        plain_target = attn(hidden, encoder_hidden_states=text)
        plain_source = attn(hidden, encoder_hidden_states=source)
        with controlled(unet, made) as control:
            control.set(**ALL_ON)
            out = attn(hidden, encoder_hidden_states=text)
    omega = made.omega[0][0].flatten()
    outside, inside = omega < 1e-6, omega == 1
    assert outside.any()
    assert torch.allclose(out[:, outside], plain_source[:, outside], atol=1e-5)
    assert torch.allclose(out[:, inside], plain_target[:, inside], atol=1e-5)


class Shapes(TorchDispatchMode):
    """Shapes of everything computed inside."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        found = out if isinstance(out, tuple | list) else (out,)
        self.seen |= {tuple(x.shape[-2:]) for x in found if isinstance(x, torch.Tensor)}
        return out


@pytest.mark.parametrize("mode", ["partition", "partition_hard", "keys"])
def test_no_map_of_cells_by_cells_is_ever_stored(unet, mode):
    settings = EVERY.with_overrides({"gate": {"mode": mode}})
    maps = {(256, 256), (64, 64), (256, 77), (64, 77)}
    with controlled(unet, plan(unet, settings)) as control, Shapes() as shapes:
        control.set(**ALL_ON)
        predict(unet)
        Correction(unet, control, control.plan).step(
            latent(), 500, alpha_bar=0.5, i=0, n_window=4, cond_states=states()
        )
    assert (16, 16) in shapes.seen
    assert not maps & shapes.seen


def test_the_dense_gate_alone_stores_maps(unet):
    with controlled(unet, plan(unet, off(**LAWS["dense"]))) as control, Shapes() as shapes:
        control.set(**ALL_ON)
        predict(unet)
    assert (256, 256) in shapes.seen
