# SPDX-License-Identifier: Apache-2.0
"""The shipped counts are those of a new count; another configuration is counted when asked."""

import json

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from monai_cxr_cf.diffusion.cost import flops
from monai_cxr_cf.diffusion.model.single_file import SD1_UNET, SD1_VAE
from monai_cxr_cf.weights import models_folder

SHIPPED = models_folder() / "cxr-mini"


def _keys(unet_config: dict, vae_config: dict) -> tuple[str, str]:
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(unet_config)
        vae = AutoencoderKL.from_config(vae_config)
    return flops.config_key(unet), flops.config_key(vae)


@pytest.fixture(scope="module", params=["cxr-mini", "sd15"])
def keys(request) -> tuple[str, str]:
    if request.param == "sd15":
        return _keys(SD1_UNET, SD1_VAE)
    read = [json.loads((SHIPPED / part / "config.json").read_text()) for part in ("unet", "vae")]
    return _keys(*read)


def test_every_count_is_what_a_new_count_says(keys) -> None:
    unet, vae = (flops.counted()[flops.digest(key)] for key in keys)
    assert len(unet) == 5
    assert len(vae) == 2
    for name, count in unet.items():
        words = name.split()
        hw = tuple(int(side) for side in words[1].split("x"))
        last = words[2] if len(words) > 2 else ""
        again = flops.count_unet(keys[0], hw, last_layer=last, backward=words[-1] == "backward")
        assert again == count, name
    for name, count in vae.items():
        half, side = name.split()
        hw = tuple(int(number) for number in side.split("x"))
        assert flops.count_vae(keys[1], hw, encode=half == "encode") == count, name


def test_another_grid_is_counted(keys) -> None:
    assert flops.unet_pass((16, 16)) not in flops.counted()[flops.digest(keys[0])]
    assert flops.unet_flops(keys[0], (16, 16)) == flops.count_unet(keys[0], (16, 16)) > 0
