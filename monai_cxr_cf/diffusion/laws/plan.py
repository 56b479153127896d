# SPDX-License-Identifier: Apache-2.0
"""The plan of all laws of one edit: a task and its settings in, laws per attention level out.

Computed once per task from ``priors`` (masks at cells) and ``gains`` (gains of tokens);
``attention.install`` installs what the plan holds and ``correction`` scores by its Ω.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_cxr_cf.diffusion.laws import priors
from monai_cxr_cf.diffusion.laws.gains import dense_shifts, positions, token_gains
from monai_cxr_cf.diffusion.laws.organ_gates import check_gate, organ_gates
from monai_cxr_cf.diffusion.laws.specification import DenseShift, Gate, TokenGain
from monai_cxr_cf.diffusion.model.layers import MID_LEVEL, AttentionLayer, Grid
from monai_cxr_cf.diffusion.task import EditTask
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig

BRANCHES = ("cond", "negative", "source")
WHERE = {"cond": "prompt", "negative": "negative"}  # the text of a branch that has finding tokens
DENSE_STOP = 0.3  # the dense shift acts on the first 30 % of steps


@dataclass(frozen=True)
class LawPlan:
    """Everything the laws need, computed once per task.

    Attributes:
        findings: labels of the task's targets, made unique ("effusion", "effusion #2").
        omega: level -> Ω (findings, rows, columns), maximum 1; zeros where vanished.
        vanished: (level, finding) pairs that are skipped and traced.
        roi_cells: level -> region area in cells per finding.
        gates: level -> law of Eq. 5.
        gains: (branch, level, boost on) -> law of Eq. 6 and of the anatomy tokens.
        shifts: level -> cross-attention part of the dense gate.
        regional: level -> Ω of all findings (N,) for regional prompting.
        shares: level -> share of each finding's own text in each cell, (findings, N), summing to
            Ω of all; empty where one text holds for all.
        source_states: (1, 77, C) text states of the source prompt, for regional prompting.
        tokens: branch -> recorded K_path positions, ascending.
        finding_tokens: branch -> per finding its indices into ``tokens``.
        energy_levels: levels of Eq. 8.
        kappa: composite weight of the task, S x S.
    """

    config: EditConfig
    mode: str
    layers: tuple[AttentionLayer, ...]
    findings: tuple[str, ...]
    omega: Mapping[int, Tensor]
    vanished: tuple[tuple[int, str], ...]
    roi_cells: Mapping[int, tuple[float, ...]]
    gates: Mapping[int, Gate]
    gains: Mapping[tuple[str, int, bool], TokenGain]
    shifts: Mapping[int, DenseShift]
    regional: Mapping[int, Tensor]
    shares: Mapping[int, Tensor]
    source_states: Tensor | None
    tokens: Mapping[str, tuple[int, ...]]
    finding_tokens: Mapping[str, tuple[tuple[int, ...], ...]]
    energy_levels: tuple[int, ...]
    kappa: Any

    @property
    def corrects(self) -> bool:
        """Whether Eq. 9 acts: a step size, tokens in the target prompt, not a removal."""
        correct = self.config.correct
        return (
            correct.alpha_max * correct.scale > 0
            and self.mode != "removal"
            and bool(self.tokens["cond"])
        )

    @property
    def acts(self) -> bool:
        """Whether any law acts; if not, nothing is installed."""
        return bool(self.gates or self.gains or self.regional or self.corrects)

    @property
    def gate_until(self) -> float:
        """The gate acts until this fraction of executed steps."""
        return DENSE_STOP if self.config.gate.mode == "dense" else 1.0

    def scored(self, branch: str) -> tuple[tuple[int, int], ...]:
        """(level, finding index) pairs that have tokens in this branch and have not vanished."""
        gone = {(level, self.findings.index(name)) for level, name in self.vanished}
        own = self.finding_tokens[branch]
        pairs = ((level, f) for level in sorted(self.omega) for f in range(len(own)) if own[f])
        return tuple(pair for pair in pairs if pair not in gone)


def plan_laws(
    task: EditTask,
    config: EditConfig,
    *,
    levels: tuple[AttentionLayer, ...],
    source_states: Tensor | None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LawPlan:
    """Plan the laws of ``task``; ``source_states`` (1, 77, C) are for regional prompting only.

    Raises BadRequest: a region has vanished at every level that needs it, or settings contradict.
    """
    _check(config)
    omega, vanished = _omegas(task, grids := _regulated_grids(levels, config))
    own = {branch: _path(task, config, branch) for branch in BRANCHES}
    tokens = {branch: tuple(sorted({*sum(paths, ())})) for branch, paths in own.items()}
    with torch.inference_mode(False):  # plan tensors may be saved for a backward pass
        like = torch.empty(0, device=device, dtype=torch.promote_types(dtype, torch.float32))
        maps = {at: torch.as_tensor(o).to(like) for at, o in omega.items()}
        plan = LawPlan(
            config=config,
            mode=task.mode,
            layers=levels,
            findings=labels(task),
            omega=maps,
            vanished=vanished,
            roi_cells={at: _cells(task, grid) for at, grid in grids.items()},
            gates=organ_gates(task, config, grids, like=like),
            gains=token_gains(task, config, maps),
            shifts=dense_shifts(task, config, maps),
            regional=_regional(config, maps, source_states),
            shares=_shares(task, config, maps),
            source_states=source_states,
            tokens=tokens,
            finding_tokens={b: _indices(own[b], tokens[b]) for b in BRANCHES},
            energy_levels=_energy_levels(task, config, grids),
            kappa=task.kappa,
        )
    return _alive(plan)


def labels(task: EditTask) -> tuple[str, ...]:
    """Names of the task's findings, made unique."""
    names = [target.name for target in task.targets]
    return tuple(
        name if (n := names[: i + 1].count(name)) == 1 else f"{name} #{n}"
        for i, name in enumerate(names)
    )


