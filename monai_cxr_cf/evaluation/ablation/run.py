# SPDX-License-Identifier: Apache-2.0
"""A data folder and a plan in, the whole ablation out: inputs, edits, table, picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.evaluation.ablation.rows_of_laws import (
    Instruments,
    expected_minutes,
    run_ablation,
    settings,
    trials_for,
)
from monai_cxr_cf.evaluation.ablation.table import draw, table_text, tabulate
from monai_cxr_cf.evaluation.cohort import held_out
from monai_cxr_cf.evaluation.edits.inputs import COLUMNS, Chooser, choose
from monai_cxr_cf.evaluation.edits.protocol import ADDITIONS, VIEWS, Trial
from monai_cxr_cf.evaluation.generator.likeness import load_likeness
from monai_cxr_cf.evaluation.rows import write_json
from monai_cxr_cf.judges.classifier import load_judge
from monai_cxr_cf.runs.networks import Networks


@dataclass(frozen=True)
class Plan:
    """What is ablated, on how much, with what."""

    presets: tuple[str, ...] = ("paper", "default")
    edits: int = 100  # per row of the table
    seeds: int = 2  # per radiograph, one batch
    split: str = "test"
    judge: str | None = "j1"  # name or folder; None leaves Conf empty
    clip: Path | None = None
    backbone: str = "cxr-mini"
    segmenter: str = "hybridgnet"
    models: Path | None = None


def evaluate_ablation(
    data: Path,
    out: Path,
    plan: Plan,
    *,
    progress: Progress,
    announce: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Choose inputs, make the edits that are missing, write table and picture into ``out``.

    Args:
        announce: called once with a sentence: what will be done, and in about how many minutes.

    Raises:
        UnreadableInput: no radiograph of the split fits.
        ComponentMissing: a network is not there.
    """
    instruments = _instruments(plan)
    trials, refused = _trials(data, plan, instruments)
    edits = sum(len(trial.seeds) for trial in trials)
    minutes = expected_minutes(trials, plan.presets, instruments)
    announce(
        f"{edits} edits of {len({t.input.patient for t in trials})} patients a row, presets "
        f"{', '.join(plan.presets)}: about {minutes:.0f} minutes, less what is there already."
    )
    table = tabulate(
        run_ablation(trials, plan.presets, out, instruments, progress=progress), plan.presets
    )
    result = {
        "plan": {k: str(v) if isinstance(v, Path) else v for k, v in asdict(plan).items()},
        "likeness": instruments.likeness.name,
        "judge": None if instruments.judge is None else instruments.judge.name,
        "refused_inputs": refused,
        "table": table,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "table.json", result)
    (out / "table.md").write_text(table_of(result) + "\n", encoding="utf-8")
    draw(table, out / "differences.png")
    return result


def _trials(data: Path, plan: Plan, instruments: Instruments) -> tuple[list[Trial], dict[str, str]]:
    """Additions to radiographs without findings, and the images that the engine refuses."""
    rows = held_out(data, plan.split, COLUMNS)
    cells = len(ADDITIONS) * len(VIEWS)
    choice = choose(
        Chooser(data, rows, instruments.networks.segmenter(plan.segmenter)),
        ADDITIONS,
        count=math.ceil(plan.edits / plan.seeds / cells) + 1,  # a view may lack radiographs
        seeds=range(plan.seeds),
        settings=settings(plan.backbone, plan.segmenter),
        shams=False,
    )
    return trials_for(choice.trials, plan.edits), choice.refused


def table_of(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    return table_text(result["table"], result["likeness"])


def _instruments(plan: Plan) -> Instruments:
    judge = None
    if plan.judge is not None:
        judge = load_judge(plan.judge)
    networks = Networks(plan.models, "cpu", "fp32")
    networks.backbone(plan.backbone)  # refuse what is missing before anything slow
    return Instruments(networks, load_likeness(plan.clip), judge)
