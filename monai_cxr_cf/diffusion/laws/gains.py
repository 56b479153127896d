# SPDX-License-Identifier: Apache-2.0
"""The cross-attention weight map W of each level (docs/method.md 2.3): K_path, K_anat, EOS and PAD.

Made once by ``plan.plan_laws`` from the task's token positions and Ω; ``cross_attention`` runs
these laws.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.laws import priors
from monai_cxr_cf.diffusion.laws.specification import DenseShift, TokenGain
from monai_cxr_cf.diffusion.task import PROMPT_TOKENS, EditTask
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig

DENSE_CROSS_WEIGHT = 1.0
INSIDE = 0.5  # Ω or organ share from which a cell lies in a token's segment (dense)
Rows = dict[int, Tensor]


def token_gains(
    task: EditTask, config: EditConfig, omega: Mapping[int, Tensor]
) -> dict[tuple[str, int, bool], TokenGain]:
    """(branch, level, boost on) -> W, left out where W is 1 everywhere.

    Conditional branch: 1 + η_f Ω_f on K_path, 1 - λ + λ m_organ on K_anat; K_path wins on overlap.
    Negative branch: only where findings are removed, 1 + η Ω on their words there. Positions are
    those of ``positions``.
    """
    _check_branches(task)
    laws = {}
    for at, maps in omega.items():
        anatomy = _anatomy_rows(task, config, maps)
        boost = _boost_rows(task, config, maps, where="prompt")
        negative = _boost_rows(task, config, maps, where="negative")
        tables: dict[tuple[str, int, bool], Rows] = {
            ("cond", at, False): anatomy,
            ("cond", at, True): {**anatomy, **boost},
            ("negative", at, True): negative,
        }
        for key, table in tables.items():
            rows = {k: row for k, row in sorted(table.items()) if bool((row != 1).any())}
            if rows:
                gain = torch.stack(list(rows.values()))
                laws[key] = TokenGain(tuple(rows), gain, config.boost.renorm)
    return laws


def _check_branches(task: EditTask) -> None:
    if task.mode not in ("removal", "mixed") and any(t.where == "negative" for t in task.targets):
        raise BadRequest("A finding lies in the negative prompt; removals only boost that branch.")


def positions(task: EditTask, number: int, *, carrier: str) -> tuple[int, ...]:
    """K_path of target ``number``, its own words first, among the tokens of its branch.

    A text of its own stands behind the task's prompt: its token k is 77 (number + 1) + k. With
    ``carrier`` "finding+eos" the end and padding tokens of a target prompt belong to K_path.
    """
    target = task.targets[number]
    first, tokens, special = 0, target.tokens, task.special_tokens
    if target.words is not None:
        first = PROMPT_TOKENS * (number + 1)
        tokens, special = target.words.tokens, target.words.special_tokens
    own = dict.fromkeys(tokens)
    if carrier != "finding" and tokens and target.where == "prompt":
        own |= dict.fromkeys(special)
    return tuple(first + k for k in own)


def _path(task: EditTask) -> set[int]:
    """The finding words of the task's prompt and of the findings' own."""
    numbers = (n for n, t in enumerate(task.targets) if t.where == "prompt")
    return {k for n in numbers for k in positions(task, n, carrier="finding")}


def _organ_tokens(task: EditTask) -> dict[int, str]:
    """K_anat: position -> organ, of the prompt, else of the findings' own texts."""
    if not task.texts:
        return dict(task.organ_tokens)
    return {
        PROMPT_TOKENS * (number + 1) + k: organ
        for number, words in enumerate(task.texts)
        for k, organ in words.organ_tokens.items()
    }


def _anatomy_rows(task: EditTask, config: EditConfig, maps: Tensor) -> Rows:
    lam, grid = config.anatomy.strength, tuple(maps.shape[-2:])
    if lam == 0:
        return {}
    rows, path = {}, _path(task)
    for k, organ in _organ_tokens(task).items():
        if k not in path:
            share = priors.organ_prior(task.organs, organ, (grid[0], grid[1]))
            rows[k] = (1 - lam + lam * torch.as_tensor(share).to(maps)).flatten()
    return rows


def _boost_rows(task: EditTask, config: EditConfig, maps: Tensor, *, where: str) -> Rows:
    """W of K_path in one prompt; a token of two findings takes the stronger gain of each cell."""
    if config.boost.eta == 0:  # the law is off, whatever a finding asks for
        return {}
    exponents: Rows = {}
    for number, (target, omega) in enumerate(zip(task.targets, maps, strict=True)):
        if target.where != where:
            continue
        gain = (config.boost.eta if target.eta is None else target.eta) * omega.flatten()
        for k in positions(task, number, carrier=config.tokens.carrier):
            exponents[k] = torch.maximum(exponents[k], gain) if k in exponents else gain
    return {k: 1 + gain for k, gain in exponents.items()}


def dense_shifts(
    task: EditTask, config: EditConfig, omega: Mapping[int, Tensor]
) -> dict[int, DenseShift]:
    """Level -> cross-attention half of the dense gate: finding and organ tokens to their cells."""
    if config.gate.mode != "dense" or config.gate.lam == 0:
        return {}
    levels = (at for at in config.gate.levels if at in omega)
    return {at: _dense_shift(task, config, omega[at]) for at in levels}


def _dense_shift(task: EditTask, config: EditConfig, maps: Tensor) -> DenseShift:
    grid = (int(maps.shape[-2]), int(maps.shape[-1]))
    # The dense gate knows one text: findings with texts of their own are refused by ``plan``.
    segments: Rows = {
        k: torch.as_tensor(priors.organ_prior(task.organs, organ, grid)).to(maps).flatten()
        for k, organ in task.organ_tokens.items()
    }
    for target, region in zip(task.targets, maps, strict=True):
        if target.where == "prompt":
            segments |= {k: region.flatten() for k in target.tokens}
    same = maps.new_full((grid[0] * grid[1], PROMPT_TOKENS), -1.0)
    area = maps.new_zeros(1, PROMPT_TOKENS)
    for k, share in segments.items():
        inside = (share >= INSIDE).to(maps)
        same[:, k], area[0, k] = inside, inside.mean()
    return DenseShift(same, area, DENSE_CROSS_WEIGHT, config.gate.lam)
