# SPDX-License-Identifier: Apache-2.0
"""Inversion starts: exact where they claim to be, finite in the last step (docs/method.md 2.6)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.invert import begin
from monai_cxr_cf.diffusion.model.codec import decode
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.prepare import prepare
from monai_cxr_cf.diffusion.sample import sample
from monai_cxr_cf.diffusion.steps import Noise
from monai_cxr_cf.presets import PAPER
from tests.diffusion.small import EVERY

EDIT_FRIENDLY = {"start": {"kind": "edit_friendly"}, "sampling": {"steps": 8}}
NO_WORDS = {"boost": {"eta": 0.0}, "correct": {"alpha_max": 0.0}, "keep": {"paste": False}}


def null(task, prompt: str):
    """Source and target are the same text."""
    return replace(task, prompt=prompt, source_prompt=prompt, organ_tokens={2: "left_lung"})


@pytest.mark.parametrize("prompt", ["moderate left pleural effusion", ""])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("solver", ["ddim", "dpmpp"])
def test_a_null_edit_after_edit_friendly_inversion_is_the_source(
    tiny, task, solver, spacing, prompt
) -> None:
    """Same prompt, same scale, gate on, guidance on: z_src to 1e-4, the image after rounding."""
    config = EVERY.with_overrides(EDIT_FRIENDLY).with_overrides(NO_WORDS)
    config = config.with_overrides({"sampling": {"solver": solver, "spacing": spacing}})
    samples = sample(tiny, null(task, prompt), config, seeds=[1, 2])
    assert torch.allclose(samples.z, samples.z_src.expand_as(samples.z), atol=1e-4)
    change = decode(tiny, samples.z) - decode(tiny, samples.z_src)  # added to stored pixels
    assert not np.rint(change * 255).any()


def test_a_null_edit_with_a_strength_start_is_not_the_source(tiny, task) -> None:
    """It is the sham edit."""
    config = EVERY.with_overrides({"sampling": {"steps": 8}}).with_overrides(NO_WORDS)
    samples = sample(tiny, null(task, "mild edema"), config, seeds=[1])
    assert not torch.allclose(samples.z, samples.z_src, atol=1e-2)


def test_an_edit_after_inversion_differs_from_the_source_inside(tiny, task) -> None:
    samples = sample(tiny, task, EVERY.with_overrides(EDIT_FRIENDLY), seeds=[1])
    assert not torch.allclose(samples.z, samples.z_src, atol=1e-3)


def test_points_have_independent_noise_and_the_last_residual_is_exact(tiny, task) -> None:
    """std is 0 in the last step: others divide by it, or drop the residual."""
    config = PAPER.with_overrides(EDIT_FRIENDLY)
    run = prepare(tiny, task, config, seeds=(1,))
    start = begin(run, Noise((1,), tuple(run.z_src.shape[1:]), "cpu"), Meter(tiny))
    assert len(start.residuals) == run.solver.n_exec
    assert all(torch.isfinite(r).all() for r in start.residuals)
    assert start.residuals[-1].abs().max() > 0
    assert torch.equal(start.source[-1], run.z_src)
    noise = [
        (start.source[i] - run.solver.alpha_bar(i) ** 0.5 * run.z_src)
        / (1 - run.solver.alpha_bar(i)) ** 0.5
        for i in range(run.solver.n_exec)
    ]
    correlation = torch.corrcoef(torch.stack([n.flatten() for n in noise]))
    assert (correlation - torch.eye(len(noise))).abs().max() < 0.2


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("solver", ["ddim", "dpmpp"])
def test_ddim_inversion_leads_back_without_guidance(task, solver, prediction) -> None:
    """The more steps, the nearer; exact only in the limit."""
    backbone = tiny_backbone(prediction_type=prediction)
    errors = []
    for steps in (10, 40):
        config = EVERY.with_overrides(NO_WORDS).with_overrides(
            {
                "start": {"kind": "ddim", "strength": 0.5},
                "sampling": {"guidance_scale": 1.0, "steps": steps, "solver": solver},
            }
        )
        samples = sample(backbone, null(task, ""), config, seeds=[1])
        errors.append(float((samples.z - samples.z_src).abs().max()))
    assert errors[1] < 0.6 * errors[0]


def test_inversion_is_counted_apart(tiny, task) -> None:
    ddim = EVERY.with_overrides({"start": {"kind": "ddim"}, "sampling": {"steps": 10}})
    cost = sample(tiny, task, ddim, seeds=[1, 2]).trace["cost"]
    assert cost["calls"]["inversion"] == 7
    assert cost["f"]["inversion"] == pytest.approx(7)  # one trajectory serves every seed
    guided = replace(task, source_prompt="mild edema")
    twice = EVERY.with_overrides(EDIT_FRIENDLY)
    cost = sample(tiny, guided, twice, seeds=[1]).trace["cost"]
    assert cost["calls"]["inversion"] == 5 + 4
