# SPDX-License-Identifier: Apache-2.0
"""A data folder and a plan in, the whole frontier out: inputs, edits, tables, picture."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.diffusion.cost.estimate import estimate, seconds_per_f
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.errors import BadRequest, UnreadableInput, UnsupportedImage
from monai_cxr_cf.evaluation.cohort import held_out
from monai_cxr_cf.evaluation.edits.inputs import COLUMNS, Chooser, choose
from monai_cxr_cf.evaluation.edits.protocol import Edit, Settings, Trial, digest, select
from monai_cxr_cf.evaluation.frontier.cells import Cell, Maker, band_of, sham_config
from monai_cxr_cf.evaluation.frontier.lines import MORE, SWEEP, Line, Overrides, select_lines
from monai_cxr_cf.evaluation.frontier.picture import draw
from monai_cxr_cf.evaluation.frontier.table import DIRECTIONS, Figures, sections
from monai_cxr_cf.evaluation.frontier.text import frontier_text
from monai_cxr_cf.evaluation.rows import Rows, write_json, write_text
from monai_cxr_cf.evaluation.workers import results
from monai_cxr_cf.judges.split import tuning_rows
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.progress import Clock

log = logging.getLogger(__name__)
Row = dict[str, Any]
TUNING = "tuning"  # the radiographs on which settings are chosen


@dataclass(frozen=True)
class Plan:
    """What is measured, on how much, with what."""

    modes: tuple[str, ...] = ("additions", "removals")
    cells: tuple[str, ...] = ()  # only edits whose names hold one of these; () = all
    rows: tuple[str, ...] = ()  # only lines whose names hold one of these; () = all
    more: Mapping[str, Overrides] = field(default_factory=lambda: dict(MORE))
    sweep: tuple[float, ...] = SWEEP
    inputs: int = 2  # radiographs per edit and view
    seeds: int = 1
    band: float | None = None  # None = the band of preset and calibration
    split: str = "test"
    preset: str = "default"
    overrides: Overrides = field(default_factory=dict)  # of every line
    backbone: str = "cxr-mini"
    models: Path | None = None
    workers: int = 1
    place: Mapping[str, Any] = field(default_factory=lambda: {"device": "cpu", "precision": "fp32"})

    def networks(self) -> Networks:
        """The parts, not loaded yet."""
        return Networks(self.models, **self.place)


def evaluate_frontier(
    data: Path,
    out: Path,
    plan: Plan,
    *,
    progress: Progress,
    announce: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Choose inputs, make the cells that are missing, write tables and picture into ``out``.

    Args:
        announce: called with a sentence: what will be done, and in about how many minutes.

    Raises:
        BadRequest: there is no such split, edit, line or dial.
        UnreadableInput: no radiograph of the split fits, or all were refused.
        ComponentMissing: a network is not there.
    """
    edits, lines = _edits(plan), select_lines(plan.rows, plan.more)
    networks = plan.networks()
    networks.backbone(plan.backbone)  # refuse what is missing before anything slow
    trials, refused = _trials(data, plan, edits, networks)
    cells = _cells(trials, lines, plan, networks)
    rows = Rows(out / "rows.jsonl")
    keys = [cell.keys(networks) for cell in cells]
    jobs = _missing(cells, keys, rows)
    announce(_expected(jobs, len(cells), plan, networks))
    refused |= _run(jobs, rows, plan, networks, progress=progress)
    figures = _figures(cells, keys, rows, refused)
    result: dict[str, Any] = {
        "plan": _about(plan, lines),
        "refused": refused,
        "sections": sections(lines, figures),
    }
    write_json(out / "frontier.json", result)
    write_text(out / "frontier.md", frontier_text(result) + "\n")
    draw(result["sections"], lines, out / "frontier.png")
    return result


def _edits(plan: Plan) -> list[Edit]:
    found = [e for e in select(plan.cells) if DIRECTIONS[e.direction] in plan.modes]
    if not found:
        raise BadRequest(
            f"None of the edits asked for is among the {' and '.join(plan.modes)}.",
            hint="Choose another --mode, or other --cells.",
        )
    return found


def _trials(
    data: Path, plan: Plan, edits: Sequence[Edit], networks: Networks
) -> tuple[list[Trial], dict[str, str]]:
    """The trials, in an order that has something of every edit first, and what was refused."""
    if plan.split == TUNING:
        rows = tuning_rows(read_index(data, COLUMNS))
    else:
        rows = held_out(data, plan.split, COLUMNS)
    settings = Settings(preset=plan.preset, overrides=plan.overrides, backbone=plan.backbone)
    choice = choose(
        Chooser(data, rows, networks.segmenter(settings.segmenter)),
        edits,
        count=plan.inputs,
        seeds=range(plan.seeds),
        settings=settings,
        shams=False,
    )
    return choice.trials, dict(choice.refused)


