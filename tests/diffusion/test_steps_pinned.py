# SPDX-License-Identifier: Apache-2.0
"""Solver steps against the formulas, and what replay, spacing and the last level make of them."""

from fractions import Fraction
from math import ceil

import pytest
import torch

from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER
from monai_cxr_cf.diffusion.steps import (
    Noise,
    Solver,
    all_timesteps,
    boost_window,
    guided_steps,
    interval,
)
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import PAPER, n_executed
from tests.diffusion.small import EVERY

BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
ALPHAS = (1 - BETAS).cumprod(0)


def solver(base=PAPER, scheduler=SD1_SCHEDULER, *, kind="strength", strength=1.0, **sampling):
    parts = {"sampling": sampling, "start": {"kind": kind, "strength": strength}}
    return Solver(base.with_overrides(parts), scheduler)


# --- windows -------------------------------------------------------------------------------------


def test_an_interval_starts_and_stops_at_rational_fractions():
    for n in (1, 7, 14, 25, 50, 100):
        for p in range(101):
            for q in (p, 100):
                found = interval(p / 100, q / 100, n)
                inside = [i for i in range(n) if i >= Fraction(p, 100) * n and 100 * i < q * n]
                assert list(found) == inside
                assert found.start == ceil(Fraction(p, 100) * n)


def test_no_step_has_no_window():
    assert (n_executed(0.0, 20), n_executed(0.05, 20), n_executed(1.0, 1)) == (0, 1, 1)
    for side in ("early", "late"):
        assert list(boost_window(0.4, 0, side=side)) == []
        assert list(boost_window(0.0, 9, side=side)) == []
        assert list(boost_window(1.0, 3, side=side)) == ([0, 1, 2] if side == "early" else [1, 2])


def test_guidance_must_cover_the_window_of_the_boost_and_of_the_correction():
    short = EVERY.with_overrides({"sampling": {"cfg_until": 0.3}})
    for parts in ({"correct": {"alpha_max": 0.0}}, {"boost": {"eta": 0.0}}):
        with pytest.raises(BadRequest, match=r"covers steps 0-4 of 14 .* window is 0-5;"):
            guided_steps(short.with_overrides(parts), 14)
    idle = {"correct": {"alpha_max": 0.0}, "boost": {"eta": 0.0}}
    assert guided_steps(short.with_overrides(idle), 14) == range(5)
    with pytest.raises(BadRequest, match="covers steps none of 14"):
        guided_steps(EVERY.with_overrides({"sampling": {"cfg_until": 0.0}}), 14)
    exact = EVERY.with_overrides({"sampling": {"cfg_until": 0.4}})
    assert guided_steps(exact, 14) == range(6)
    assert guided_steps(exact.with_overrides({"sampling": {"guidance_scale": 1.5}}), 14) == range(6)


# --- timesteps -----------------------------------------------------------------------------------


def test_timesteps_by_hand():
    assert all_timesteps(4, spacing="leading") == [750, 500, 250, 0]
    assert all_timesteps(3, spacing="leading", offset=1) == [667, 334, 1]
    assert all_timesteps(3, spacing="leading", offset=500) == [999, 666, 333]
    assert all_timesteps(1, spacing="leading", offset=1) == [1]
    assert all_timesteps(1, spacing="trailing") == [999]
    assert all_timesteps(3, spacing="trailing") == [999, 666, 332]
    assert all_timesteps(2, spacing="trailing", train_steps=10, offset=3) == [9, 4]
    assert all_timesteps(10, spacing="leading", train_steps=10, offset=1) == list(range(9, -1, -1))


@pytest.mark.parametrize("steps", [0, -1, 11])
def test_more_steps_than_the_training_had_are_refused(steps):
    with pytest.raises(BadRequest, match="has 10 steps"):
        all_timesteps(steps, spacing="trailing", train_steps=10)


def test_what_a_scheduler_does_not_say_is_the_usual():
    bare = {k: v for k, v in SD1_SCHEDULER.items() if k not in ("steps_offset",)}
    assert solver(scheduler=bare, steps=4).timesteps == (750, 500, 250, 0)
    assert solver(steps=4).timesteps == (751, 501, 251, 1)
    bare.pop("num_train_timesteps")
    assert solver(scheduler=bare, steps=4, spacing="trailing").timesteps == (999, 749, 499, 249)


# --- levels --------------------------------------------------------------------------------------


