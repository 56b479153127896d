# SPDX-License-Identifier: Apache-2.0
"""Where sampling begins (docs/method.md 2.6): noise, strength, DDIM or edit-friendly inversion.

The loop takes the start latent, the source at every level (for the paste) and, after an
edit-friendly inversion, what each step must add to come back to the source.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.denoise import Denoiser
from monai_cxr_cf.diffusion.guidance import both_gated
from monai_cxr_cf.diffusion.model.recall import recalled
from monai_cxr_cf.diffusion.prepare import Prepared, inversion_plan
from monai_cxr_cf.diffusion.steps import Noise, Solver
from monai_cxr_cf.diffusion.task import Progress

Predict = Callable[[Tensor, int], Tensor]  # (z, i) -> prediction of the source prompt at t_i


@dataclass(frozen=True)
class Trajectory:
    """The start of a run and what is known of the way.

    Attributes:
        source: z_src@t_i for i = 0..n_exec, each (N, 4, h, w); the last is the clean z_src.
        noise: where a stochastic solver draws from.
        residuals: per step x_{t_{i+1}} - mean_i, to be added to the solver's mean; or empty.
    """

    source: tuple[Tensor, ...]
    noise: Noise
    residuals: tuple[Tensor, ...] = ()

    def step(self, solver: Solver, e: Tensor, i: int, z: Tensor) -> Tensor:
        """The solver's step, with fresh noise or the replayed residual where it needs one."""
        if self.residuals:
            return solver.step(e, i, z) + self.residuals[i]
        return solver.step(e, i, z, noise=self.noise.draw() if solver.stochastic else None)


def begin(
    run: Prepared, noise: Noise, meter: Meter, *, progress: Progress | None = None
) -> Trajectory:
    """The start that ``start.kind`` asks for; z at t_0 is ``source[0]``.

    ``noise`` and ``strength``: z = √ᾱ z_src + √(1-ᾱ) ε at t_0 (Eq. 2), the same ε at every level.
    Inversions run under the source prompt and ``inversion_plan``; ``ddim`` ignores the seeds.
    """
    kind, n = run.config.start.kind, len(run.seeds)
    if kind in ("noise", "strength") or not run.solver.n_exec:
        epsilon = noise.draw()
        levels = range(run.solver.n_exec + 1)
        return Trajectory(tuple(run.solver.noised(run.z_src, epsilon, i) for i in levels), noise)
    run = replace(run, plan=inversion_plan(run))
    with meter.during("inversion"), controlled(run.backbone.unet, run.plan) as control:
        predict = SourcePrediction(Denoiser(run, control, meter), progress)
        if kind == "ddim":
            points = ddim_inversion(run, predict)
            return Trajectory(tuple(p.expand(n, -1, -1, -1) for p in points), noise)
        points, residuals = edit_friendly_inversion(run, noise, predict)
    return Trajectory(tuple(points), noise, tuple(residuals))


class SourcePrediction:
    """Prediction of the source prompt: alone for DDIM, guided as in the run for edit-friendly.

    ``others``: branches that say something else than the source does, by their words or by laws
    that act on one branch alone; without any, guidance changes nothing and costs no pass.
    """

    def __init__(self, denoise: Denoiser, progress: Progress | None) -> None:
        self.denoise, self.progress, self.done = denoise, progress, 0
        run = denoise.run
        self.laws = _laws(run)
        alike = not (run.plan.gains or run.plan.shifts) and both_gated(run.config)
        texts = {"source": run.task.source_prompt, "negative": run.task.negative_prompt}
        self.others = tuple(
            branch
            for branch in dict.fromkeys((*run.level.references, *run.guidance.references))
            if not (alike and texts[branch] == run.task.source_prompt)
        )

    def __call__(self, z: Tensor, i: int) -> Tensor:
        """e at t_i, (N, 4, h, w); other passes only where guidance would change anything."""
        run = self.denoise.run
        e = self._branch(z, i, "cond", "source")
        if run.config.start.kind == "edit_friendly" and self.others:
            wanted = run.others(i)
            others = {b: self._branch(z, i, b, b) for b in wanted if b in self.others}
            e = run.combined(e, {b: others.get(b, e) for b in wanted}, i)
        self.done += 1
        if self.progress is not None:
            self.progress({"stage": "invert", "step": self.done, "total": run.solver.n_exec})
        return e

    def _branch(self, z: Tensor, i: int, branch: str, text: str) -> Tensor:
        denoise, states = self.denoise, self.denoise.run.states[text]
        denoise.switch(i, branch, edits=False)
        reads = (
            z,
            denoise.run.solver.timesteps[i],
            states,
            self.laws,
            branch,
            denoise.control.gate,
        )
        with denoise.meter.expecting("inversion", items=len(z)):
            return recalled(
                denoise.run.backbone, "inversion", reads, lambda: denoise.forward(z, i, text)
            )


def _laws(run: Prepared) -> tuple[Any, ...]:
    """All that an inversion's plan adds to the UNet: what a prediction depends on besides z."""
    plan = run.plan
    source = plan.source_states if plan.regional else None
    return plan.config.gate, plan.gates, plan.gains, plan.shifts, plan.regional, source


def ddim_inversion(run: Prepared, predict: Predict) -> list[Tensor]:
    """Levels t_0 .. t_{n_exec} of the source, t_{n_exec} being z_src; n_exec F.

    Upwards from z_src: x0 = (z_t - √(1-ᾱ_t) e) / √ᾱ_t; z_{t+} = √ᾱ_{t+} x0 + √(1-ᾱ_{t+}) e, with
    e predicted at the timestep of z_{t+}, as the sampling step back down will.
    """
    solver, z = run.solver, run.z_src
    points = [z]
    for i in reversed(range(solver.n_exec)):
        a = solver.final_alpha_bar if i + 1 == solver.n_exec else solver.alpha_bar(i + 1)
        b = solver.alpha_bar(i)
        e = predict(z, i)
        if run.backbone.prediction_type == "v_prediction":
            e = a**0.5 * e + (1 - a) ** 0.5 * z
        x0 = (z - (1 - a) ** 0.5 * e) / a**0.5
        z = b**0.5 * x0 + (1 - b) ** 0.5 * e
        points.append(z)
    return points[::-1]


def edit_friendly_inversion(
    run: Prepared, noise: Noise, predict: Predict
) -> tuple[list[Tensor], list[Tensor]]:
    """Points x_{t_i} with independent noise per level, and the residuals that lead through them.

    Replaying std_i ((x_{t_{i+1}} - mean_i) / std_i) is adding x_{t_{i+1}} - mean_i: kept as that
    difference, the last step, whose std is 0, is exact as well.
    """
    solver = Solver(run.config, run.backbone.scheduler_config)
    points = [solver.noised(run.z_src, noise.draw(), i) for i in range(solver.n_exec)]
    points.append(run.z_src.expand_as(points[0]))
    residuals = [
        points[i + 1] - solver.step(predict(points[i], i), i, points[i])
        for i in range(solver.n_exec)
    ]
    return points, residuals
