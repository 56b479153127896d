# SPDX-License-Identifier: Apache-2.0
"""Our editors against the pipelines of diffusers, on the same random networks and draws."""

import copy
from dataclasses import replace

import diffusers
import pytest
import torch

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.diffusion.model.codec import encode
from monai_cxr_cf.diffusion.model.text import encode_text
from monai_cxr_cf.methods import attend_excite
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


def test_ledits_is_that_of_diffusers() -> None:
    asked = replace(task(), source_prompt="")
    values = {"steps": 20, "as_published": True, "threshold": 0.9}
    ours = samples("ledits", given=asked, **values)
    sde = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}
    sde |= {"final_sigmas_type": "sigma_min", "timestep_spacing": "leading"}
    made = scheduler(name="DPMSolverMultistepScheduler", **sde)
    peer = pipeline("LEditsPPPipelineStableDiffusion", made=made)
    z0 = encode(backbone(), asked.image)
    peer.encode_image = lambda *given, **named: (z0, picture(asked.image))
    peer.invert(
        picture(asked.image), source_prompt="", num_inversion_steps=20, skip=0.15, generator=drawn()
    )
    before = dict(peer.unet.attn_processors)
    theirs = peer(
        editing_prompt=[asked.prompt], edit_guidance_scale=5.0, edit_threshold=0.9,
        use_cross_attn_mask=True, use_intersect_mask=True, output_type="latent",
    ).images  # fmt: skip
    peer.unet.set_attn_processor(before)
    assert apart(ours.z, theirs) < NEAR
    assert apart(ours.z, ours.z_src) > MOVED
    words = samples("ledits", given=asked, steps=20, threshold=0.9)
    assert apart(ours.z, words.z) > 1e-3  # end and padding are not words


def test_attend_excite_is_that_of_diffusers(monkeypatch) -> None:
    """In float64: the two differ by 1e-3 in float32, by rounding that the method amplifies."""
    if not hasattr(diffusers, "StableDiffusionAttendAndExcitePipeline"):
        pytest.skip("this version of diffusers has no Attend-and-Excite")
    b = copy.deepcopy(backbone())
    b.unet, b.dtype = b.unet.double(), torch.float64
    monkeypatch.setattr(attend_excite, "ENOUGH", {0: 0.2, 2: 0.3})
    asked = task()
    choice = choose("attend_excite", {"steps": 6, "strength": 1.0, "as_published": True})
    ours = run_method(choice, b, asked, config=DEFAULT, seeds=[1])
    states = [encode_text(b, text) for text in (asked.prompt, "")]
    peer = diffusers.StableDiffusionAttendAndExcitePipeline(
        vae=b.vae, text_encoder=copy.deepcopy(b.text_encoder).double(), tokenizer=b.tokenizer,
        unet=b.unet, scheduler=scheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    peer.set_progress_bar_config(disable=True)
    theirs = peer(
        prompt=None, token_indices=list(asked.targets[0].tokens), prompt_embeds=states[0],
        negative_prompt_embeds=states[1], num_inference_steps=6, guidance_scale=7.5,
        latents=torch.randn((1, 4, 16, 16), generator=drawn()).double(), attn_res=(4, 4),
        thresholds={0: 0.2, 2: 0.3}, output_type="latent",
    ).images  # fmt: skip
    assert ours.trace["cost"]["calls"]["backward"] >= 6
    # The peer takes its roots of the schedule in float32.
    assert apart(ours.z, theirs) < NEAR
    still = choose("attend_excite", {**choice.settings.as_dict(), "altered": 0})
    assert apart(ours.z, run_method(still, b, asked, config=DEFAULT, seeds=[1]).z) > MOVED
