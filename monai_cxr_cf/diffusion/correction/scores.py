# SPDX-License-Identifier: Apache-2.0
"""Eq. 7: which share of a finding's attention lies in its region, per level and finding.

Recorded K_path columns and the plan's Ω in; scores and lifts out, differentiable for
``correction`` and JSON-ready for the trace.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.attention.control import Columns
from monai_cxr_cf.diffusion.laws.plan import LawPlan
from monai_cxr_cf.errors import BadRequest

Key = tuple[int, str]  # (level, finding)
ScoreTable = dict[
    str, dict[str, list[float | None]]
]  # level -> finding -> one value per batch item


@dataclass(frozen=True)
class Scores:
    """Scores of one UNet pass.

    Attributes:
        score: (level, finding) -> (B,) in 0..1: mean over the finding's tokens and the layers.
        lift: same keys: (score - mean Ω) / (1 - mean Ω); 0 for uniform attention, 1 for all inside.
        layers: level -> number of layers averaged.
        energy_levels: levels of Eq. 8.
    """

    score: Mapping[Key, Tensor]
    lift: Mapping[Key, Tensor]
    layers: Mapping[int, int]
    energy_levels: tuple[int, ...]

    def per_finding(self) -> dict[str, Tensor]:
        """Finding -> (B,): mean over the layers of the energy levels."""
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        for (level, name), value in self.score.items():
            if level in self.energy_levels:
                n = self.layers[level]
                sums[name] = sums[name] + n * value if name in sums else n * value
                counts[name] = counts.get(name, 0) + n
        return {name: total / counts[name] for name, total in sums.items()}

    def as_dict(self) -> dict[str, ScoreTable]:
        """JSON-ready: {"score": {"2": {finding: [per item]}}, "lift": {...}}."""
        return {"score": _table(self.score), "lift": _table(self.lift)}


def roi_scores(
    columns: Columns, plan: LawPlan, *, map: str = "raw", branch: str = "cond"
) -> Scores:
    """Eq. 7, score_k = <A_k, Ω> / <A_k, 1>, from columns recorded in ``branch``.

    ``map`` = ``boosted`` scores A^path = A W (Eq. 6, unnormalised), ``raw`` scores A. Levels where
    a finding has vanished are left out; so are levels without recorded columns.
    """
    if map not in ("raw", "boosted"):
        raise BadRequest(f"Score map is {map!r}; expected raw or boosted.")
    gathered: dict[Key, list[Tensor]] = {}
    for level, f in plan.scored(branch):
        own = list(plan.finding_tokens[branch][f])
        for (at, _), maps in columns.items():
            if at == level:
                gain = _gain(plan, branch, level, maps) if map == "boosted" else 1.0
                share = _share((maps * gain)[:, own], plan.omega[level][f])
                gathered.setdefault((level, plan.findings[f]), []).append(share)
    score = {key: torch.stack(values).mean(0) for key, values in gathered.items()}
    means = {key: plan.omega[key[0]][plan.findings.index(key[1])].mean() for key in score}
    return Scores(
        score=score,
        lift={key: _lift(value, means[key]) for key, value in score.items()},
        layers={key[0]: len(values) for key, values in gathered.items()},
        energy_levels=plan.energy_levels,
    )


def _share(maps: Tensor, omega: Tensor) -> Tensor:
    """(B, tokens, h, w) -> (B,): mean over tokens of the mass share inside Ω."""
    mass = maps.sum((-2, -1)).clamp_min(torch.finfo(maps.dtype).tiny)
    return ((maps * omega).sum((-2, -1)) / mass).mean(-1)


def _lift(score: Tensor, mean: Tensor) -> Tensor:
    rest = 1 - mean
    return (score - mean) / rest if float(rest) > 0 else torch.zeros_like(score)


def _gain(plan: LawPlan, branch: str, level: int, like: Tensor) -> Tensor:
    """W of the recorded tokens, (tokens, h, w); 1 where the boost has no effect."""
    law = plan.gains.get((branch, level, True))
    rows = torch.ones_like(like[0])
    for i, token in enumerate(plan.tokens[branch]):
        if law is not None and token in law.tokens:
            rows[i] = law.gain[law.tokens.index(token)].view_as(rows[i])
    return rows


def _table(values: Mapping[Key, Tensor]) -> ScoreTable:
    table: ScoreTable = {}
    for (level, name), value in values.items():
        table.setdefault(str(level), {})[name] = finite_values(value)
    return table


def finite_values(values: Tensor) -> list[float | None]:
    """One number per item, None where it is not finite: JSON has no NaN."""
    return [v if math.isfinite(v) else None for v in values.detach().tolist()]


def energy(scores: Scores) -> Tensor:
    """Eq. 8 per batch item, (B,): mean over findings of 1 - s.

    s = mean of the scores over a finding's tokens and the layers of the energy levels; with one
    finding this is L = 1 - (1/|K_path|) Σ_k score_k.
    """
    s = torch.stack(list(scores.per_finding().values()))
    return 1 - s.mean(0)
