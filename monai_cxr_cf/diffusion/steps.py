# SPDX-License-Identifier: Apache-2.0
"""Which timesteps a run executes, which law acts when (docs/method.md 2.1), and the solver step.

``sample`` asks here for t_i, windows and levels; the update itself is diffusers' DDIM or DPM++2M
scheduler. Counts are exact: fractions are compared with a tolerance of 1e-9, never truncated.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from monai_cxr_cf.diffusion.model.schedule import noise_schedule
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import TINY, EditConfig, n_executed


def boost_window(mu: float, n_exec: int, *, side: str = "early") -> range:
    """Executed steps i of the window of Eq. 6 and 9.

    ``early``: i < ceil(mu n_exec), never empty for mu > 0. ``late`` (literal t < mu T):
    n_exec - i < mu n_exec, possibly empty.
    """
    if mu <= 0:
        return range(0)
    if side == "early":
        return range(max(1, ceil(mu * n_exec - TINY)) if n_exec else 0)
    return range(n_exec - max(0, ceil(mu * n_exec - TINY) - 1), n_exec)


def interval(start: float, stop: float, n_exec: int) -> range:
    """Executed steps ceil(start n_exec) <= i < ceil(stop n_exec)."""
    return range(ceil(start * n_exec - TINY), ceil(stop * n_exec - TINY))


def guided_steps(config: EditConfig, n_exec: int) -> range:
    """Executed steps with classifier-free guidance.

    Raises:
        BadRequest: guidance ends before the boost or the correction does, or starts after it.
    """
    part = config.sampling
    if part.guidance_scale == 1 and not part.guidance_rms and part.guidance_map == "uniform":
        return range(0)
    guided = interval(config.sampling.cfg_from, config.sampling.cfg_until, n_exec)
    window = boost_window(config.boost.mu, n_exec, side=config.boost.side)
    acts = config.boost.eta > 0 or config.correct.alpha_max > 0
    if acts and window and not (guided and guided.start < window.stop <= guided.stop):
        raise BadRequest(
            f"Guidance covers steps {_said(guided)} of {n_exec} and the boost window is "
            f"{_said(window)}; guidance must reach the end of the window.",
            hint="Raise sampling.cfg_until, lower sampling.cfg_from, or shrink boost.mu.",
        )
    return guided


def _said(steps: range) -> str:
    return f"{steps[0]}-{steps[-1]}" if steps else "none"


def all_timesteps(
    steps: int, *, spacing: str, train_steps: int = 1000, offset: int = 0
) -> list[int]:
    """The n timesteps of the whole schedule, falling; exact integers.

    Equal to diffusers' wherever its float arithmetic yields n of them (it yields n + 1, the last
    one -1, for trailing n = 61, 103, 121 ...). ``leading``: multiples of floor(T/n), plus offset.
    """
    if not 1 <= steps <= train_steps:
        raise BadRequest(f"sampling.steps is {steps}; the backbone has {train_steps} steps.")
    if spacing == "leading":
        ratio = train_steps // steps
        offset = min(offset, train_steps - 1 - (steps - 1) * ratio)
        return [(steps - 1 - k) * ratio + offset for k in range(steps)]
    return [round(train_steps - Fraction(k * train_steps, steps)) - 1 for k in range(steps)]


class Solver:
    """One run of a diffusers scheduler over the executed timesteps.

    Attributes:
        timesteps: t_i = τ_{n - n_exec + i}, i = 0..n_exec-1.
        stochastic: whether ``step`` needs noise (η_ddim > 0, or the SDE solver that an
            edit-friendly inversion uses).
    """

    def __init__(self, config: EditConfig, scheduler_config: Mapping[str, Any]) -> None:
        part, replay = config.sampling, config.start.kind == "edit_friendly"
        self.n = part.steps
        self.n_exec = n_executed(config.start.strength, part.steps)
        schedule = noise_schedule(scheduler_config)
        train_steps = int(schedule.get("num_train_timesteps", 1000))
        offset = int(scheduler_config.get("steps_offset") or 0)
        tau = all_timesteps(
            part.steps, spacing=part.spacing, train_steps=train_steps, offset=offset
        )
        self.timesteps = tuple(tau[self.n - self.n_exec :])
        self.multistep = part.solver == "dpmpp"
        # Replaying noise needs a solver that adds some: DDPM, or the stochastic DPM++.
        self.eta = part.eta_ddim if not replay or part.eta_ddim > 0 else 1.0
        self.stochastic = replay or (not self.multistep and self.eta > 0)
        to_one = bool(scheduler_config.get("set_alpha_to_one", True))
        self.scheduler = _scheduler(self.multistep, self.stochastic, schedule, to_one=to_one)
        if self.multistep:
            self.scheduler.set_timesteps(timesteps=tau)
            self.scheduler.set_begin_index(self.n - self.n_exec)
        else:
            self.scheduler.set_timesteps(self.n)
            self.scheduler.timesteps = torch.tensor(tau)
        clean = float(getattr(self.scheduler, "final_alpha_cumprod", 1.0))
        self.final_alpha_bar = 1.0 if self.multistep else clean  # where the last step lands

    @property
    def name(self) -> str:
        """Solver as traced: ddim, dpmpp or sde-dpmpp."""
        return ("sde-dpmpp" if self.stochastic else "dpmpp") if self.multistep else "ddim"

    def alpha_bar(self, i: int) -> float:
        """ᾱ at t_i; 1 after the last step (i = n_exec)."""
        if i >= self.n_exec:
            return 1.0
        return float(self.scheduler.alphas_cumprod[self.timesteps[i]])

    def noised(self, z_src: Tensor, noise: Tensor, i: int) -> Tensor:
        """z_src@t_i = √ᾱ z_src + √(1-ᾱ) ε at t_i (Eq. 2 for i = 0); z_src itself after the end."""
        if i >= self.n_exec:
            return z_src.expand_as(noise)
        alpha_bar = self.scheduler.alphas_cumprod[self.timesteps[i]].to(z_src.device)
        z: Tensor = alpha_bar**0.5 * z_src + (1 - alpha_bar) ** 0.5 * noise
        return z

    def step(self, e: Tensor, i: int, z: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """z at t_{i+1} from the prediction e at t_i; steps run in order, once each.

        ``noise``: (N, 4, h, w) unit noise for a stochastic solver; None takes its mean.
        """
        if noise is None:
            noise = torch.zeros_like(z)
        t, options = self.timesteps[i], {"variance_noise": noise, "return_dict": False}
        if not self.multistep:
            # diffusers' DDIM lands on t - floor(T / n), which is not t_{i+1} for trailing spacing
            # unless n divides T: tell it the true gap (after the last step: below 0, the end).
            following = self.timesteps[i + 1] if i + 1 < self.n_exec else -1
            self.scheduler.register_to_config(num_train_timesteps=t - following)
            self.scheduler.num_inference_steps = 1
            options["eta"] = self.eta
        following_z: Tensor = self.scheduler.step(e, t, z, **options)[0]
        return following_z


def _scheduler(
    multistep: bool, stochastic: bool, schedule: Mapping[str, Any], *, to_one: bool
) -> Any:
    """The diffusers scheduler on the backbone's noise schedule; all else about it is ours.

    Latents are never clipped or thresholded: those settings belong to pixel models. ``to_one``:
    the last DDIM step lands on the clean latent, not on the schedule's first level.
    """
    if not multistep:
        return DDIMScheduler(**schedule, clip_sample=False, set_alpha_to_one=to_one)
    return DPMSolverMultistepScheduler(
        **schedule,
        solver_order=2,
        lower_order_final=True,
        final_sigmas_type="zero",
        algorithm_type="sde-dpmsolver++" if stochastic else "dpmsolver++",
    )


class Noise:
    """Unit noise per image: one CPU generator per seed, so a batch draws what each draws alone."""

    def __init__(self, seeds: tuple[int, ...], shape: tuple[int, ...], device: Any) -> None:
        self.generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self.shape, self.device = shape, device

    def draw(self) -> Tensor:
        """The next (N, *shape) float32 noise."""
        drawn = [torch.randn(self.shape, generator=g) for g in self.generators]
        return torch.stack(drawn).to(self.device)
