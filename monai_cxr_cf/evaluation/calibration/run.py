# SPDX-License-Identifier: Apache-2.0
"""A data folder and a plan in, calibration.json with its table and plot out.

The radiographs are those reserved for tuning (``judges.split``), which no judge and no generator
learnt from; removals need more inputs with the finding than these hold and also take ``train``.
The file goes beside a backbone's weights, where ``networks`` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_cxr_cf.calibration import EDITS as EDITS_KEY
from monai_cxr_cf.calibration import FILE
from monai_cxr_cf.calibration import REMOVALS as REMOVALS_KEY
from monai_cxr_cf.data.folder import Row as Radiograph
from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.diffusion.cost.estimate import estimate, seconds_per_f
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.calibration.search import (
    SPACES,
    Candidate,
    Space,
    by_finding,
    halve,
    schedule,
)
from monai_cxr_cf.evaluation.calibration.table import draw, table_text
from monai_cxr_cf.evaluation.edits.inputs import Chooser, choose
from monai_cxr_cf.evaluation.edits.measure import Bench
from monai_cxr_cf.evaluation.edits.protocol import (
    ADDITIONS,
    REMOVALS,
    Edit,
    Settings,
    Trial,
    select,
)
from monai_cxr_cf.evaluation.edits.runner import Tools, run_cells
from monai_cxr_cf.evaluation.edits.store import read_header
from monai_cxr_cf.evaluation.rows import write_json
from monai_cxr_cf.judges.split import tuning_rows
from monai_cxr_cf.presets import PRESETS

EDITS = {"edit": ADDITIONS, "removal": REMOVALS}
KEYS = {"edit": EDITS_KEY, "removal": REMOVALS_KEY}
ROWS = "rows"  # folder in --out: every edit made, with its picture
UNPASTED = {"keep": {"paste": False}}  # while it is measured: what leaks is to be seen
ON_FRONTIER = ("strength", "guidance", "rms", "geometry_gain", "beyond", "verdict_passed", "worth")
JUDGING = 1.0  # seconds an edit is measured for, about


@dataclass(frozen=True)
class Plan:
    """What is searched, on how much."""

    modes: tuple[str, ...] = ("edit", "removal")
    inputs: int = 4  # radiographs per cell in the last round
    seeds: int = 1
    cells: tuple[str, ...] = ()  # only edits whose names hold one of these; () = all
    preset: str = "default"  # whose settings are searched
    presets: tuple[str, ...] = ("default", "fast")  # to which the result applies
    backbone: str = "cxr-mini"
    tools: Tools = field(default_factory=Tools)
    fixed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # held, and written too
    onto: Path | None = None  # calibration.json of another search, whose other modes are kept
    spaces: dict[str, Space] = field(default_factory=lambda: dict(SPACES))


@dataclass(frozen=True, eq=False)
class _Search:
    """One mode's search: its inputs, and how a candidate is measured."""

    plan: Plan
    mode: str
    edits: Sequence[Edit]
    chooser: Chooser
    bench: Bench
    folder: Path
    progress: Progress

    def trials(self, candidate: Candidate, inputs: int) -> list[Trial]:
        """The candidate's edits of the first ``inputs`` radiographs of every cell, with shams."""
        settings = Settings(
            preset=self.plan.preset,
            overrides=merged(self.plan.fixed, candidate.overrides(), UNPASTED),
            backbone=self.plan.backbone,
        )
        chosen = choose(
            self.chooser,
            self.edits,
            count=inputs,
            seeds=range(self.plan.seeds),
            settings=settings,
            shams=not sham_is_source(self.plan),
        )
        return chosen.trials

    def __call__(self, candidate: Candidate, inputs: int) -> Sequence[dict[str, Any]]:
        """Rows of those edits; what an earlier run made is not made again."""
        trials = self.trials(candidate, inputs)
        tools, where = self.plan.tools, self.folder / ROWS
        return run_cells(trials, where, tools, bench=self.bench, progress=self.progress)


