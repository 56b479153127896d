# SPDX-License-Identifier: Apache-2.0
"""A data folder and a recipe in, a judge's folder out: ``cxr-cf train classifier``.

Trunk, region head and maps learn together, from the labels of the judge's own patients and the
segmenter's regions. Patients of the tuning subset, from whom no judge learns, validate and
calibrate it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from monai_cxr_cf.judges.networks import JudgeNetwork
from monai_cxr_cf.measures.probe import auc
from monai_cxr_cf.training import loop
from monai_cxr_cf.training.classifier.augment import augmented
from monai_cxr_cf.training.classifier.data import Material, Seen, load_regions, load_seen, plain
from monai_cxr_cf.training.classifier.export import Learnt, export_judge
from monai_cxr_cf.training.classifier.labels import (
    label_table,
    log_odds,
    second_looks,
    strata,
)
from monai_cxr_cf.training.classifier.recipe import (
    ClassifierRecipe,
    Lesson,
    finding_loss,
    region_loss,
)
from monai_cxr_cf.training.masters import adamw

log = logging.getLogger(__name__)
VIEWS = ("PA", "AP")
BATCHES = 24  # from which the averaged network's statistics are measured


class Training:
    """Model, optimiser, average and files of one training.

    Args:
        recipe: what decides it besides the data.
        data: a data folder, of which one judge sees its own patients; or what is seen.
        out: for its files.
        max_minutes: bounds it.
    """

    def __init__(
        self,
        recipe: ClassifierRecipe,
        data: Path | Material,
        *,
        out: Path,
        max_minutes: float | None = None,
    ) -> None:
        self.recipe, self.out = recipe, out
        self.accelerator = Accelerator(mixed_precision=recipe.precision)
        given = data if isinstance(data, Material) else material(recipe, data, cache=out)
        self.seen, self.unseen, self.regions = given.seen, given.unseen, given.regions
        self.labels = label_table(self.seen.rows, recipe.learnt(), given.looks)
        self.truth = label_table(self.unseen.rows, recipe.findings, given.looks)
        self.odds = odds_of(recipe, self.seen, self.labels)
        share = (np.nansum(self.labels, axis=0) + 0.5) / ((~np.isnan(self.labels)).sum(0) + 1)
        self.weights = torch.from_numpy((share**-0.5 / (share**-0.5).mean()).astype(np.float32))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = Lesson(recipe).to(self.accelerator.device)
        self.optimizer = self._optimizer()
        self.ema = loop.Ema(self.model, recipe.ema_decay)
        self.progress = loop.Pace(recipe.steps, max_minutes)
        self.journal = loop.Journal(out)

    def _optimizer(self) -> torch.optim.Optimizer:
        recipe, network = self.recipe, self.model.network
        trunk = [w for w in network.trunk.parameters() if w.requires_grad]
        heads = [*network.region_head.parameters(), *network.findings.parameters()]
        heads += self.model.aside.parameters()
        groups = [
            {"params": trunk, "rate": recipe.learning_rate, "weight_decay": recipe.weight_decay},
            {"params": heads, "rate": recipe.head_rate, "weight_decay": recipe.head_decay},
        ]
        return adamw(groups, self.accelerator.device)

    def draw(self, step: int, stream: int = 0) -> tuple[NDArray[np.intp], Tensor, Tensor]:
        """Rows, images and regions of a step's batch: a function of (seed, step, stream)."""
        rng = loop.step_rng(self.recipe.seed, step, stream)
        chosen = rng.choice(len(self.seen.rows), self.recipe.batch)
        generator = loop.step_generator(self.recipe.seed, step, stream)
        images, maps = augmented(self.seen.squares[chosen], self.regions[chosen], generator)
        device = self.accelerator.device
        return chosen, images.to(device), maps.to(device)

    def step(self) -> dict[str, float]:
        """One optimiser step; returns the losses."""
        recipe, at, device = self.recipe, self.progress.step, self.accelerator.device
        factor = loop.learning_rate_factor(self.progress.share, at, recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        self.model.train()
        chosen, images, regions = self.draw(at)
        told, odds = (torch.from_numpy(a[chosen]).to(device) for a in (self.labels, self.odds))
        with torch.random.fork_rng(devices=[]), self.accelerator.autocast():
            torch.manual_seed(int(loop.step_rng(recipe.seed, at, 3).integers(0, 2**62)))
            logits, found = self.model(images)
        losses = {
            "findings": finding_loss(logits.float(), told, odds, self.weights.to(device)),
            "regions": region_loss(found.float(), regions),
        }
        total = losses["findings"] + recipe.region_weight * losses["regions"]
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.ema.update(self.model)
        self.progress.advance(recipe.batch)
        return {"loss": float(total.detach())} | {k: float(v.detach()) for k, v in losses.items()}

    @torch.no_grad()
    def averaged(self) -> JudgeNetwork:
        """A float32 network with the averaged weights; batch statistics measured under them."""
        model = Lesson(self.recipe)
        model.load_state_dict(self.model.state_dict())
        self.ema.copy_to(model)
        model.train()
        for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.training):
            norm.reset_running_stats()
            norm.momentum = None  # cumulative mean
        for index in range(BATCHES):
            model.network.look(self.draw(index, stream=1)[1].cpu())
        maps = model.network.findings
        maps.weight.mul_(model.sees)
        return model.network.eval()

    @torch.no_grad()
    def scores(self, network: JudgeNetwork) -> NDArray[np.float64]:
        """(N, findings) logits of the patients from whom no judge learns."""
        parts = [network(part) for part in torch.split(plain(self.unseen.squares), 32)]
        return torch.cat(parts).double().numpy()

    def check(self) -> tuple[JudgeNetwork, NDArray[np.float64]]:
        """The averaged network and its scores; AUC on unseen patients, curves, checkpoint."""
        network = self.averaged()
        scores = self.scores(network)
        figures = {}
        for index, finding in enumerate(self.recipe.findings):
            for view in VIEWS:
                inside = np.array([row.view.startswith(view) for row in self.unseen.rows])
                inside &= ~np.isnan(self.truth[:, index])
                value = auc(scores[inside, index], self.truth[inside, index])
                if not np.isnan(value):
                    figures[f"auc_{finding}_{view}".replace(" ", "_")] = value
        mean = float(np.mean(list(figures.values()))) if figures else float("nan")
        self.journal.write(self.progress.step, **figures, auc=mean)
        self.journal.curves()
        loop.save_state(self.out / "state.pt", loop.state_of(self))
        return network, scores

    def restore(self) -> None:
        """Continue from the checkpoint of ``check``."""
        loop.restore(self, self.out / "state.pt")


