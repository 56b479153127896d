# SPDX-License-Identifier: Apache-2.0
"""Our editors against the pipelines of diffusers, on the same random networks and draws."""

from dataclasses import replace

import diffusers
import pytest
import torch

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.diffusion.model.codec import encode
from monai_cxr_cf.methods.diffedit import disagreement
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from tests.methods.peers.pipelines import apart, drawn, picture, pipeline, posterior_mean, scheduler
from tests.methods.quick import backbone, bench_of, samples, task

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


def test_ip2p_is_instructpix2pix_of_diffusers() -> None:
    asked = task("instruct")
    ours = samples("ip2p", steps=10, instruction="add the finding of effusion")
    theirs = pipeline("StableDiffusionInstructPix2PixPipeline", "instruct")(
        prompt="add the finding of effusion", image=picture(asked.image) * 2 - 1,
        num_inference_steps=10, guidance_scale=7.5, image_guidance_scale=1.5,
        generator=drawn(), output_type="latent",
    ).images  # fmt: skip
    assert apart(ours.z, theirs) < NEAR
    unguided = samples("ip2p", steps=10, instruction="add the finding of effusion", guidance=1.0)
    assert apart(ours.z, unguided.z) > MOVED


@pytest.fixture(scope="module")
def diffedit_of_diffusers():
    """The deprecated class; with it gone the stored arrays are all there is."""
    if not hasattr(diffusers, "StableDiffusionDiffEditPipeline"):
        pytest.skip("this version of diffusers has no DiffEdit")
    made = pipeline(
        "StableDiffusionDiffEditPipeline", inverse_scheduler=scheduler(name="DDIMInverseScheduler")
    )
    made.vae.register_to_config(latents_mean=None)
    return made


@pytest.mark.parametrize(("source", "draws"), [("", 1), ("normal heart size", 10)])
def test_diffedit_is_that_of_diffusers(diffedit_of_diffusers, source, draws) -> None:
    peer, asked = diffedit_of_diffusers, replace(task(), source_prompt=source)
    common = {"steps": 10, "draws": draws, "as_published": True, "guidance": 2.0}
    ours = samples("diffedit", given=asked, **common)
    choice = choose("diffedit", common)
    with posterior_mean():
        mask = peer.generate_mask(
            image=picture(asked.image) * 2 - 1, target_prompt=asked.prompt, source_prompt=source,
            num_maps_per_mask=draws, num_inference_steps=10, generator=drawn(), output_type="np",
            guidance_scale=2.0,
        )  # fmt: skip
        inverted = peer.invert(
            prompt=source, image=picture(asked.image) * 2 - 1, num_inference_steps=10,
            guidance_scale=2.0, output_type="latent",
        ).latents  # fmt: skip
    bench = bench_of(asked)
    own = disagreement(bench, choice.settings)
    assert torch.equal(own[0, 0], torch.as_tensor(mask[0]).float())
    assert 0 < own.mean() < 1
    theirs = peer(
        prompt=asked.prompt, mask_image=torch.as_tensor(mask[0])[None, None].float(),
        image_latents=inverted, num_inference_steps=10, guidance_scale=2.0,
        generator=drawn(), output_type="latent",
    ).images  # fmt: skip
    # The peer guides an empty source prompt by itself: rounding, times the scale.
    assert apart(ours.z, theirs) < (NEAR if source else 3 * NEAR)
    assert apart(ours.z, samples("diffedit", given=asked, **{**common, "guidance": 1.0}).z) > MOVED