def calibrate(
    data: Path,
    out: Path,
    plan: Plan,
    *,
    progress: Progress,
    announce: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Search every mode of the plan and write calibration.json, table.json, table.md, search.png.

    Args:
        announce: called per mode with a sentence: what comes, in about how many minutes.

    Raises:
        UnreadableInput: no radiograph fits.
        ComponentMissing: a network is not there.
    """
    for mode in plan.modes:
        edits_of(plan, mode)  # refuse before anything slow
    calibration = {} if plan.onto is None else _earlier(plan.onto)
    rows, bench = read_index(data), plan.tools.load(out / ROWS)
    tables: dict[str, Any] = {}
    for mode in plan.modes:
        chooser = Chooser(data, inputs_for(rows, mode), bench.networks.segmenter("hybridgnet"))
        search = _Search(plan, mode, edits_of(plan, mode), chooser, bench, out, progress)
        announce(_expected(search))
        best, tables[mode] = _searched(search)
        calibration[KEYS[mode]] = dict.fromkeys(plan.presets, merged(plan.fixed, best.overrides()))
        for place, narrower in _narrower(search).items():
            best, tables[", ".join(filter(None, (mode, *place)))] = _searched(narrower)
            own = dict.fromkeys(plan.presets, best.overrides())
            _place(calibration, *place)[KEYS[mode]] = own
    result = {
        "backbone": Path(plan.backbone).name,
        "preset": plan.preset,
        "judges": sorted(plan.tools.judges),
        "modes": tables,
    }
    _write(out, result, calibration)
    return result


def _earlier(path: Path) -> dict[str, Any]:
    """What another search found; BadRequest if the file is none of its."""
    refused = BadRequest(
        f"'{path}' is no calibration that could be read.",
        hint="Name the calibration.json of another search.",
    )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise refused from error
    if not isinstance(found, dict) or not any(key in found for key in KEYS.values()):
        raise refused
    return {key: found[key] for key in (*KEYS.values(), "findings") if key in found}


def _place(calibration: dict[str, Any], finding: str, side: str | None) -> dict[str, Any]:
    """Where the file holds what is for one finding, or for one side of it."""
    own: dict[str, Any] = calibration.setdefault("findings", {}).setdefault(finding, {})
    return own.setdefault("sides", {}).setdefault(side, {}) if side else own


def _write(out: Path, result: dict[str, Any], calibration: dict[str, Any]) -> None:
    made = {"made": {k: result[k] for k in ("backbone", "preset", "judges")}}
    made["made"]["frontier"] = {m: frontier(about["tried"]) for m, about in result["modes"].items()}
    write_json(out / FILE, {**calibration, **made})
    write_json(out / "table.json", result)
    (out / "table.md").write_text(table_text(result) + "\n", encoding="utf-8")
    draw(result, out / "search.png")


def frontier(tried: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was left in the last round of one search, the chosen setting first: effect and leak."""
    most = max(one["edits"] for one in tried)
    last = [one for one in tried if one["edits"] == most]
    return [{name: one[name] for name in ON_FRONTIER} for one in last]


def merged(*layers: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Overrides of later layers over those of earlier ones, field by field."""
    found: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for part, values in layer.items():
            found[part] = {**found.get(part, {}), **values}
    return found


def sham_is_source(plan: Plan) -> bool:
    """Whether a sham gives its source back, so that none need be made.

    An edit-friendly inversion replays the source's own prediction, and guidance by region adds
    nothing where target and source are one text (``tests/diffusion/test_regional.py``).
    """
    config = PRESETS[plan.preset].with_overrides(plan.fixed)
    by_region = config.sampling.guidance_map == "region"
    return by_region and config.start.kind == "edit_friendly"


def _narrower(search: _Search) -> dict[tuple[str, str | None], _Search]:
    """The same search for each finding apart, and for each of its sides; {} if there is one."""
    found: dict[tuple[str, str | None], _Search] = {}
    for finding in dict.fromkeys(edit.finding for edit in search.edits):
        edits = [edit for edit in search.edits if edit.finding == finding]
        if len(edits) < len(search.edits):
            found[finding, None] = replace(search, edits=edits)
        sides = dict.fromkeys(edit.side for edit in edits if edit.side)
        for side in sides if len(sides) > 1 else ():
            found[finding, side] = replace(search, edits=[e for e in edits if e.side == side])
    return found


def edits_of(plan: Plan, mode: str) -> list[Edit]:
    """The edits of a mode that the plan asks for; BadRequest if there is none."""
    found = [e for e in select(plan.cells) if e in EDITS[mode]]
    if not found:
        raise BadRequest(
            f"No edit of mode '{mode}' is among the cells asked for.",
            hint=f"Edits: {'; '.join(edit.group for edit in EDITS[mode])}.",
        )
    return found


def inputs_for(rows: Sequence[Radiograph], mode: str) -> list[Radiograph]:
    """The radiographs a mode may be tuned on; never those of ``test``."""
    tuning = tuning_rows(list(rows))
    if mode == "removal":
        tuning += [row for row in rows if row.split == "train"]
    return tuning


def _searched(search: _Search) -> tuple[Candidate, dict[str, Any]]:
    """The best candidate, and what the table shows."""
    plan, candidates = search.plan, search.plan.spaces[search.mode].candidates()
    # The judges' figures stand in run.json once the first edit is made.
    search(candidates[0], 1)
    judges = read_header(search.folder / ROWS)["judges"]
    tried = halve(candidates, search, judges, inputs=plan.inputs)
    best = tried[0]
    rows = search(best.candidate, plan.inputs)
    about = {
        "best": best.as_dict(),
        "by_edit": by_finding(rows, judges),
        "patients": sorted({row["patient"] for row in rows}),
        "tried": [one.as_dict() for one in tried],
    }
    return best.candidate, about


def _expected(search: _Search) -> str:
    """One sentence: how many edits at most, and how long they take."""
    plan, space = search.plan, search.plan.spaces[search.mode]
    backbone = search.bench.networks.backbone(plan.backbone)
    candidates = space.candidates()
    one = candidates[len(candidates) // 2]
    trial = search.trials(one, 1)[0]
    config = replace(trial, seeds=(0,)).request().config()
    each = (
        estimate(backbone, config, seconds_per_f=seconds_per_f(backbone)).seconds or 0
    ) + JUDGING
    edits = before = 0
    for alive, count in schedule(len(candidates), plan.inputs):
        now = len(search.trials(one, count)) * plan.seeds
        edits += alive * (now - before)  # a round keeps what the one before made
        before = now
    minutes = edits * each / 60 / plan.tools.workers
    return (
        f"{search.mode}: about {edits} edits and shams, {minutes:.0f} minutes, less what is there."
    )
