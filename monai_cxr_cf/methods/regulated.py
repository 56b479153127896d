# SPDX-License-Identifier: Apache-2.0
"""The regulated sampler as a method: the loop, and the search for a strength around it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from monai_cxr_cf.diffusion.backbone import Backbone
from monai_cxr_cf.diffusion.render import render
from monai_cxr_cf.diffusion.sample import Progress, Samples, sample
from monai_cxr_cf.diffusion.strength import Search, auto_strength, region_ssim
from monai_cxr_cf.diffusion.task import EditTask
from monai_cxr_cf.presets import EditConfig


def regulated(
    backbone: Backbone,
    task: EditTask,
    config: EditConfig,
    *,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Samples:
    """Presets ``paper``, ``default`` and ``fast``.

    With ``start.auto_ssim`` the strength is found by bisection to that SSIM between the decoded
    edit and the decoded source over region and band; the trace lists every evaluation and its
    cost is the sum over all of them.
    """
    target = config.start.auto_ssim
    if target == 0 or config.start.strength == 0:
        return sample(backbone, task, config, seeds=seeds, progress=progress)

    def evaluate(strength: float) -> tuple[float, Samples]:
        start = replace(config.start, strength=strength)
        one = replace(config, start=start)
        samples = sample(backbone, task, one, seeds=seeds, progress=progress)
        shown = render(backbone, samples, task.image)
        ssim = region_ssim(shown.edited, shown.reference, task.kappa)
        return ssim, replace(samples, trace=shown.trace)

    found = auto_strength(evaluate, target, steps=config.sampling.steps)
    return replace(found.result, trace=_summed(found, target, config))


def _summed(found: Search[Samples], target: float, config: EditConfig) -> dict[str, Any]:
    """The best run's trace with the evaluations, and the F of all of them."""
    traces = [samples.trace for _, _, samples in found.tried]
    trace = dict(found.result.trace)
    cost = dict(trace["cost"])
    cost["f"] = {part: sum(t["cost"]["f"][part] for t in traces) for part in cost["f"]}
    cost["f_per_image"] = cost["f"]["total"] / cost["images"]
    kinds = {kind for t in traces for kind in t["cost"]["calls"]}
    cost["calls"] = {
        kind: sum(t["cost"]["calls"].get(kind, 0) for t in traces) for kind in sorted(kinds)
    }
    trace["cost"] = cost
    trace["config_hash"] = config.hash()
    trace["auto_strength"] = {
        "target_ssim": target,
        "evaluations": [
            {"strength": strength, "ssim": ssim, "f": samples.trace["cost"]["f"]["total"]}
            for strength, ssim, samples in found.tried
        ],
    }
    return trace
