# SPDX-License-Identifier: Apache-2.0
"""Attention levels are derived from the network and the latent, never constants."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from monai_cxr_cf.diffusion.model.layers import attention_levels
from tests.diffusion.small import (
    small_unet,
)


@pytest.fixture(scope="module")
def unet():
    return small_unet()


# --- levels --------------------------------------------------------------------------------------


def sd15(**changes):
    """SD v1.5's UNet at its true size, without memory."""
    with torch.device("meta"):
        return UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, **changes)


@pytest.mark.parametrize(
    ("latent_hw", "grids"),
    [
        ((64, 64), {0: (64, 64), 1: (32, 32), 2: (16, 16), 3: (8, 8)}),
        ((32, 32), {0: (32, 32), 1: (16, 16), 2: (8, 8), 3: (4, 4)}),
        ((48, 80), {0: (48, 80), 1: (24, 40), 2: (12, 20), 3: (6, 10)}),
    ],
    ids=str,
)
def test_levels_of_sd_v1_are_derived_from_the_latent(latent_hw, grids):
    unet = sd15()
    layers = attention_levels(unet, latent_hw)
    assert len(layers) == 32
    assert sum(layer.cross for layer in layers) == 16
    assert {layer.level: layer.grid for layer in layers} == grids
    assert {layer.heads for layer in layers} == {8}
    widths = {x.level: unet.get_submodule(x.name).to_k.out_features for x in layers}
    assert widths == {0: 320, 1: 640, 2: 1280, 3: 1280}
    names = [layer.name.split(".")[0] for layer in layers]
    assert names == sorted(names, key=["down_blocks", "mid_block", "up_blocks"].index)


@pytest.mark.parametrize("latent_hw", [(16, 16), (16, 24), (10, 14)], ids=str)
def test_derived_levels_are_the_sizes_a_forward_pass_has(unet, latent_hw):
    seen = {}

    def note(name):
        return lambda _, args: seen.__setitem__(name, args[0].shape[1])

    layers = attention_levels(unet, latent_hw)
    hooks = [
        unet.get_submodule(layer.name).register_forward_pre_hook(note(layer.name))
        for layer in layers
    ]
    with torch.no_grad():
        unet(torch.zeros(1, 4, *latent_hw), 5, encoder_hidden_states=torch.zeros(1, 77, 32))
    for hook in hooks:
        hook.remove()
    assert list(seen) == [layer.name for layer in layers]
    assert all(seen[layer.name] == layer.grid[0] * layer.grid[1] for layer in layers)
