# SPDX-License-Identifier: Apache-2.0
"""Steps, windows and solver levels are exact (docs/method.md 2.1)."""

from fractions import Fraction
from math import ceil, floor

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

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
from monai_cxr_cf.presets import DEFAULT, FAST, PAPER, n_executed
from tests.diffusion.small import EVERY

PERCENT = range(1, 101)


def test_executed_steps_equal_rational_arithmetic() -> None:
    for n in range(1, 101):
        for p in PERCENT:
            whole = floor(Fraction(p, 100) * n)
            if whole:
                assert n_executed(p / 100, n) == whole, (n, p)
            else:
                with pytest.raises(BadRequest, match="less than one step"):
                    n_executed(p / 100, n)
    assert n_executed(0.0, 50) == 0


def test_early_and_late_windows_equal_rational_arithmetic() -> None:
    for n in range(1, 101):
        for p in PERCENT:
            mu = Fraction(p, 100)
            early = [i for i in range(n) if i < ceil(mu * n)]
            late = [i for i in range(n) if n - i < mu * n]
            assert list(boost_window(p / 100, n)) == early, (n, p)
            assert list(boost_window(p / 100, n, side="late")) == late, (n, p)
            assert early, "the early window is never empty"


def test_windows_count_executed_steps_and_ignore_strength() -> None:
    full, part = n_executed(1.0, 50), n_executed(0.6, 50)
    assert list(boost_window(0.4, full)) == list(range(20))
    assert len(boost_window(0.4, full, side="late")) == 19  # the literal sign is strict
    assert list(boost_window(0.4, part)) == list(range(12))
    assert len(boost_window(1e-12, 10)) == 1
    assert not boost_window(0.0, 10)


def test_fractions_of_the_run_equal_rational_arithmetic() -> None:
    for n in (1, 14, 20, 25, 50, 100):
        for p in PERCENT:
            assert interval(0, p / 100, n).stop == ceil(Fraction(p, 100) * n)


@pytest.mark.parametrize(("config", "guided"), [(PAPER, 50), (DEFAULT, 14), (EVERY, 11), (FAST, 6)])
def test_presets_guide_the_stated_number_of_steps(config, guided) -> None:
    n_exec = n_executed(config.start.strength, config.sampling.steps)
    assert len(guided_steps(config, n_exec)) == guided


def test_guidance_that_misses_the_boost_window_is_refused() -> None:
    late = EVERY.with_overrides({"boost": {"side": "late"}})
    with pytest.raises(BadRequest, match="must reach the end of the window"):
        guided_steps(late, 14)
    after = EVERY.with_overrides({"sampling": {"cfg_from": 0.5}})  # the window is steps 0 to 5
    with pytest.raises(BadRequest, match="must reach the end of the window"):
        guided_steps(after, 14)
    inside = EVERY.with_overrides({"sampling": {"cfg_from": 0.2}})
    assert guided_steps(inside, 14) == range(3, 11), "a window may begin before guidance does"
    idle = {"boost": {"side": "late", "eta": 0.0}, "correct": {"alpha_max": 0.0}}
    assert len(guided_steps(EVERY.with_overrides(idle), 14)) == 11
    assert not guided_steps(late.with_overrides({"sampling": {"guidance_scale": 1.0}}), 14)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_timesteps_equal_diffusers_wherever_it_counts_right(spacing) -> None:
    scheduler = DDIMScheduler(**SD1_SCHEDULER, timestep_spacing=spacing)
    wrong = []
    for n in range(1, 1001):
        ours = all_timesteps(n, spacing=spacing, offset=1)
        assert len(ours) == n
        assert ours == sorted(set(ours), reverse=True)
        assert 0 <= ours[-1] < ours[0] + 1 <= 1000
        scheduler.set_timesteps(n)
        theirs = scheduler.timesteps.tolist()
        if len(theirs) != n or max(theirs) > 999:
            wrong.append(n)  # float arithmetic gave one step too many, or one beyond the training
        else:  # a tie may be rounded the other way
            assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1
            assert ours == theirs or 1000 % n
    assert wrong[:1] == ([1000] if spacing == "leading" else [61])


