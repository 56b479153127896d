# SPDX-License-Identifier: Apache-2.0
"""Our editors against the pipelines of diffusers, on the same random networks and draws."""

import pytest
import torch

from monai_cxr_cf.diffusion.model.codec import encode
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from tests.methods.peers.pipelines import apart, drawn, picture, pipeline, posterior_mean
from tests.methods.quick import backbone, samples, task

NEAR = 1e-4
MOVED = 0.05  # an edit differs from the source by more


@pytest.mark.parametrize("strength", [0.3, 0.7, 1.0])
def test_sdedit_is_image_to_image_of_diffusers(strength) -> None:
    b, asked = backbone(), task()
    plain = {"solver": "ddim", "steps": 20, "spacing": "leading", "guidance_scale": 7.5}
    config = DEFAULT.with_overrides({"sampling": plain, "start": {"strength": strength}})
    ours = run_method("sdedit", b, asked, config=config, seeds=[1])
    theirs = pipeline("StableDiffusionImg2ImgPipeline")(
        prompt=asked.prompt, image=encode(b, asked.image), strength=strength,
        num_inference_steps=20, guidance_scale=7.5, generator=drawn(), output_type="latent",
    ).images  # fmt: skip
    assert apart(ours.z, theirs) < NEAR
    assert apart(ours.z, ours.z_src) > MOVED


@pytest.mark.parametrize("kind", ["text", "inpaint"])
@pytest.mark.parametrize("strength", [0.7, 1.0])
def test_sd_inpaint_is_the_inpainting_of_diffusers(kind, strength) -> None:
    asked = task(kind)
    ours = samples("sd_inpaint", kind=kind, steps=20, strength=strength, as_published=True)
    region = torch.as_tensor(asked.targets[0].region)[None, None]
    with posterior_mean():
        theirs = pipeline("StableDiffusionInpaintPipeline", kind)(
            prompt=asked.prompt, image=picture(asked.image), mask_image=region,
            height=128, width=128, strength=strength, num_inference_steps=20,
            guidance_scale=7.5, generator=drawn(), output_type="latent",
        ).images  # fmt: skip
    assert apart(ours.z, theirs) < NEAR
    assert apart(ours.z, ours.z_src) > MOVED
