# SPDX-License-Identifier: Apache-2.0
"""Real radiographs and an exported batch in, AUC of a classifier by arm and finding out.

Every arm has the same number of steps, and a seed gives every arm the same initial weights; what
differs is what batches are drawn from. Nothing is chosen by the held-out radiographs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.batch.export.samples import ARMS
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.evaluation.augmentation.arms import cohort, digest, materials
from monai_cxr_cf.evaluation.augmentation.picture import draw
from monai_cxr_cf.evaluation.augmentation.table import figures, markdown
from monai_cxr_cf.evaluation.rows import Rows, key_of, write_json, write_text
from monai_cxr_cf.runs.progress import Clock
from monai_cxr_cf.training import loop
from monai_cxr_cf.training.classifier.data import Material
from monai_cxr_cf.training.classifier.recipe import ClassifierRecipe
from monai_cxr_cf.training.classifier.train import Training

FINDINGS = ("pleural effusion", "cardiomegaly")
RECIPE = ClassifierRecipe(
    side=96, detail=96, depth=8, frozen=5, findings=FINDINGS, batch=16, steps=400, check_every=50
)


@dataclass(frozen=True)
class Plan:
    """What is learnt, how often, and who is held out."""

    recipe: ClassifierRecipe = RECIPE
    seeds: int = 3
    split: str = "test"
    sources: tuple[str, ...] = ()


def evaluate_augmentation(
    data: Path,
    export: Path,
    out: Path,
    plan: Plan,
    *,
    progress: Progress,
    announce: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Train what is missing, write tables and picture into ``out``.

    Raises:
        UnreadableInput, BadRequest: as ``arms.cohort``; or a finding is not among the labels.
    """
    who = cohort(data, export, plan.split, plan.sources)
    announce(f"{len(who.train)} real radiographs, {len(who.added[ARMS[1]])} added, "
             f"{len(who.test)} held out; finding their organs.")  # fmt: skip
    given = materials(who, plan.recipe, out / "cache")
    scores = _scores(given, plan, out, progress)
    result = {"plan": _about(plan), **figures(given, plan.recipe.findings, scores)}
    write_json(out / "augmentation.json", result)
    write_text(out / "augmentation.md", markdown(result))
    draw(result["findings"], out / "augmentation.png")
    return result


def _scores(
    given: Mapping[str, Material], plan: Plan, out: Path, progress: Progress
) -> dict[str, list[NDArray[np.float64]]]:
    """Arm -> what the classifier of each seed says, from ``rows.jsonl`` where it stands there."""
    rows, clock = Rows(out / "rows.jsonl"), Clock()
    jobs = [(seed, arm) for seed in range(plan.seeds) for arm in ARMS]
    total = len(jobs) * plan.recipe.steps

    def tell(step: int) -> None:
        left = clock.left("train", step, total)
        event = {"stage": "train", "step": step, "total": total}
        progress(event if left is None else {**event, "eta_s": left})

    scores: dict[str, list[NDArray[np.float64]]] = {arm: [] for arm in ARMS}
    told = {arm: digest(given[arm], plan.recipe.learnt()) for arm in ARMS}
    for number, (seed, arm) in enumerate(jobs):
        recipe, done = replace(plan.recipe, seed=seed), number * plan.recipe.steps
        key = key_of({"recipe": asdict(recipe), "data": told[arm]})
        if key not in rows:
            found = learnt(recipe, given[arm], out / "runs" / key, lambda n, d=done: tell(d + n))  # type: ignore[misc]
            rows.add(key, {"arm": arm, "seed": seed, "scores": np.round(found, 6).tolist()})
        tell(done + recipe.steps)
        scores[arm].append(np.array(rows[key]["scores"]))
    return scores


def learnt(
    recipe: ClassifierRecipe, given: Material, place: Path, tell: Callable[[int], None]
) -> NDArray[np.float64]:
    """Train one classifier: (N, findings) logits of the held-out radiographs.

    It goes on from the checkpoint in ``place``, bit-exactly; the folder is removed at the end.
    """
    run, state = Training(recipe, given, out=place), place / "state.pt"
    if state.is_file():
        run.restore()
    while run.progress.step < recipe.steps:
        run.step()
        tell(run.progress.step)
        if run.progress.step % recipe.check_every == 0:
            loop.save_state(state, loop.state_of(run))
    found = run.scores(run.averaged())
    run.journal.board.close()
    shutil.rmtree(place, ignore_errors=True)
    return found


def _about(plan: Plan) -> dict[str, Any]:
    own = {"seeds": plan.seeds, "split": plan.split, "sources": list(plan.sources)}
    return {**own, "recipe": {**asdict(plan.recipe), "judge": "", "seed": 0}}
