# SPDX-License-Identifier: Apache-2.0
"""Starts and inversions against plain loops over the network."""

from dataclasses import replace

import pytest
import torch

from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.invert import begin, ddim_inversion
from monai_cxr_cf.diffusion.model.text import encode_text
from monai_cxr_cf.diffusion.model.tiny import tiny_backbone
from monai_cxr_cf.diffusion.prepare import prepare
from monai_cxr_cf.diffusion.steps import Noise
from monai_cxr_cf.methods.sdedit import plain
from tests.diffusion.small import EVERY

BARE = plain(EVERY).with_overrides({"keep": {"paste": False}, "sampling": {"solver": "ddim"}})


def prepared(backbone, task, kind, *, steps=5, strength=1.0, seeds=(1,), **sampling):
    parts = {
        "start": {"kind": kind, "strength": strength},
        "sampling": {"steps": steps, **sampling},
    }
    return prepare(backbone, task, BARE.with_overrides(parts), seeds=seeds)


def started(run, progress=None):
    shape = tuple(run.z_src.shape[1:])
    return begin(run, Noise(run.seeds, shape, "cpu"), Meter(run.backbone), progress=progress)


def levels(run):
    """ᾱ of t_0 .. t_{n-1} and of where DDIM lands, from the backbone's betas."""
    config = run.backbone.scheduler_config
    betas = torch.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, 1000) ** 2
    alphas = (1 - betas).cumprod(0)
    return [float(alphas[t]) for t in run.solver.timesteps] + [float(alphas[0])]


def predicted(backbone, z, t, text):
    states = encode_text(backbone, text).expand(len(z), -1, -1)
    with torch.no_grad():
        return backbone.unet(z, t, encoder_hidden_states=states).sample


@pytest.mark.parametrize("kind", ["noise", "strength"])
def test_a_start_in_noise_has_one_noise_for_all_levels(tiny, task, kind):
    run = prepared(tiny, task, kind, strength=0.6, seeds=(3, 4))
    start = started(run)
    noise = torch.stack(
        [torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in (3, 4)]
    )
    assert len(start.source) == run.solver.n_exec + 1 == 4
    assert start.residuals == ()
    for z, a in zip(start.source[:-1], levels(run), strict=False):
        assert torch.allclose(z, a**0.5 * run.z_src + (1 - a) ** 0.5 * noise, atol=1e-5)
    assert torch.equal(start.source[-1], run.z_src.expand(2, -1, -1, -1))
    assert not torch.equal(start.noise.draw(), noise)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_ddim_inversion_is_the_formula_from_the_last_level_up(task, prediction, spacing):
    backbone = tiny_backbone(prediction_type=prediction)
    named = replace(task, source_prompt="mild edema")
    run = prepared(backbone, named, "ddim", seeds=(1, 2), spacing=spacing)
    heard = []
    start = started(run, heard.append)
    assert heard == [{"stage": "invert", "step": i + 1, "total": 5} for i in range(5)]
    assert start.residuals == ()
    a, z = levels(run), run.z_src
    assert torch.equal(start.source[5], z.expand(2, -1, -1, -1))
    for i in reversed(range(5)):
        e = predicted(backbone, z, run.solver.timesteps[i], "mild edema")
        if prediction == "v_prediction":
            x0 = a[i + 1] ** 0.5 * z - (1 - a[i + 1]) ** 0.5 * e
            e = a[i + 1] ** 0.5 * e + (1 - a[i + 1]) ** 0.5 * z
        else:
            x0 = (z - (1 - a[i + 1]) ** 0.5 * e) / a[i + 1] ** 0.5
        z = a[i] ** 0.5 * x0 + (1 - a[i]) ** 0.5 * e
        assert start.source[i].shape == (2, 4, 16, 16)
        assert torch.allclose(start.source[i], z.expand(2, -1, -1, -1), atol=2e-4), i


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_a_constant_prediction_is_inverted_and_sampled_back_exactly(tiny, task, spacing):
    """Inversion and solver agree on every level, the last one too."""
    run = prepared(tiny, task, "ddim", steps=6, spacing=spacing)
    e = torch.randn(run.z_src.shape, generator=torch.Generator().manual_seed(2))
    points = ddim_inversion(run, lambda z, i: e)
    z = points[0]
    for i in range(6):
        z = run.solver.step(e, i, z)
        assert torch.allclose(z, points[i + 1], atol=1e-3)
    assert torch.allclose(z, run.z_src, atol=1e-4)


