# SPDX-License-Identifier: Apache-2.0
"""The loop: plain with all laws off, deterministic, exact outside, cancellable; each law acts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline

from monai_cxr_cf.diffusion.model.codec import encode
from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER
from monai_cxr_cf.diffusion.model.text import encode_text
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.steps import Noise
from monai_cxr_cf.errors import BadRequest, Cancelled
from monai_cxr_cf.methods.sdedit import plain
from monai_cxr_cf.presets import PAPER, PRESETS, SWITCHES
from tests.diffusion.small import EVERY

SHORT = {"sampling": {"steps": 6}}
QUICK = EVERY.with_overrides(SHORT)


def processors(backbone):
    return {k: id(v) for k, v in backbone.unet.attn_processors.items()}


@pytest.mark.parametrize("solver", ["ddim", "dpmpp"])
def test_all_laws_off_is_the_plain_loop_bit_for_bit(tiny, task, solver) -> None:
    config = plain(EVERY).with_overrides({"sampling": {"solver": solver, "steps": 5}})
    ours = sample(tiny, task, config, seeds=[5])

    z_src = encode(tiny, task.image)
    noise = torch.randn(z_src.shape[1:], generator=torch.Generator().manual_seed(5))[None]
    kinds = {"ddim": DDIMScheduler, "dpmpp": DPMSolverMultistepScheduler}
    scheduler = kinds[solver].from_config(SD1_SCHEDULER, timestep_spacing="trailing")
    scheduler.set_timesteps(5)
    executed = scheduler.timesteps[2:]  # strength .7: 3 of 5
    if solver == "dpmpp":
        scheduler.set_begin_index(2)
    alpha_bar = scheduler.alphas_cumprod[executed[0]]
    z = alpha_bar**0.5 * z_src + (1 - alpha_bar) ** 0.5 * noise
    cond, negative = encode_text(tiny, task.prompt), encode_text(tiny, "")
    with torch.no_grad():
        for t in executed:
            e = tiny.unet(z, t, cond).sample
            e_neg = tiny.unet(z, t, negative).sample
            z = scheduler.step(e_neg + 7.5 * (e - e_neg), t, z).prev_sample
    assert [s["timestep"] for s in ours.trace["steps"]] == executed.tolist()
    assert torch.equal(ours.z, z)


def test_all_laws_off_is_the_stable_diffusion_pipeline_bit_for_bit(tiny, task) -> None:
    """The real diffusers pipeline, DDIM with leading spacing, from the same first latent."""
    off = {"sampling": {"steps": 5, "guidance_scale": 1.0}}
    ours = sample(tiny, task, plain(PAPER).with_overrides(off), seeds=[3])
    scheduler = DDIMScheduler(**SD1_SCHEDULER)
    pipeline = StableDiffusionPipeline(
        vae=tiny.vae,
        text_encoder=tiny.text_encoder,
        tokenizer=tiny.tokenizer,
        unet=tiny.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    z_src = encode(tiny, task.image)
    noise = Noise((3,), tuple(z_src.shape[1:]), "cpu").draw()
    a = scheduler.alphas_cumprod[801]
    theirs = pipeline(
        prompt_embeds=encode_text(tiny, task.prompt),
        latents=a**0.5 * z_src + (1 - a) ** 0.5 * noise,
        num_inference_steps=5,
        guidance_scale=1.0,
        output_type="latent",
    ).images
    assert torch.equal(ours.z, theirs)


def test_each_switch_changes_one_field_and_the_result(tiny, task) -> None:
    """A law that does nothing is a bug others have shipped."""
    organ = replace(task, organ_tokens={2: "left_lung"})
    every = QUICK.with_overrides({"sampling": {"guidance_map": "region"}})
    full = sample(tiny, organ, every, seeds=[1]).z
    for name, switch in SWITCHES.items():
        config = every.with_overrides(switch)
        a, b = every.as_dict(), config.as_dict()
        changed = [(p, k) for p in a for k in a[p] if a[p][k] != b[p][k]]
        assert len(changed) <= 1, name
        # Those four act after the loop, or around it.
        if name not in ("no-composite", "no-bounds", "no-detail", "no-crop"):
            z = sample(tiny, organ, config, seeds=[1]).z
            assert not torch.equal(z, full), name


@pytest.mark.parametrize(
    "overrides",
    [
        {"gate": {"mode": "keys"}},
        {"gate": {"beta": 1.0}},
        {"gate": {"branches": "cond"}},
        {"boost": {"renorm": True}},
        {"boost": {"mu": 0.8}, "sampling": {"cfg_until": 1.0}},
        {"tokens": {"carrier": "finding+eos"}},
        {"correct": {"norm": "max"}},
        {"sampling": {"cfg_until": 1.0}},
        {"sampling": {"guidance_map": "region"}},
        {"sampling": {"eta_ddim": 1.0, "solver": "ddim"}},
    ],
    ids=lambda o: "-".join(f"{p}.{k}" for p, v in o.items() for k in v),
)
def test_each_dial_acts(tiny, task, overrides) -> None:
    ddim = {"sampling": {"solver": "ddim"}} if "eta_ddim" in str(overrides) else {}
    base = QUICK.with_overrides(ddim)
    changed = sample(tiny, task, base.with_overrides(overrides), seeds=[1]).z
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, sample(tiny, task, base, seeds=[1]).z)


@pytest.mark.parametrize("name", PRESETS)
def test_the_same_call_gives_the_same_bytes(tiny, task, name) -> None:
    config = PRESETS[name].with_overrides(SHORT)
    a, b = (sample(tiny, task, config, seeds=[1, 2]) for _ in range(2))
    assert a.z.numpy().tobytes() == b.z.numpy().tobytes()
    assert {**a.trace, "resources": 0} == {**b.trace, "resources": 0}


@pytest.mark.parametrize("kind", ["strength", "edit_friendly"])
def test_a_batch_of_seeds_equals_each_seed_alone(tiny, task, kind) -> None:
    config = QUICK.with_overrides({"start": {"kind": kind}})
    together = sample(tiny, task, config, seeds=[1, 2, 3])
    for i, seed in enumerate((1, 2, 3)):
        alone = sample(tiny, task, config, seeds=[seed])
        assert torch.allclose(together.z[i], alone.z[0], atol=1e-4)
    assert not torch.allclose(together.z[0], together.z[1], atol=1e-2)


@pytest.mark.parametrize("name", PRESETS)
def test_strength_zero_returns_the_source(tiny, task, name) -> None:
    config = PRESETS[name].with_overrides({"start": {"strength": 0.0}})
    samples = sample(tiny, task, config, seeds=[1, 2])
    assert torch.equal(samples.z, samples.z_src.expand(2, -1, -1, -1))
    assert samples.trace["steps"] == []
    assert samples.trace["cost"]["f"]["unet"] == 0


def test_kappa_zero_everywhere_returns_the_source(tiny, task) -> None:
    still = replace(task, kappa=np.zeros_like(task.kappa))
    samples = sample(tiny, still, QUICK, seeds=[1])
    assert torch.equal(samples.z, samples.z_src)


def test_an_empty_region_is_refused(tiny, task) -> None:
    with pytest.raises(BadRequest, match="is empty at model size"):
        replace(task.targets[0], region=np.zeros_like(task.kappa))


def test_v_prediction_backbones_run(task) -> None:
    v = tiny_backbone(prediction_type="v_prediction")
    z = sample(v, task, QUICK, seeds=[1]).z
    assert torch.isfinite(z).all()
    assert not torch.equal(z, sample(tiny_backbone(), task, QUICK, seeds=[1]).z)


def test_progress_is_told_every_step(tiny, task) -> None:
    heard = []
    sample(tiny, task, QUICK, seeds=[1], progress=heard.append)
    assert heard == [{"stage": "sample", "step": i, "total": 4} for i in (1, 2, 3, 4)]


@pytest.mark.parametrize("kind", ["strength", "ddim"])
def test_cancelling_restores_the_unet(tiny, task, kind) -> None:
    before = processors(tiny)

    def stop(event):
        if event["step"] == 2:
            raise Cancelled

    config = QUICK.with_overrides({"start": {"kind": kind}})
    with pytest.raises(Cancelled):
        sample(tiny, task, config, seeds=[1], progress=stop)
    assert processors(tiny) == before
    hooked = [m for m in tiny.unet.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooked
    first, again = (sample(tiny, task, QUICK, seeds=[1]).z for _ in range(2))
    assert torch.equal(first, again)


def test_weights_get_no_gradients_and_no_graph_survives(tiny, task) -> None:
    samples = sample(tiny, task, QUICK, seeds=[1])
    assert samples.z.grad_fn is None
    assert not samples.z.requires_grad
    assert all(p.grad is None and not p.requires_grad for p in tiny.unet.parameters())


def test_the_sampler_works_under_no_grad_and_inference_mode(tiny, task) -> None:
    plainly = sample(tiny, task, QUICK, seeds=[1]).z
    with torch.no_grad():
        assert torch.equal(sample(tiny, task, QUICK, seeds=[1]).z, plainly)
    with torch.inference_mode():
        assert torch.allclose(sample(tiny, task, QUICK, seeds=[1]).z, plainly, atol=1e-5)


def test_fp16_correction_is_refused(task) -> None:
    half = tiny_backbone()
    half.unet.to(torch.float16)
    half.dtype = torch.float16
    with pytest.raises(BadRequest, match="fp16"):
        sample(half, task, QUICK, seeds=[1])


def test_bf16_runs(task) -> None:
    half = tiny_backbone()
    half.unet.to(torch.bfloat16)
    half.dtype = torch.bfloat16
    z = sample(half, task, QUICK, seeds=[1]).z
    assert z.dtype == torch.float32
    assert torch.isfinite(z).all()
