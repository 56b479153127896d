# SPDX-License-Identifier: Apache-2.0
"""Plain sampling equals diffusers' own pipeline, repeats, and gives each seed its own noise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from monai_cxr_cf.diffusion.model.backbone import Backbone, load_backbone
from monai_cxr_cf.diffusion.model.codec import decode, encode
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.generator.generate import Plain, generate


@pytest.fixture(scope="module")
def backbone(tiny_folder: Path) -> Backbone:
    return load_backbone(str(tiny_folder), models=tiny_folder.parent)


def test_it_is_diffusers_own_text_to_image(tiny_folder: Path, backbone: Backbone) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_folder, safety_checker=None)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="trailing", clip_sample=False
    )
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        "cardiomegaly",
        num_inference_steps=5,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",  # its clamp acts per channel, ours on their mean
    ).images
    plain = Plain(guidance=3.0, steps=5, solver="ddim")
    ours = generate(backbone, ["cardiomegaly"], plain, seeds=[7])[0]
    assert np.allclose(decode(backbone, theirs)[0], ours, atol=1e-4)


def test_it_repeats_and_each_seed_has_its_own_noise(backbone: Backbone) -> None:
    plain = Plain(steps=3)
    prompts = ["edema", "edema", "edema"]
    one = generate(backbone, prompts, plain, seeds=[1, 1, 2])
    assert np.array_equal(one, generate(backbone, prompts, plain, seeds=[1, 1, 2]))
    assert np.allclose(one[0], one[1], atol=1e-5)
    assert np.abs(one[0] - one[2]).max() > 0.01


def test_low_strength_stays_nearer_to_the_source(backbone: Backbone) -> None:
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    source = encode(backbone, image)
    base = generate(backbone, ["mass"], Plain(steps=10), seeds=[0], source=source, strength=0.1)
    far = generate(backbone, ["mass"], Plain(steps=10), seeds=[0], source=source, strength=0.9)
    reference = decode(backbone, source)
    assert np.abs(base - reference).mean() < np.abs(far - reference).mean()


def test_bfloat16_is_nearly_the_same_picture(backbone: Backbone) -> None:
    whole, half = (
        generate(backbone, ["mass"], Plain(steps=3, bf16=bf16), seeds=[0]) for bf16 in (False, True)
    )
    assert 0 < np.abs(whole - half).mean() < 0.02


def test_values_out_of_range_are_refused(backbone: Backbone) -> None:
    with pytest.raises(BadRequest, match="guidance_scale is 0"):
        generate(backbone, ["mass"], Plain(guidance=0), seeds=[0])