def _cells(
    trials: Sequence[Trial], lines: Sequence[Line], plan: Plan, networks: Networks
) -> list[Cell]:
    """Every setting of every edit, edit after edit; all settings of an edit share its band."""
    return [
        Cell(replace(trial, settings=line.settings(trial.settings, g)), line.name, g, band)
        for trial in trials
        for band in [band_of(trial, networks) if plan.band is None else plan.band]
        for line in lines
        for g in (None, *plan.sweep)
    ]


def _missing(cells: Sequence[Cell], keys: Sequence[list[str]], rows: Rows) -> list[Cell]:
    """Cells that are not there yet, each of several with the same settings in force once."""
    wanted: dict[tuple[str, ...], Cell] = {}
    for cell, own in zip(cells, keys, strict=True):
        if not all(key in rows for key in own):
            wanted.setdefault(tuple(own), cell)
    return list(wanted.values())


def _expected(jobs: Sequence[Cell], cells: int, plan: Plan, networks: Networks) -> str:
    """One sentence: how many edits and shams are missing, and how long they take."""
    backbone = networks.backbone(plan.backbone)
    seconds, shams, each = 0.0, set(), seconds_per_f(backbone) if jobs else 0.0
    for job in jobs:
        config = job.config(networks)
        cost = estimate(backbone, config, seconds_per_f=each).seconds or 0.0
        sham = digest([job.trial.input.id, job.trial.edit.prompt, sham_config(config).hash()])
        seconds += cost * plan.seeds * (1 if sham in shams else 2)
        shams.add(sham)
    return (
        f"{cells} settings of edits; missing: {len(jobs) * plan.seeds} edits and "
        f"{len(shams) * plan.seeds} shams, about {seconds / 60 / plan.workers:.0f} minutes."
    )


def _run(
    jobs: Sequence[Cell], rows: Rows, plan: Plan, networks: Networks, *, progress: Progress
) -> dict[str, str]:
    """Make the jobs, each stored when it is finished; returns refusals by edit."""
    refused: dict[str, str] = {}
    clock = Clock()

    def tell(step: int) -> None:
        left = clock.left("edits", step, len(jobs))
        event = {"stage": "edits", "step": step, "total": len(jobs)}
        progress(event if left is None else {**event, "eta_s": left})

    tell(0)
    load = partial(_maker, plan)
    work = results(jobs, measured, parts=Maker(networks), load=load, workers=plan.workers)
    with closing(work) as found:
        for number, (trial, done, code) in enumerate(found, 1):
            if code:
                refused[trial] = code
            else:
                rows.extend(done)
            tell(number)
    return refused


def _maker(plan: Plan) -> Maker:
    return Maker(plan.networks())


def measured(maker: Maker, cell: Cell) -> tuple[str, list[Row], str]:
    """Name of the edit, rows of the cell, and "" or why the engine refuses the edit."""
    try:
        return _name(cell), maker.rows(cell), ""
    except UnsupportedImage as refusal:
        log.warning("an edit was refused: %s", refusal.code)
        return _name(cell), [], refusal.code


def _name(cell: Cell) -> str:
    return f"{cell.trial.input.id}, {cell.trial.edit.group}"


def _figures(
    cells: Sequence[Cell], keys: Sequence[list[str]], rows: Rows, refused: Mapping[str, str]
) -> Figures:
    """Rows by line and guidance, of the edits that no setting was refused."""
    found: dict[tuple[str, float | None], list[Row]] = {}
    for cell, own in zip(cells, keys, strict=True):
        if _name(cell) not in refused:
            found.setdefault((cell.line, cell.guidance), []).extend(rows[key] for key in own)
    if not found:
        raise UnreadableInput("Every radiograph was refused.", hint="cxr-cf read says why.")
    return found


def _about(plan: Plan, lines: Sequence[Line]) -> dict[str, Any]:
    return {
        "preset": plan.preset,
        "overrides": {part: dict(values) for part, values in plan.overrides.items()},
        "backbone": Path(plan.backbone).name,
        "split": plan.split,
        "inputs": plan.inputs,
        "seeds": plan.seeds,
        "sweep": list(plan.sweep),
        "lines": {
            line.name: {"switches": list(line.switches), "overrides": line.overrides}
            for line in lines
        },
    }