def material(recipe: ClassifierRecipe, data: Path, *, cache: Path) -> Material:
    """The patients of one judge, and of the tuning subset, whom no judge learns from."""
    seen = load_seen(data, recipe.judge, recipe.shape())
    unseen = load_seen(data, "tuning", recipe.shape())
    regions = load_regions(data, seen.rows, side=recipe.side, cache=cache)
    return Material(seen, unseen, regions, second_looks(data))


def odds_of(
    recipe: ClassifierRecipe, seen: Seen, labels: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, learnt) log odds of each finding in each row's stratum."""
    columns = [
        log_odds(labels[:, k], strata(seen.rows, seen.small, name, apart=name in recipe.apart))
        for k, name in enumerate(recipe.learnt())
    ]
    return np.stack(columns, 1)


def train_classifier(
    config: Path,
    data: Path,
    *,
    out: Path,
    resume: bool = False,
    max_minutes: float | None = None,
) -> Path:
    """Train one judge and write ``out/judge``, which ``judges.classifier.load_judge`` reads.

    ``out`` also receives state.pt, history.jsonl, curves.png, TensorBoard events and organs.npz.
    With ``resume`` it goes on from ``out/state.pt`` bit-exactly; ``max_minutes`` bounds it.
    """
    recipe = loop.read_recipe(config, ClassifierRecipe)
    run = Training(recipe, data, out=out, max_minutes=max_minutes)
    if resume:
        run.restore()
    while run.progress.share < 1:
        losses = run.step()
        if run.progress.step % 20 == 0:
            run.journal.write(run.progress.step, **losses, **run.progress.figures())
        if run.progress.step % recipe.check_every == 0:
            run.check()
    network, scores = run.check()
    minutes = run.progress.seconds / 60
    learnt = Learnt(recipe, network, run.seen, run.unseen, run.truth, scores, minutes)
    return export_judge(learnt, out / "judge")