def test_first_level_of_the_paper_preset_is_981() -> None:
    solver = Solver(PAPER, SD1_SCHEDULER)
    assert solver.timesteps[0] == 981
    assert solver.timesteps[19] == 601
    assert solver.alpha_bar(0) == pytest.approx(0.0058, abs=5e-5)
    assert solver.alpha_bar(19) == pytest.approx(0.160, abs=5e-4)
    assert solver.alpha_bar(50) == 1.0


def test_strength_runs_the_tail_of_the_schedule() -> None:
    solver = Solver(PAPER.with_overrides({"start": {"strength": 0.6}}), SD1_SCHEDULER)
    assert solver.timesteps[0] == 581
    assert len(solver.timesteps) == 30


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    "config",
    [
        PAPER,
        EVERY,
        PAPER.with_overrides({"sampling": {"spacing": "trailing", "steps": 7}}),
        PAPER.with_overrides({"sampling": {"spacing": "trailing", "steps": 600}}),
        EVERY.with_overrides({"sampling": {"spacing": "leading", "steps": 33}}),
    ],
    ids=["ddim", "dpmpp", "trailing 7", "trailing 600", "dpmpp leading"],
)
def test_a_perfect_prediction_is_denoised_to_the_source(config, prediction) -> None:
    """The prediction type of the backbone is respected: with the true e, z_0 comes back."""
    solver = Solver(
        config, {**SD1_SCHEDULER, "prediction_type": prediction, "set_alpha_to_one": True}
    )
    noise = Noise((1,), (4, 8, 8), "cpu").draw()
    z_src = Noise((2,), (4, 8, 8), "cpu").draw()
    z = solver.noised(z_src, noise, 0)
    for i in range(solver.n_exec):
        a = torch.tensor(solver.alpha_bar(i))
        e = noise if prediction == "epsilon" else a**0.5 * noise - (1 - a) ** 0.5 * z_src
        z = solver.step(e, i, z)
        assert torch.allclose(z, solver.noised(z_src, noise, i + 1), atol=1e-3)


def test_multistep_run_equals_plain_diffusers() -> None:
    """Strength truncation starts the solver in the middle, with order 1 first and last."""
    ours = Solver(EVERY, SD1_SCHEDULER)
    plain = DPMSolverMultistepScheduler(
        **{k: v for k, v in SD1_SCHEDULER.items() if k not in ("set_alpha_to_one", "clip_sample")},
        timestep_spacing="trailing",
    )
    plain.set_timesteps(20)
    plain.set_begin_index(6)
    generator = torch.Generator().manual_seed(0)
    a = b = torch.randn(1, 4, 8, 8, generator=generator)
    for i, t in enumerate(plain.timesteps[6:]):
        e = torch.randn(1, 4, 8, 8, generator=generator)
        a, b = ours.step(e, i, a), plain.step(e, t, b).prev_sample
        assert torch.equal(a, b)
    assert i == ours.n_exec - 1


def test_every_step_count_gives_finite_latents() -> None:
    for solver_name in ("ddim", "dpmpp"):
        for spacing in ("leading", "trailing"):
            for n in (1, 2, 3, 7, 61, 999, 1000):
                part = {"solver": solver_name, "steps": n, "spacing": spacing}
                solver = Solver(PAPER.with_overrides({"sampling": part}), SD1_SCHEDULER)
                z = torch.ones(1, 4, 2, 2)
                for i in range(solver.n_exec):
                    z = solver.step(z * 0.1, i, z)
                assert torch.isfinite(z).all(), part


def test_noise_of_a_seed_does_not_depend_on_its_batch() -> None:
    together, alone = Noise((3, 4), (4, 2, 2), "cpu"), Noise((4,), (4, 2, 2), "cpu")
    for _ in range(3):
        assert torch.equal(together.draw()[1:], alone.draw())
