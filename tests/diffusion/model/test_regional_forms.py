# SPDX-License-Identifier: Apache-2.0
"""Regional guidance in whole runs where it may go wrong: compiled blocks, bf16, a cut window."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.model.backbone import assemble
from monai_cxr_cf.diffusion.model.checkpoints import Parts
from monai_cxr_cf.diffusion.model.compiled import compile_blocks
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.window import cut_task, fit_window
from tests.diffusion.model.test_compiled import needs_compiler
from tests.diffusion.test_regional import INVERTED, REGION

STILL = REGION.with_overrides({"correct": {"alpha_max": 0.0}})
CROP = {"output": {"roi_crop": 384}}
PLACES = pytest.mark.parametrize(  # tracing blocks takes long: once for each size is enough
    ("form", "crop"),
    [
        *[pytest.param("fp32", {}, id="fp32"), pytest.param("bf16", {}, id="bf16")],
        pytest.param("compiled", {}, id="compiled", marks=needs_compiler),
        *[pytest.param("fp32", CROP, id="window"), pytest.param("bf16", CROP, id="bf16-window")],
    ],
)
UNIFORM = {"sampling": {"guidance_map": "uniform"}}
CROPS = pytest.mark.parametrize("crop", [{}, CROP], ids=["whole", "window"])
WINDOW = {"roi_crop": 384, "multiple": 64, "factor": 8}


@pytest.fixture(scope="module")
def backbones(tiny):
    """The same weights by form: as they are, in traced blocks, in bfloat16; made when asked for."""
    made = {"fp32": tiny}

    def get(form):
        if form not in made:
            new = tiny_backbone(side=tiny.side, tokenizer=tiny.tokenizer)
            if form == "bf16":
                parts = (new.unet, new.vae, new.text_encoder, new.tokenizer, new.scheduler_config)
                made[form] = assemble(Parts(*parts), name="tiny", dtype=torch.bfloat16)
            else:
                compile_blocks(new.unet, device="cpu", backend="aot_eager")  # nothing is built
                made[form] = replace(new, compiled=True)
        return made[form]

    return get


@pytest.fixture(scope="module")
def words(task):
    """The task with a text of the source's own."""
    return replace(task, source_prompt="clear lungs")


@pytest.fixture(scope="module")
def plain(tiny, words):
    """The run in fp32, and the same with the whole picture guided, by window or none."""
    found = {}
    for crop in ({}, CROP):
        config = STILL.with_overrides(crop)
        both = (config, config.with_overrides(UNIFORM))
        found[bool(crop)] = [sample(tiny, words, one, seeds=[1]) for one in both]
    return found


@PLACES
def test_all_of_the_picture_as_region_is_uniform_guidance(backbones, task, form, crop):
    """Bit for bit, whatever the sums are made in; the window is all region here."""
    seen = cut_task(task, fit_window(task, **WINDOW)) if crop else task
    whole = replace(seen, targets=(replace(seen.targets[0], region=np.ones_like(seen.kappa)),))
    found, uniform = (
        sample(backbones(form), whole, config, seeds=[1]).z
        for config in (STILL, STILL.with_overrides(UNIFORM))
    )
    assert torch.equal(found, uniform)
    assert not torch.equal(found, sample(backbones(form), seen, STILL, seeds=[1]).z)


@PLACES
def test_a_sham_from_an_inversion_is_the_source(backbones, words, form, crop):
    """In bfloat16 nearly, as AMX sums a batch of two otherwise than one, and without blends.

    Under a regional prompt Ω a + (1 - Ω) a is not quite a there.
    """
    config = INVERTED.with_overrides(crop)
    if form == "bf16":
        config = config.with_overrides({"tokens": {"regional_prompt": False}})
    sham = sample(backbones(form), sham_task(words), config, seeds=[1])
    assert (sham.window is None) == (not crop)
    if form != "bf16":
        assert torch.allclose(sham.z, sham.z_src, atol=1e-4)
        return
    edit = sample(backbones(form), words, config, seeds=[1])
    assert (sham.z - sham.z_src).norm() < 0.1 * (edit.z - edit.z_src).norm()


@CROPS
def test_a_sham_in_bf16_under_the_regional_prompt_is_near_the_source(backbones, words, crop):
    """Its blend rounds otherwise than the source's own pass: far less than what an edit moves."""
    config = INVERTED.with_overrides(crop)
    sham, edit = (
        sample(backbones("bf16"), one, config, seeds=[1]) for one in (sham_task(words), words)
    )
    assert (sham.z - sham.z_src).norm() < 0.3 * (edit.z - edit.z_src).norm()


@CROPS
def test_bf16_is_near_fp32(backbones, words, plain, crop):
    """Far nearer than a run in which the whole picture is guided."""
    exact, uniform = plain[bool(crop)]
    near = sample(backbones("bf16"), words, STILL.with_overrides(crop), seeds=[1])
    assert near.z.dtype == torch.float32
    assert 0 < (near.z - exact.z).norm() < 0.2 * (uniform.z - exact.z).norm()


@needs_compiler
@CROPS
def test_compiled_blocks_give_what_the_others_give(backbones, words, plain, crop):
    found = sample(backbones("compiled"), words, STILL.with_overrides(crop), seeds=[1])
    torch.testing.assert_close(found.z, plain[bool(crop)][0].z, atol=2e-4, rtol=0)


def test_a_window_is_guided_as_a_picture_of_its_own(tiny, words, plain):
    """What is cut is the region, and with it the map of guidance; nothing else is known of it."""
    window = fit_window(words, **WINDOW)
    found = plain[True][0]
    assert found.window == window
    assert torch.equal(found.z, sample(tiny, cut_task(words, window), STILL, seeds=[1]).z)