def _regulated_grids(levels: tuple[AttentionLayer, ...], config: EditConfig) -> dict[int, Grid]:
    """Grid of each level the laws act on: the first three, the mid block only when asked for."""
    asked = MID_LEVEL in config.gate.levels
    grids: dict[int, Grid] = {}
    for layer in levels:
        if layer.level == MID_LEVEL and not asked:
            continue
        if grids.setdefault(layer.level, layer.grid) != layer.grid:
            raise BadRequest(f"Attention level {layer.level} has two sizes; expected one.")
    if not grids:
        raise BadRequest("The network has no attention outside its mid block; nothing to regulate.")
    return dict(sorted(grids.items()))


def _omegas(
    task: EditTask, grids: dict[int, Grid]
) -> tuple[dict[int, np.ndarray], tuple[tuple[int, str], ...]]:
    """Ω per level and finding; what vanished. BadRequest when a finding has no level left."""
    coarsest = grids[max(at for at in grids if at < MID_LEVEL)]
    names, omega, vanished = labels(task), {}, []
    for at, grid in grids.items():
        maps = [priors.roi_prior(target.region, grid, coarsest) for target in task.targets]
        vanished += [(at, name) for name, o in zip(names, maps, strict=True) if o is None]
        omega[at] = np.stack([np.zeros(grid) if o is None else o for o in maps])
    for name in names:
        if all((at, name) in vanished for at in grids):
            raise BadRequest(
                f"The region of '{name}' is smaller than any attention cell.",
                hint="Name a larger zone, draw the region (--roi), or use a finer model size.",
            )
    return omega, tuple(vanished)


def _cells(task: EditTask, grid: Grid) -> tuple[float, ...]:
    return tuple(round(priors.covered_cells(t.region, grid), 3) for t in task.targets)


def _path(task: EditTask, config: EditConfig, branch: str) -> tuple[tuple[int, ...], ...]:
    """Per finding its K_path in the branch; empty if its words lie in the other one."""
    carrier, where = config.tokens.carrier, WHERE.get(branch)
    return tuple(
        positions(task, number, carrier=carrier) if target.where == where else ()
        for number, target in enumerate(task.targets)
    )


def _indices(
    own: tuple[tuple[int, ...], ...], tokens: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """Per finding its indices into ``tokens`` of the branch."""
    return tuple(tuple(tokens.index(k) for k in path) for path in own)


def _shares(task: EditTask, config: EditConfig, omega: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Ω_f / Σ Ω x max Ω: what each finding's text gives to a cell; a vanished level is left out."""
    if not task.texts:
        return {}
    if not config.tokens.regional_prompt or config.gate.mode == "dense":
        raise BadRequest(
            "Findings with texts of their own need regional prompting and no dense gate.",
            hint="Set tokens.regional_prompt=true, or give one text for all findings.",
        )
    flat = {at: o.flatten(1) for at, o in omega.items() if bool(o.any())}
    return {
        at: o * (o.amax(0) / o.sum(0).clamp_min(torch.finfo(o.dtype).tiny))
        for at, o in flat.items()
    }


def _regional(
    config: EditConfig, omega: Mapping[int, Tensor], source_states: Tensor | None
) -> dict[int, Tensor]:
    """Union of the findings' Ω per level; a level where every region has vanished is skipped."""
    if not config.tokens.regional_prompt:
        return {}
    if source_states is None:
        raise BadRequest("Regional prompting needs the text states of the source prompt.")
    unions = {at: o.amax(0).flatten() for at, o in omega.items()}
    return {at: union for at, union in unions.items() if bool(union.any())}


def _check(config: EditConfig) -> None:
    """BadRequest for settings of the gate, or of Eq. 6-9, that contradict each other or are open"""
    check_gate(config)
    if config.tokens.carrier == "auto":
        raise BadRequest(
            "tokens.carrier=auto is open; expected what it stands for on this backbone.",
            hint="Take the settings that pipeline.configure gives, or say finding or finding+eos.",
        )
    if config.correct.alpha_max > 0 and config.energy.map == "boosted" and config.boost.renorm:
        raise BadRequest(
            "energy.map=boosted is defined for the unnormalised boost only.",
            hint="Set energy.map=raw, or boost.renorm=false.",
        )


def _energy_levels(task: EditTask, config: EditConfig, grids: dict[int, Grid]) -> tuple[int, ...]:
    """Levels of Eq. 8. ``auto``: the coarsest on which every region covers at least 4 cells."""
    text = config.energy.levels
    if text == "auto":
        fine = [at for at in grids if min(_cells(task, grids[at])) >= priors.AUTO_CELLS]
        return (max(fine, default=min(grids)),)
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) in grids for part in parts):
        raise BadRequest(
            f"energy.levels is '{text}'; this network regulates levels "
            f"{', '.join(map(str, grids))}.",
            hint="Give some of them, separated by commas, or auto.",
        )
    return tuple(sorted({int(part) for part in parts}))


def _alive(plan: LawPlan) -> LawPlan:
    """The plan, if every finding that is corrected is still there at a level of the energy."""
    alive = {f for at, f in plan.scored("cond") if at in plan.energy_levels}
    wanted = {f for f, own in enumerate(plan.finding_tokens["cond"]) if own}
    if plan.corrects and wanted - alive:
        raise BadRequest(
            f"A region has vanished at energy.levels={plan.config.energy.levels}.",
            hint="Use energy.levels=auto, or name a larger region.",
        )
    return plan