@pytest.mark.parametrize("until", [0.5, 1.0])
def test_an_edit_friendly_inversion_replays_the_guided_prediction_of_the_source(tiny, task, until):
    named = replace(task, source_prompt="mild edema", negative_prompt="normal chest")
    run = prepared(
        tiny,
        named,
        "edit_friendly",
        strength=0.8,
        guidance_scale=3.0,
        cfg_until=until,
        eta_ddim=0.6,
    )
    start = started(run)
    generator = torch.Generator().manual_seed(1)
    a, n = levels(run), run.solver.n_exec
    points = []
    for i in range(n):
        noise = torch.randn(4, 16, 16, generator=generator)[None]
        points.append(a[i] ** 0.5 * run.z_src + (1 - a[i]) ** 0.5 * noise)
    points.append(run.z_src)
    assert n == len(start.residuals) == 4
    for i, z in enumerate(points[:-1]):
        assert torch.allclose(start.source[i], z, atol=1e-5)
        t = run.solver.timesteps[i]
        e = predicted(tiny, z, t, "mild edema")
        if i < until * n:
            other = predicted(tiny, z, t, "normal chest")
            e = other + 3.0 * (e - other)
        variance = 0.36 * (1 - a[i + 1]) / (1 - a[i]) * (1 - a[i] / a[i + 1])
        x0 = (z - (1 - a[i]) ** 0.5 * e) / a[i] ** 0.5
        mean = a[i + 1] ** 0.5 * x0 + (1 - a[i + 1] - variance) ** 0.5 * e
        assert torch.allclose(start.residuals[i], points[i + 1] - mean, rtol=1e-3, atol=2e-3), i
        assert torch.allclose(start.step(run.solver, e, i, z), points[i + 1], rtol=1e-3, atol=2e-3)


def test_a_stochastic_solver_draws_fresh_noise_and_another_none(tiny, task):
    for eta in (0.0, 0.5):
        run = prepared(tiny, task, "strength", eta_ddim=eta, strength=1.0)
        start = started(run)
        twin = Noise(run.seeds, (4, 16, 16), "cpu")
        twin.draw()
        e = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(9))
        z = start.step(run.solver, e, 0, start.source[0])
        noise = twin.draw() if eta else None
        again = prepared(tiny, task, "strength", eta_ddim=eta, strength=1.0).solver
        assert torch.equal(z, again.step(e, 0, start.source[0], noise=noise))


@pytest.mark.parametrize(
    ("parts", "prompts", "passes"),
    [
        ({}, ("", ""), 1),
        ({}, ("mild edema", ""), 2),
        ({}, ("mild edema", "mild edema"), 1),
        ({"gate": {"mode": "keys", "renorm": False}}, ("", ""), 1),
        ({"gate": {"mode": "keys", "renorm": False, "branches": "cond"}}, ("", ""), 2),
        ({"anatomy": {"strength": 0.5}}, ("same", "same"), 2),
        ({"gate": {"mode": "dense", "lam": 0.5}}, ("same", "same"), 2),
        ({"sampling": {"guidance_scale": 1.0}}, ("mild edema", ""), 1),
    ],
    ids=str,
)
def test_a_second_pass_is_made_only_where_it_can_differ(tiny, task, parts, prompts, passes):
    source, negative = prompts
    words = {"source_prompt": source, "negative_prompt": negative, "organ_tokens": {2: "left_lung"}}
    if source == "same":  # words of the run act in the inversion: both prompts are the target
        words |= {"source_prompt": task.prompt, "negative_prompt": task.prompt}
    config = BARE.with_overrides(
        {
            "start": {"kind": "edit_friendly", "strength": 1.0},
            "sampling": {"steps": 2, "cfg_until": 1},
        }
    ).with_overrides(parts)
    run = prepare(tiny, replace(task, **words), config, seeds=(1,))
    meter = Meter(tiny)
    with meter.counting():
        begin(run, Noise((1,), (4, 16, 16), "cpu"), meter)
    assert meter.calls["inversion"] == 2 * passes
