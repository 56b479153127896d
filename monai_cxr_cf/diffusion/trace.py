# SPDX-License-Identifier: Apache-2.0
"""What a run did, step by step, as plain JSON values (docs/method.md 6); every plot draws it.

The loop feeds a ``Recorder``; the result follows ``schemas/trace.schema.json``. Everything but
``resources`` is the same each time the same call is made.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib import resources
from time import perf_counter
from typing import Any

import numpy as np
import torch

from monai_cxr_cf.diffusion.census import RunCensus
from monai_cxr_cf.diffusion.correction.record import CorrectionRecord
from monai_cxr_cf.diffusion.correction.scores import Scores, energy, finite_values
from monai_cxr_cf.diffusion.cost.memory import peak_memory_mib
from monai_cxr_cf.diffusion.cost.meter import Meter, ratios
from monai_cxr_cf.diffusion.guidance import first_steps, rms_of, scales_of
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.text import token_table
from monai_cxr_cf.diffusion.model.truncate import last_cross_layer
from monai_cxr_cf.diffusion.prepare import Prepared
from monai_cxr_cf.diffusion.task import EditTask

VERSION = 1
Json = dict[str, Any]


class Recorder:
    """Collects the trace of one run."""

    def __init__(self, run: Prepared, meter: Meter) -> None:
        self.run, self.meter = run, meter
        self.steps: list[Json] = []
        self.last = last_cross_layer(run.plan.layers, run.plan.energy_levels)
        self.stop = self.last if run.config.correct.truncated else ""

    def cost(self, looked: float = 0.0) -> dict[str, float]:
        """F so far, split by purpose; ``looked`` F were spent on the census."""
        split = self.meter.split(self.run.hw, stop=self.stop, last=self.last)
        return {**split, "census": looked, "total": split["total"] + looked}

    def add(self, i: int, scores: list[Scores], moved: CorrectionRecord | None) -> None:
        """Write down executed step i. Scores come from the denoising pass and cost nothing."""
        run = self.run
        self.steps.append(
            {
                "index": i,
                "timestep": run.solver.timesteps[i],
                "alpha_bar": run.solver.alpha_bar(i),
                "window": i in run.boost,
                "guided": i in run.guided,
                "gated": i in run.gated and bool(run.plan.gates),
                "roi_score": _merged(scores, "score"),
                "roi_lift": _merged(scores, "lift"),
                "energy": [v for s in scores[:1] for v in _energy(s)],
                "correction": moved.as_dict() if moved is not None else None,
                "f": self.cost()["total"],
            }
        )

    def finish(self, census: RunCensus) -> Json:
        """The whole trace."""
        run, plan, solver = self.run, self.run.plan, self.run.solver
        seen = census.entries()
        return {
            "version": VERSION,
            "method": "regulated",
            "mode": run.task.mode,
            "config_hash": run.config.hash(),
            "seeds": list(run.seeds),
            "backbone": backbone_facts(run.backbone),
            "inputs": input_hashes(run.task, plan.findings),
            "tokens": token_table(run.backbone, run.task, plan.findings),
            "levels": _levels(run),
            "skipped_levels": [{"level": at, "finding": name} for at, name in plan.vanished],
            "window": run.window.as_dict() if run.window else None,
            "solver": solver.name,
            "steps_scheduled": solver.n,
            "steps_executed": solver.n_exec,
            "strength": run.config.start.strength,
            "boost_window": [run.boost.start, run.boost.stop],
            "guided_window": [run.guided.start, run.guided.stop],
            "gradient_stop": self.stop if plan.corrects else None,
            "carrier": run.config.tokens.carrier,
            "laws": [law for law, acts in laws_of(run).items() if acts],
            "notes": list(run.notes),
            "steps": self.steps,
            "census": seen,
            "doses": doses(run),
            "cost": self._costs(census),
            "resources": resources_of(self.meter, self.run.hw),
        }

    def _costs(self, census: RunCensus) -> Json:
        meter, unit = self.meter, ratios(self.run.backbone).unit
        split = self.cost(census.flops / unit)
        return {
            "unit_tflop": unit / 1e12,
            "images": len(self.run.seeds),
            "f": split,
            "f_per_image": split["total"] / len(self.run.seeds),
            "calls": dict(sorted(meter.calls.items())),
        }


def doses(run: Prepared) -> list[Json]:
    """How hard each finding is guided, and from which executed step."""
    task, config = run.task, run.config
    told = zip(
        run.plan.findings,
        scales_of(task, config),
        rms_of(task, config),
        first_steps(task, config),
        strict=True,
    )
    return [
        {"finding": name, "guidance": None if rms else s, "rms": rms or None, "from_step": at}
        for name, s, rms, at in told
    ]


def laws_of(run: Prepared) -> dict[str, bool]:
    """Every law of the sampler, named as its switch, and whether it acts in some step of the run.

    A correction acts where it may: a score that is high enough holds it back, as its steps say.
    """
    plan, steps = run.plan, range(run.solver.n_exec)
    own = {branch: set(tokens) for branch, tokens in plan.tokens.items()}
    boosted = [set(gain.tokens) & own[b] for (b, _, on), gain in plan.gains.items() if on]
    named = [set(gain.tokens) - own[b] for (b, _, on), gain in plan.gains.items() if not on]
    return {
        "gate": bool(plan.gates and run.gated),
        "anatomy": bool(steps and any(named)),
        "boost": bool(run.boost and any(boosted)),
        "correction": bool(run.boost and plan.corrects),
        "regional-prompt": bool(steps and plan.regional),
        "regional-guidance": bool(run.guided and run.config.sampling.guidance_map == "region"),
        "paste": bool(steps and run.keep.paste),
    }


def resources_of(meter: Meter, hw: tuple[int, int]) -> Json:
    """Wall time, peak memory, and F of the passes whose results were kept from before."""
    return {
        "wall_s": round(perf_counter() - meter.began, 3),
        "peak_memory_mib": _peak_memory_mib(meter.backbone.device),
        "recalled_f": meter.recalled_f(hw),
    }


def _peak_memory_mib(device: torch.device) -> float | None:
    """Of the device on a GPU, of the process on CPU; None where the system does not tell."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peak_memory_mib()


