# SPDX-License-Identifier: Apache-2.0
"""The trace of a published editor: ours (docs/method.md 6), where no law acts."""

from typing import Any

from monai_cxr_cf.catalogue.table import Choice
from monai_cxr_cf.diffusion.cost.meter import ratios
from monai_cxr_cf.diffusion.laws.plan import labels
from monai_cxr_cf.diffusion.model.text import token_table
from monai_cxr_cf.diffusion.trace import VERSION, backbone_facts, input_hashes, resources_of
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.request import PATHS


def trace_of(bench: Bench, choice: Choice, config: EditConfig) -> dict[str, Any]:
    """What a finished run did; ``cost`` is without the decoding of the result, as ours has it."""
    task, settings, names = bench.task, choice.settings, labels(bench.task)
    done = len(bench.steps)
    if task.scorer is not None:
        bench.notes.append(f"guided by {task.scorer.name}, sha256 {task.scorer.sha256}")
    return {
        "version": VERSION,
        "method": choice.row.id,
        "settings": {k: v for k, v in settings.as_dict().items() if k not in PATHS},
        "mode": task.mode,
        "config_hash": config.hash(),
        "seeds": list(bench.seeds),
        "backbone": backbone_facts(bench.backbone),
        "inputs": input_hashes(task, names),
        "tokens": token_table(bench.backbone, task, names),
        "levels": [],
        "skipped_levels": [],
        "window": None,
        "solver": choice.row.solver,
        "steps_scheduled": int(getattr(settings, "steps", done)),
        "steps_executed": done,
        "strength": settings.share,
        "boost_window": [0, 0],
        "guided_window": [0, done],
        "gradient_stop": None,
        "carrier": "finding",
        "laws": [],
        "notes": list(bench.notes),
        "steps": bench.steps,
        "census": [],
        "doses": [],
        "cost": _costs(bench),
        "resources": resources_of(bench.meter, bench.hw),
    }


def _costs(bench: Bench) -> dict[str, Any]:
    split = {**bench.meter.split(bench.hw), "census": 0.0}
    return {
        "unit_tflop": ratios(bench.backbone).unit / 1e12,
        "images": len(bench.seeds),
        "f": split,
        "f_per_image": split["total"] / len(bench.seeds),
        "calls": dict(sorted(bench.meter.calls.items())),
    }
