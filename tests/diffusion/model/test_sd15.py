# SPDX-License-Identifier: Apache-2.0
"""The true SD v1.5 UNet (859.5 M parameters, random weights, bf16): one step of every law."""

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from monai_cxr_cf.diffusion.model.backbone import assemble
from monai_cxr_cf.diffusion.model.checkpoints import Parts
from monai_cxr_cf.diffusion.model.layers import attention_levels
from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER, SD1_UNET
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.presets import PAPER
from tests.diffusion.small import EVERY

ONE_STEP = {"sampling": {"steps": 2}}  # strength .7 of 2: one executed step, in every window


@pytest.fixture(scope="module")
def sd15(tiny):
    """SD v1.5's UNet on a 16x16 latent, with the tiny VAE and a one-layer text encoder."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SD1_UNET).to(torch.bfloat16)
    unet = unet.to_empty(device="cpu")
    values = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).bfloat16()
    for name, parameter in unet.named_parameters():
        flat = parameter.data.view(-1)
        if "norm" in name:
            flat.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1e6
            for chunk in flat.split(len(values)):
                chunk.copy_(values[: len(chunk)] * fan_in**-0.5)
    text = CLIPTextConfig(
        vocab_size=len(tiny.tokenizer),
        hidden_size=768,
        num_hidden_layers=1,
        num_attention_heads=12,
        eos_token_id=tiny.tokenizer.eos_token_id,
    )
    vae = AutoencoderKL.from_config(tiny.vae.config)
    vae.load_state_dict(tiny.vae.state_dict())
    parts = Parts(unet, vae, CLIPTextModel(text), tiny.tokenizer, SD1_SCHEDULER)
    return assemble(parts, name="sd15", dtype=torch.bfloat16)


def test_it_is_the_true_configuration(sd15) -> None:
    assert sum(p.numel() for p in sd15.unet.parameters()) == 859_520_964
    assert sd15.side == 512
    layers = [a for a in attention_levels(sd15.unet, (64, 64)) if a.cross]
    assert {a.level: a.grid[0] for a in layers} == {0: 64, 1: 32, 2: 16, 3: 8}
    widths = {sd15.unet.get_submodule(a.name).to_k.out_features for a in layers}
    assert widths == {320, 640, 1280}


@pytest.mark.parametrize(
    "config",
    [
        EVERY,
        PAPER.with_overrides({"start": {"strength": 0.7}}),
        EVERY.with_overrides({"gate": {"mode": "partition_hard"}, "boost": {"renorm": True}}),
    ],
    ids=["default", "paper", "hard-renorm"],
)
def test_one_step_of_every_law(sd15, task, config) -> None:
    organ = replace(task, organ_tokens={2: "left_lung"})
    before = {k: id(v) for k, v in sd15.unet.attn_processors.items()}
    samples = sample(sd15, organ, config.with_overrides(ONE_STEP), seeds=[1])
    (step,) = samples.trace["steps"]
    assert step["window"]
    assert step["guided"]
    assert step["gated"]
    assert step["correction"]["backwards"] == 1
    assert step["correction"]["reason"] == [""]
    assert set(step["roi_score"]) == {"0", "1", "2"}
    assert samples.trace["cost"]["calls"] == {
        "backward": 1,
        "encode": 1,
        "gradient": 1,
        "unet": 2,
    }
    assert samples.trace["cost"]["unit_tflop"] == pytest.approx(0.803, abs=1e-3)
    assert torch.isfinite(samples.z).all()
    assert not torch.equal(samples.z, samples.z_src)
    assert {k: id(v) for k, v in sd15.unet.attn_processors.items()} == before