def schema() -> Json:
    """The JSON schema of a trace."""
    text = (resources.files("monai_cxr_cf") / "schemas" / "trace.schema.json").read_text(
        encoding="utf-8"
    )
    loaded: Json = json.loads(text)
    return loaded


def with_decodes(trace: Mapping[str, Any], ratio: float, images: int) -> Json:
    """A copy whose cost includes ``images`` decodings of ``ratio`` F each."""
    cost, f = dict(trace["cost"]), dict(trace["cost"]["f"])
    f["vae"] += ratio * images
    f["total"] += ratio * images
    calls = {**cost["calls"], "decode": cost["calls"].get("decode", 0) + images}
    cost |= {"f": f, "f_per_image": f["total"] / cost["images"], "calls": calls}
    return {**trace, "cost": cost}


def with_recalled(resources: Mapping[str, Any], f: float) -> Json:
    """A copy in which ``f`` F more did not run."""
    return {**resources, "recalled_f": resources["recalled_f"] + f}


def hash_plane(plane: Any) -> str:
    """sha256 of an array's shape and float32 values."""
    values = np.ascontiguousarray(plane, np.float32)
    return sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()


def _merged(scores: list[Scores], what: str) -> Json:
    """level -> finding -> value per image, over the branches' scores."""
    table: Json = {}
    for one in scores:
        for level, row in one.as_dict()[what].items():
            table.setdefault(level, {}).update(row)
    return table


def _energy(scores: Scores) -> list[float | None]:
    return finite_values(energy(scores)) if scores.per_finding() else []


def backbone_facts(backbone: Backbone) -> Json:
    """Which weights ran, where and how."""
    return {
        "name": backbone.name,
        "files": dict(backbone.files),
        "licence": backbone.licence,
        "prediction_type": backbone.prediction_type,
        "device": backbone.device.type,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        **({"compiled": True} if backbone.compiled else {}),
    }


def input_hashes(task: EditTask, findings: Sequence[str]) -> Json:
    """sha256 of every plane of the task; regions by the labels of its findings."""
    return {
        "image": hash_plane(task.image),
        "kappa": hash_plane(task.kappa),
        "organs": {name: hash_plane(plane) for name, plane in sorted(task.organs.items())},
        "regions": {
            name: hash_plane(target.region)
            for name, target in zip(findings, task.targets, strict=True)
        },
    }


def _levels(run: Prepared) -> list[Json]:
    """Attention levels the laws act on, with the area of each region in cells."""
    plan = run.plan
    return [
        {
            "level": at,
            "grid": list(plan.omega[at].shape[-2:]),
            "region_cells": dict(zip(plan.findings, cells, strict=True)),
            "energy": at in plan.energy_levels,
        }
        for at, cells in sorted(plan.roi_cells.items())
    ]
