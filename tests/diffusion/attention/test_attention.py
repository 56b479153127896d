# SPDX-License-Identifier: Apache-2.0
"""Processors: installed where a law needs one, switched by state, restored on any exit."""

import pytest
import torch

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.attention.processors import SteeredCross, SteeredSelf
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.task import Target
from monai_cxr_cf.errors import CxrError
from monai_cxr_cf.presets import PAPER, SWITCHES
from tests.diffusion.small import (
    ALL_ON,
    EVERY,
    IDLE,
    LATENT,
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


# --- installation --------------------------------------------------------------------------------


def processors(unet):
    return list(unet.attn_processors.values())


def identical(before, after):
    return len(before) == len(after) and all(a is b for a, b in zip(before, after, strict=True))


def test_all_laws_off_installs_nothing_and_is_bit_identical(unet):
    before, plain = processors(unet), predict(unet)
    with controlled(unet, plan(unet, off())) as control:
        control.set(**ALL_ON)
        assert identical(before, processors(unet))
        assert torch.equal(predict(unet), plain)
        assert control.take() == {}


def test_the_same_processor_objects_come_back(unet):
    before = processors(unet)
    with controlled(unet, plan(unet)):
        assert not identical(before, processors(unet))
    assert identical(before, processors(unet))


def test_the_same_processor_objects_come_back_after_an_exception(unet):
    before, plain = processors(unet), predict(unet)

    def interrupted():
        with controlled(unet, plan(unet)) as control:
            control.set(**ALL_ON)
            predict(unet)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert identical(before, processors(unet))
    assert torch.equal(predict(unet), plain)


def test_processors_come_back_after_an_exception_inside_the_network(unet):
    before = processors(unet)
    with pytest.raises(CxrError, match="latent size of the plan"):
        steered(unet, plan(unet), z=latent(grid=(24, 24)))
    assert identical(before, processors(unet))


def test_processors_are_installed_once_and_only_switched(unet):
    with controlled(unet, plan(unet)) as control:
        inside = processors(unet)
        for branch in ("cond", "negative", "cond"):
            control.set(**(ALL_ON | {"branch": branch}))
            predict(unet)
        assert identical(inside, processors(unet))


@pytest.mark.parametrize("levels", [(2,), (0, 1), (0, 1, 2, 3)], ids=str)
def test_the_gate_replaces_self_attention_of_its_levels_only(unet, levels):
    made = plan(unet, off(gate={"mode": "partition", "levels": levels}))
    kinds = {layer.name: layer for layer in attention_levels(unet, LATENT)}
    with controlled(unet, made):
        for name, layer in kinds.items():
            processor = unet.get_submodule(name).processor
            if not layer.cross:
                assert isinstance(processor, SteeredSelf) == (layer.level in levels)


def test_the_mid_block_and_ungated_self_attention_keep_their_processors(unet):
    made = plan(unet, off(boost={"eta": 1.5}))
    with controlled(unet, made):
        for layer in attention_levels(unet, LATENT):
            processor = unet.get_submodule(layer.name).processor
            assert isinstance(processor, SteeredCross) == (layer.cross and layer.level < 3)


def test_with_every_switch_off_the_prediction_is_bit_identical(unet):
    plain = predict(unet)
    made = plan(unet, EVERY.with_overrides(SWITCHES["no-anatomy"]))
    assert torch.equal(steered(unet, made, **IDLE), plain)


def test_anatomy_tokens_act_in_every_step_of_the_conditional_branch(unet):
    assert change(unet, plan(unet), **IDLE) > 1e-4
    assert change(unet, plan(unet), **(IDLE | {"branch": "negative"})) == 0


def test_recording_alone_does_not_change_a_bit(unet):
    made, plain = plan(unet, off(gate={"mode": "keys", "renorm": False})), predict(unet)
    assert torch.equal(steered(unet, made, **(IDLE | {"record": True})), plain)


def test_an_unknown_branch_is_refused(unet):
    with controlled(unet, plan(unet)) as control, pytest.raises(CxrError, match="Branch"):
        control.set(**(ALL_ON | {"branch": "uncond"}))


# --- recorder ------------------------------------------------------------------------------------


def test_recorder_keeps_only_finding_columns_of_regulated_levels(unet):
    made = plan(unet)
    with controlled(unet, made) as control:
        control.set(**ALL_ON)
        predict(unet, latent(batch=2))
        columns = control.take()
        assert control.take() == {}
    names = {(x.level, x.name) for x in attention_levels(unet, LATENT) if x.cross and x.level < 3}
    assert set(columns) == names
    for (level, _), maps in columns.items():
        assert maps.shape == (2, 2, *made.omega[level].shape[-2:])
        assert maps.dtype == torch.float32
        assert not maps.requires_grad


@pytest.mark.parametrize("config", [PAPER, EVERY, off(boost={"eta": 1.5, "renorm": True})])
def test_recorded_columns_are_the_raw_softmax_whatever_the_boost(unet, config):
    made = plan(unet, config)
    layer = next(x for x in attention_levels(unet, LATENT) if x.cross)
    attn, hidden, text = unet.get_submodule(layer.name), torch.randn(1, 256, 12), states()
    with torch.no_grad(), controlled(unet, made) as control:
        for boost in (True, False):
            control.set(**(ALL_ON | {"boost": boost}))
            attn(hidden, encoder_hidden_states=text)
            (columns,) = control.take().values()
            q = attn.to_q(hidden).view(1, 256, 4, -1).transpose(1, 2)
            k = attn.to_k(text).view(1, 77, 4, -1).transpose(1, 2)
            maps = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
            expected = maps.mean(1)[..., [3, 4]].transpose(1, 2).view(1, 2, 16, 16)
            assert torch.allclose(columns, expected, atol=1e-6)


def test_columns_of_a_bf16_network_are_fp32():
    unet = small_unet(dtype=torch.bfloat16)
    with controlled(unet, plan(unet)) as control:
        control.set(**ALL_ON)
        predict(unet, latent(dtype=torch.bfloat16), states(dtype=torch.bfloat16))
        assert {maps.dtype for maps in control.take().values()} == {torch.float32}


def test_one_image_gives_the_same_prediction_alone_and_in_a_batch(unet):
    z = latent(batch=3)
    with controlled(unet, plan(unet)) as control:
        control.set(**ALL_ON)
        together = predict(unet, z)
        alone = torch.cat([predict(unet, one[None]) for one in z])
    assert torch.allclose(together, alone, atol=1e-4)
