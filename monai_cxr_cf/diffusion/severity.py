# SPDX-License-Identifier: Apache-2.0
"""The severity dial (docs/method.md 4): a series of levels λ from the source, 0, to the edit, 1.

``blend`` draws latents between the two; ``guidance`` samples every level anew, with the same seeds
and noise, and what guidance adds times λ.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.guidance import rms_of, scales_of
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.sample import SampledLevels, Samples, Scaled, sample
from monai_cxr_cf.diffusion.task import EditTask, Progress
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig

NOISY_STARTS = ("noise", "strength")  # what they redraw shows at every level but 0


def blended(z_src: Tensor, z: Tensor, levels: Sequence[float]) -> Tensor:
    """One latent per level λ: z_src + λ (z0' - z_src), (L, 4, h, w).

    ``z_src`` and ``z`` (1, 4, h, w). 0 is the source and 1 the edit, bit for bit.

    Raises:
        BadRequest: a level outside 0..1, or more than one edit.
    """
    check_levels(levels)
    if len(z) != 1:
        raise BadRequest(f"A severity series has one seed; got {len(z)}.")
    exact = {0.0: z_src, 1.0: z}
    return torch.cat([exact.get(float(v), z_src + v * (z - z_src)) for v in levels])


def members(samples: Samples, levels: Sequence[float]) -> tuple[list[str], Tensor]:
    """Label and latent of every member of a series: seeds, and levels within each."""
    found = samples.levels
    labels = [
        f"seed {seed}, severity {level:.2f}{in_words(found.doses, level) if found else ''}"
        for seed in samples.seeds
        for level in levels
    ]
    if found is None:
        return labels, torch.cat([blended(samples.z_src, z[None], levels) for z in samples.z])
    rows = range(len(samples.seeds))
    return labels, torch.stack([found.z[float(v)][n] for n in rows for v in levels])


def in_words(doses: Sequence[Scaled], level: float) -> str:
    """Such as ", sampled at guidance 3.5 of 7"; doses that differ follow each other."""
    parts = dict.fromkeys(f"{name} {level * value:.3g} of {value:.3g}" for name, value in doses)
    return f", sampled at {' and '.join(parts)}"


def scaled(task: EditTask, config: EditConfig) -> tuple[Scaled, ...]:
    """What a level scales, finding by finding: the RMS that guidance adds if that rules, or s."""
    pairs = zip(rms_of(task, config), scales_of(task, config), strict=True)
    return tuple(("guidance RMS", rms) if rms else ("guidance", scale) for rms, scale in pairs)


def sample_levels(
    backbone: Backbone,
    task: EditTask,
    config: EditConfig,
    *,
    seeds: Sequence[int],
    levels: Sequence[float],
    progress: Progress | None = None,
) -> Samples:
    """A run for every level above 0, from the same seeds and noise, and so from one inversion.

    Level 1 is the plain edit and level 0 the source, bit for bit; the latter runs nothing. The
    result, with its trace, is the run of the highest level; its cost is that of all runs.

    Args:
        progress: told of the steps of all runs as one count; may raise to cancel.

    Raises:
        BadRequest: a level outside 0..1; and what ``sample`` refuses.
    """
    check_levels(levels)
    asked = sorted({float(level) for level in levels if level > 0}, reverse=True)
    count = Count(progress, runs=len(asked))
    runs: dict[float, Samples] = {}
    for level in asked:
        with count.run() as step:
            runs[level] = sample(backbone, task, config, seeds=seeds, progress=step, level=level)
    if not runs:  # the source alone
        still = config.with_overrides({"start": {"strength": 0.0}})
        return _series(sample(backbone, task, still, seeds=seeds), {}, scaled(task, config))
    return _series(runs[asked[0]], runs, scaled(task, config))


class Count:
    """Steps of several like runs as those of one; inversions after the first are recalled."""

    def __init__(self, progress: Progress | None, *, runs: int) -> None:
        self._progress, self._runs, self._done = progress, runs, 0
        self._last: Mapping[str, Any] = {}

    @contextmanager
    def run(self) -> Iterator[Progress | None]:
        """What one run may call."""
        yield None if self._progress is None else self._tell
        self._done += 1

    def _tell(self, event: Mapping[str, Any]) -> None:
        """An inversion of a later run repeats the last event, so that it can be cancelled."""
        if event["stage"] == "sample":
            step, total = int(event["step"]), int(event["total"])
            self._last = {**event, "step": self._done * total + step, "total": self._runs * total}
        elif not self._done:
            self._last = event
        if self._progress is not None:
            self._progress(self._last)


def notes(config: EditConfig, levels: Sequence[float]) -> tuple[tuple[str, str], ...]:
    """(code, message): what a sampled series shows besides the severity."""
    if config.start.kind not in NOISY_STARTS or not any(0 < level < 1 for level in levels):
        return ()
    words = (
        f"The severities are sampled from a noised source (start.kind {config.start.kind}): every "
        "level but 0 also shows what the noise alone draws anew. An inversion has none of that "
        "(--start-kind edit_friendly)."
    )
    return (("levels_from_noise", words),)


def check_levels(levels: Sequence[float]) -> None:
    """BadRequest unless there are levels and all lie in 0..1."""
    wrong = [v for v in levels if not 0 <= v <= 1]
    if wrong or not levels:
        raise BadRequest(f"Severity levels are {list(levels)}; expected some values from 0 to 1.")


def _series(top: Samples, runs: Mapping[float, Samples], doses: tuple[Scaled, ...]) -> Samples:
    """``top`` with the latents of all levels beside it, and the cost of all runs in its trace."""
    z = {level: one.z for level, one in runs.items()}
    z[0.0] = top.z_src.expand_as(top.z)
    told = [
        {
            "level": level,
            "guidance": [level * value for _, value in doses],
            "f": one.trace["cost"]["f"]["total"],
        }
        for level, one in sorted(runs.items())
    ]
    trace = _summed(top.trace, [one.trace for one in runs.values()]) if runs else top.trace
    return replace(
        top, levels=SampledLevels(z, doses), trace={**trace, "severities": {"runs": told}}
    )


def _summed(trace: Mapping[str, Any], traces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A trace whose cost and resources are those of all ``traces``."""
    costs = [one["cost"] for one in traces]
    f = {part: sum(cost["f"][part] for cost in costs) for part in costs[0]["f"]}
    images = sum(cost["images"] for cost in costs)
    kinds = sorted({kind for cost in costs for kind in cost["calls"]})
    calls = {kind: sum(cost["calls"].get(kind, 0) for cost in costs) for kind in kinds}
    per_image = {"images": images, "f_per_image": f["total"] / images}
    found = [one["resources"] for one in traces]
    spent = {key: round(sum(one[key] for one in found), 3) for key in ("wall_s", "recalled_f")}
    return {
        **trace,
        "cost": {**trace["cost"], **per_image, "f": f, "calls": calls},
        "resources": {**trace["resources"], **spent},
    }
