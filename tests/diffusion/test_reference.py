# SPDX-License-Identifier: Apache-2.0
"""Preset ``paper`` equals the literal implementation of Eq. 2 and 4 to 9."""

import pytest
import torch

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.correction.correction import Correction
from monai_cxr_cf.diffusion.model.codec import encode
from monai_cxr_cf.diffusion.model.text import encode_text
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.presets import PAPER
from tests.diffusion import reference, small


@pytest.fixture(scope="module")
def unet():
    return small.small_unet(dtype=torch.float64)


def world(eta=1.5):
    return reference.World(
        region=small.REGION,
        organs=list(small.ORGANS.values()),
        tokens=small.EFFUSION.tokens,
        eta=eta,
        sides=(16, 8, 4),
    )


def literal(unet, act):
    """``act(world)`` with literal processors installed."""
    made = world()
    before = reference.install(unet, made)
    try:
        return act(made)
    finally:
        unet.set_attn_processor(before)


@pytest.mark.parametrize("boost", [True, False])
@pytest.mark.parametrize("branch", ["cond", "negative"])
def test_one_regulated_pass_equals_the_literal_one(unet, branch, boost):
    z, text = small.latent(batch=2, dtype=torch.float64), small.states(dtype=torch.float64)
    acts = boost and branch == "cond"
    with torch.no_grad():
        expected = literal(unet, lambda w: reference.predict(unet, w, z, 500, text, boosting=acts))
        with controlled(unet, small.plan(unet, PAPER)) as control:
            control.set(branch=branch, gate=True, boost=boost, regional=True, record=True)
            e = unet(z, 500, encoder_hidden_states=text.expand(2, -1, -1)).sample
    assert torch.allclose(e, expected, atol=1e-7)


def test_one_correction_equals_the_literal_one(unet):
    z, text = small.latent(batch=2, dtype=torch.float64), small.states(dtype=torch.float64)
    expected, loss = literal(
        unet, lambda w: reference.correct(unet, w, z, 500, text, 0.05 * (1 - 1 / 4))
    )
    with controlled(unet, small.plan(unet, PAPER)) as control:
        control.set(**small.ALL_ON)
        moved, record = Correction(unet, control, control.plan).step(
            z, 500, alpha_bar=0.3, i=1, n_window=4, cond_states=text.expand(2, -1, -1)
        )
    assert record.energy == pytest.approx(loss.tolist(), abs=1e-9)
    assert float((moved - z).abs().max()) > 1e-6
    assert torch.allclose(moved - z, expected - z, rtol=1e-5, atol=1e-10)


def test_a_whole_paper_run_equals_the_literal_one(tiny, task):
    steps, seed = 5, 11
    config = PAPER.with_overrides({"sampling": {"steps": steps}})
    result = sample(tiny, task, config, seeds=(seed,))
    made = reference.World(
        region=task.targets[0].region,
        organs=list(task.organs.values()),
        tokens=task.targets[0].tokens,
        eta=1.5,
        sides=(16, 8, 4),
    )
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    texts = (encode_text(tiny, task.prompt), encode_text(tiny, task.negative_prompt))
    config = tiny.scheduler_config
    betas = torch.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, 1000) ** 2
    before = reference.install(tiny.unet, made)
    try:
        z = reference.paper(
            tiny.unet,
            made,
            encode(tiny, task.image),
            noise,
            texts,
            alphas_cumprod=(1 - betas).cumprod(0),
            offset=config["steps_offset"],
            settings=reference.Settings(steps=steps),
        )
    finally:
        tiny.unet.set_attn_processor(before)
    assert torch.allclose(result.z, z, rtol=1e-3, atol=1e-3)
    assert float((result.z - result.z_src).abs().max()) > 0.1
