# SPDX-License-Identifier: Apache-2.0
"""Every law runs one step on the true SD v1.5 UNet (859.5 M random parameters, bf16)."""

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.correction.correction import Correction
from monai_cxr_cf.diffusion.laws.plan import plan_laws
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.task import EditTask, Target
from monai_cxr_cf.presets import PAPER
from tests.diffusion.small import ALL_ON, EVERY, off

SIDE, GRID = 256, (32, 32)
STEPS = {
    "paper": PAPER,
    "default": EVERY,
    "keys renorm": off(gate={"mode": "keys"}),
    "queries": off(gate={"mode": "queries", "renorm": False}),
    "outer": off(gate={"mode": "outer", "renorm": False}),
    "partition_hard": off(gate={"mode": "partition_hard"}),
    "dense": off(gate={"mode": "dense"}),
    "boost renorm": off(boost={"eta": 1.5, "renorm": True}),
    "eos": off(boost={"eta": 1.5}, tokens={"carrier": "finding+eos"}),
}


def true_unet():
    """SD v1.5's configuration, weights random in bf16 without ever being fp32."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    unet = unet.to(torch.bfloat16).to_empty(device="cpu").eval()
    noise = torch.randn(
        1_000_003, generator=torch.Generator().manual_seed(0)
    )  # prime: no row repeats
    for name, weight in unet.named_parameters():
        if weight.dim() > 1:
            tiles = noise.repeat(-(-weight.numel() // len(noise)))[: weight.numel()]
            weight.data.copy_(tiles.view_as(weight) * weight[0].numel() ** -0.5)
        else:
            weight.data.fill_(float(name.endswith("weight")))
    return unet


def box(top, bottom, left, right):
    plane = np.zeros((SIDE, SIDE), np.float32)
    plane[top:bottom, left:right] = 1
    return plane


TASK = EditTask(
    image=np.full((SIDE, SIDE), 0.5, np.float32),
    organs={
        "right_lung": box(30, 200, 20, 110),
        "left_lung": box(30, 200, 146, 236),
        "heart": box(120, 210, 100, 170),
    },
    prompt="left pleural effusion",
    targets=(Target("pleural effusion", (2, 3, 4, 5), box(140, 200, 160, 230)),),
    kappa=box(130, 210, 150, 240),
    organ_tokens={8: "lungs"},
    special_tokens=tuple(range(10, 77)),
)


@pytest.fixture(scope="module")
def unet():
    return true_unet()


def test_true_unet_has_859_million_parameters(unet):
    assert sum(p.numel() for p in unet.parameters()) == 859_520_964


@torch.no_grad()
def test_each_law_runs_one_step_and_changes_the_prediction(unet):
    layers = attention_levels(unet, GRID)
    generator = torch.Generator().manual_seed(1)
    text, source = torch.randn(2, 1, 77, 768, generator=generator, dtype=torch.bfloat16)
    z = torch.randn(1, 4, *GRID, generator=generator, dtype=torch.bfloat16)
    plain = unet(z, 900, encoder_hidden_states=text).sample.float()
    assert plain.isfinite().all()
    for name, config in STEPS.items():
        made = plan_laws(TASK, config, levels=layers, source_states=source, dtype=torch.bfloat16)
        with controlled(unet, made) as control:
            control.set(**ALL_ON)
            e = unet(z, 900, encoder_hidden_states=text).sample.float()
            assert len(control.take()) == 15, name
        assert e.isfinite().all(), name
        assert not torch.equal(e, plain), name


def test_the_default_correction_runs_truncated_on_the_true_unet(unet):
    z = torch.randn(1, 4, *GRID, generator=torch.Generator().manual_seed(2))
    text = torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(1), dtype=torch.bfloat16)
    made = plan_laws(
        TASK, EVERY, levels=attention_levels(unet, GRID), source_states=text, dtype=torch.bfloat16
    )
    with controlled(unet, made) as control:
        control.set(**ALL_ON)
        correction = Correction(unet, control, made)
        moved, record = correction.step(z, 900, alpha_bar=0.02, i=0, n_window=6, cond_states=text)
    assert correction.last_layer == "up_blocks.1.attentions.2.transformer_blocks.0.attn2"
    assert record.reason == [""]
    assert record.displacement == pytest.approx([0.05], rel=1e-3)
    assert moved.isfinite().all()
