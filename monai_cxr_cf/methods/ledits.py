# SPDX-License-Identifier: Apache-2.0
"""LEDITS++ (arXiv 2311.16711): SDE-DPM-Solver++ inverted exactly, guidance in automatic masks."""

from collections.abc import Sequence
from math import exp, expm1, log

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cxr_cf.catalogue.settings import Ledits
from monai_cxr_cf.diffusion.model.text import end_of
from monai_cxr_cf.methods.frame.attention import hooked
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.maps import Maps, coarse_layers, mean_map, smoothed
from monai_cxr_cf.methods.frame.schedule import Level, noised

LATE = 800  # timesteps from which the second mask counts


class Sde:
    """The mean of SDE-DPM-Solver++ of order 2 along some levels; of order 1 in the first step."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self.levels = levels
        self.before: Tensor | None = None  # data prediction of the step before

    def mean(self, z: Tensor, e: Tensor, n: int) -> Tensor:
        """μ at level n: (s'/s) e^-h z + α'(1 - e^-2h) (M + ½ (h / h_before) (M - M_before))."""
        level = self.levels[n]
        h = _half_log_snr(level.b) - _half_log_snr(level.a)
        data = (z - (1 - level.a) ** 0.5 * e) / level.a**0.5
        pushed = data
        if n and self.before is not None:
            h_before = _half_log_snr(level.a) - _half_log_snr(self.levels[n - 1].a)
            pushed = data + 0.5 * (h / h_before) * (data - self.before)
        self.before = data
        shrink = ((1 - level.b) / (1 - level.a)) ** 0.5 * exp(-h)
        mean: Tensor = shrink * z - level.b**0.5 * expm1(-2 * h) * pushed
        return mean


def ledits(bench: Bench, settings: Ledits) -> Tensor:
    """e = e_u + M s (e_c - e_u) along the noise of the inversion.

    A removal, of which the source's text names the finding, is guided away from that text.
    """
    levels = _levels(bench, settings)
    points, lacking = _inverted(bench, settings, levels)
    words, sign = concept(bench)
    z, solver, maps = points, Sde(levels), Maps()
    with hooked(bench.backbone.unet, coarse_layers(bench, mid=False), maps):
        for n, level in enumerate(bench.run(levels)):
            e_u = bench.predict(z, level.t, bench.task.negative_prompt)
            maps.on = True
            e_c = bench.predict(z, level.t, words)
            maps.on = False
            added = sign * settings.guidance * (e_c - e_u)
            if settings.masked:
                added = added * bench.mask()
            found = masks(bench, settings, (mean_map(maps.take()), added), words, level.t)
            z = solver.mean(z, e_u + found * added, n) + lacking[n]
    return z


def concept(bench: Bench) -> tuple[str, float]:
    """Words, and whether to go towards them or away."""
    task = bench.task
    if task.mode == "removal" and task.source_prompt:
        return task.source_prompt, -1.0
    return task.prompt, 1.0


def masks(
    bench: Bench, settings: Ledits, given: tuple[Tensor, Tensor], words: str, t: int
) -> Tensor:
    """M = M1 M2, (N, 1, h, w) of 0 and 1: where the words look, and from 800 on where they act.

    M1: the words' map, smoothed, from its quantile on; M2: Σ |s (e_c - e_u)| from its own on.
    ``as_published`` adds up all positions but the first and the last: words, end and padding.
    """
    attended, added = given
    last = bench.backbone.positions - 1 if settings.as_published else end_of(bench.backbone, words)
    plane = smoothed(attended[..., 1 : max(last, 2)].sum(-1))
    high = torch.quantile(plane.flatten(1), settings.threshold, dim=1)
    m = F.interpolate((plane >= high[:, None, None]).float()[:, None], bench.hw)
    if t > LATE:
        return m
    size = added.abs().sum(1, keepdim=True)
    high = torch.quantile(size.flatten(1), settings.threshold, dim=1)
    return m * (size >= high[:, None, None, None]).float()


def _levels(bench: Bench, settings: Ledits) -> list[Level]:
    """The last of the levels that are laid; after them the lowest of the schedule.

    One more is laid than asked for, in equal distances, and the lowest left out, as the scheduler
    of the published code has it: 34 of 30 steps, 953 to 29, of which 841 to 29 are run.
    """
    alphas, offset = bench.schedule.alphas, bench.schedule.offset
    apart = len(alphas) // (settings.laid + 1)
    times = [k * apart + offset for k in range(settings.steps, 0, -1)]
    following = [*(alphas[t] for t in times[1:]), alphas[0]]
    pairs = enumerate(zip(times, following, strict=True))
    return [Level(n, t, alphas[t], b) for n, (t, b) in pairs]


def _inverted(
    bench: Bench, settings: Ledits, levels: Sequence[Level]
) -> tuple[Tensor, list[Tensor]]:
    """The noisiest point, and what the mean of every step lacks; noise is drawn from below."""
    source, task = bench.task.source_prompt, bench.task
    points = [noised(bench.z0, bench.noise.draw(), level.a) for level in reversed(levels)][::-1]
    points.append(bench.z0.expand_as(points[0]))
    solver, lacking = Sde(levels), []
    for n, level in enumerate(bench.inverting(levels)):
        if source:
            e = bench.guided(points[n], level.t, settings.source_guidance, source)
        else:
            e = bench.predict(points[n], level.t, task.negative_prompt)
        lacking.append(points[n + 1] - solver.mean(points[n], e, n))
    return points[0], lacking


def _half_log_snr(a: float) -> float:
    """λ = log α - log s."""
    return 0.5 * (log(a) - log(1 - a))