def test_the_last_level_is_that_of_the_backbone_for_ddim_and_clean_for_the_others():
    """SD v1.5 ends DDIM at the first training level, not at 1: an inversion must start there."""
    assert SD1_SCHEDULER["set_alpha_to_one"] is False
    assert solver(steps=4).final_alpha_bar == pytest.approx(float(ALPHAS[0]), rel=1e-6)
    assert solver(steps=4).final_alpha_bar == pytest.approx(0.99915, abs=1e-6)
    clean = {**SD1_SCHEDULER, "set_alpha_to_one": True}
    assert solver(scheduler=clean, steps=4).final_alpha_bar == 1.0
    assert solver(EVERY, steps=4).final_alpha_bar == 1.0


def test_levels_and_noised_sources():
    run = solver(steps=4, strength=0.5)
    assert run.timesteps == (251, 1)
    assert (run.n, run.n_exec) == (4, 2)
    levels = [float(ALPHAS[251]), float(ALPHAS[1]), 1, 1]
    assert [run.alpha_bar(i) for i in range(4)] == pytest.approx(levels)
    z, noise = torch.randn(1, 4, 2, 2), torch.randn(3, 4, 2, 2)
    for i, t in enumerate(run.timesteps):
        expected = ALPHAS[t].sqrt() * z + (1 - ALPHAS[t]).sqrt() * noise
        assert torch.allclose(run.noised(z, noise, i), expected, atol=1e-6)
    assert torch.equal(run.noised(z, noise, 2), z.expand(3, -1, -1, -1))


# --- which solver --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "eta", "found"),
    [
        ("strength", "ddim", 0.0, ("ddim", False, 0.0)),
        ("strength", "ddim", 0.3, ("ddim", True, 0.3)),
        ("ddim", "ddim", 0.0, ("ddim", False, 0.0)),
        ("strength", "dpmpp", 0.3, ("dpmpp", False, 0.3)),
        ("edit_friendly", "ddim", 0.0, ("ddim", True, 1.0)),
        ("edit_friendly", "ddim", 0.3, ("ddim", True, 0.3)),
        ("edit_friendly", "dpmpp", 0.0, ("sde-dpmpp", True, 1.0)),
    ],
)
def test_a_replay_adds_noise_and_keeps_the_share_that_was_asked_for(kind, name, eta, found):
    run = solver(kind=kind, solver=name, eta_ddim=eta, steps=6)
    assert (run.name, run.stochastic, run.eta) == found
    if run.multistep:
        kinds = {"dpmpp": "dpmsolver++", "sde-dpmpp": "sde-dpmsolver++"}
        assert run.scheduler.config.algorithm_type == kinds[run.name]


def test_settings_of_pixel_models_and_other_sigmas_are_not_taken_over():
    odd = {
        **SD1_SCHEDULER,
        "clip_sample": True,
        "thresholding": True,
        "use_karras_sigmas": True,
        "solver_order": 3,
        "lower_order_final": False,
        "final_sigmas_type": "sigma_min",
    }
    for base in (PAPER, EVERY):
        config = solver(base, odd, steps=6).scheduler.config
        assert not config.thresholding
    assert not solver(PAPER, odd, steps=6).scheduler.config.clip_sample
    assert not config.use_karras_sigmas
    assert (config.solver_order, config.lower_order_final) == (2, True)
    assert config.final_sigmas_type == "zero"


# --- the step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize(
    ("kind", "eta"), [("strength", 0.0), ("strength", 0.4), ("edit_friendly", 0)]
)
def test_a_ddim_step_is_the_formula_at_every_level(kind, eta, spacing):
    """DDIM with its share of noise, from t_i to t_{i+1}; the last step lands on the last level."""
    run = solver(kind=kind, spacing=spacing, eta_ddim=eta, steps=7)
    eta = 1.0 if kind == "edit_friendly" else eta
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 4, 3, 3, generator=generator)
    for i, t in enumerate(run.timesteps):
        e, noise = torch.randn(2, 2, 4, 3, 3, generator=generator)
        a = ALPHAS[t]
        b = ALPHAS[run.timesteps[i + 1]] if i + 1 < 7 else ALPHAS[0]
        sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).sqrt()
        x0 = (z - (1 - a).sqrt() * e) / a.sqrt()
        mean = b.sqrt() * x0 + (1 - b - sigma**2).clamp_min(0).sqrt() * e
        given = noise if i % 2 else None
        found = run.step(e, i, z, noise=given)
        z = mean + sigma * noise if i % 2 else mean
        assert torch.allclose(found, z, rtol=1e-4, atol=1e-4), i


def test_noise_is_that_of_one_generator_for_each_seed():
    noise = Noise((5, 6), (4, 2, 3), "cpu")
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    for _ in range(2):
        drawn = noise.draw()
        assert drawn.shape == (2, 4, 2, 3)
        for one, generator in zip(drawn, generators, strict=True):
            assert torch.equal(one, torch.randn(4, 2, 3, generator=generator))
