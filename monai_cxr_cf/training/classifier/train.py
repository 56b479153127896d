# SPDX-License-Identifier: Apache-2.0
"""A data folder and a recipe in, a judge's folder out: ``cxr-cf train classifier``.

Two stages. The trunk and the region head learn from every image of the judge's own side without
any reader's label (regions of the segmenter, grey values of the zones); J2's trunk comes from
ImageNet and stays frozen. Then one linear map per finding learns from the labelled images.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from monai_cxr_cf.judges.networks import JudgeNetwork, LiteTrunk
from monai_cxr_cf.training import loop
from monai_cxr_cf.training.classifier.data import (
    JudgeSet,
    augmented,
    load_judge_set,
    plain,
)
from monai_cxr_cf.training.classifier.export import export_judge
from monai_cxr_cf.training.classifier.recipe import ClassifierRecipe, Pretext

log = logging.getLogger(__name__)


class FirstStage:
    """Model, optimiser, average and files of the first stage of one training."""

    def __init__(
        self, recipe: ClassifierRecipe, data: JudgeSet, *, out: Path, max_minutes: float | None
    ) -> None:
        self.recipe, self.data, self.out = recipe, data, out
        self.accelerator = Accelerator(mixed_precision=recipe.precision)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = Pretext(recipe.build()).to(self.accelerator.device)
        trained = [w for w in self.model.parameters() if w.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.ema = loop.Ema(self.model, recipe.ema_decay)
        self.progress = loop.Pace(recipe.steps, max_minutes)
        self.journal = loop.Journal(out)
        patients = sorted({row.patient for row in data.rows})
        kept_back = set(patients[:: max(2, len(patients) // 40)])  # whom the first stage never sees
        self.seen = [i for i, row in enumerate(data.rows) if row.patient not in kept_back]
        self.unseen = [i for i, row in enumerate(data.rows) if row.patient in kept_back]

    def train_mode(self) -> None:
        """Training mode; a frozen trunk keeps its own statistics."""
        self.model.train()
        if isinstance(self.model.network.trunk, LiteTrunk):
            self.model.network.trunk.eval()

    def draw(self, step: int, stream: int = 0) -> tuple[Tensor, Tensor]:
        """The augmented batch of a step: a function of (seed, step, stream)."""
        chosen = loop.step_rng(self.recipe.seed, step, stream).choice(self.seen, self.recipe.batch)
        generator = loop.step_generator(self.recipe.seed, step, stream)
        images, maps = augmented(self.data.squares[chosen], self.data.regions[chosen], generator)
        return images.to(self.accelerator.device), maps.to(self.accelerator.device)

    def step(self) -> dict[str, float]:
        """One optimiser step; returns the losses."""
        recipe, at = self.recipe, self.progress.step
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * loop.learning_rate_factor(
                self.progress.share, at, recipe.warmup
            )
        self.train_mode()
        images, regions = self.draw(at)
        with self.accelerator.autocast():
            losses = self.model(images, regions)
        total = 4 * losses["regions"] + losses["overlap"] + recipe.grey_weight * losses["grey"]
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        self.ema.update(self.model)
        self.progress.advance(recipe.batch)
        return {"loss": float(total.detach())} | {k: float(v.detach()) for k, v in losses.items()}

    @torch.no_grad()
    def averaged(self) -> Pretext:
        """A float32 copy with the averaged weights; batch statistics measured under them."""
        model = Pretext(self.recipe.build())
        model.load_state_dict(self.model.state_dict())
        self.ema.copy_to(model)
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        if not isinstance(model.network.trunk, LiteTrunk):
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # cumulative mean
            model.train()
            for index in range(12):
                model.network.look(self.draw(index, stream=1)[0].cpu())
        return model.eval()

    @torch.no_grad()
    def check(self) -> JudgeNetwork:
        """Losses on patients of the own side that were kept back, curves, checkpoint."""
        model = self.averaged()
        chosen = self.unseen[:48]
        regions = torch.from_numpy(self.data.regions[chosen].astype("float32"))
        losses = model(plain(self.data.squares[chosen]), regions)
        self.journal.write(
            self.progress.step, **{f"unseen_{k}": float(v) for k, v in losses.items()}
        )
        self.journal.curves()
        loop.save_state(self.out / "state.pt", loop.state_of(self))
        return model.network

    def restore(self) -> None:
        """Continue from the checkpoint of ``check``."""
        loop.restore(self, self.out / "state.pt")


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
    With ``resume`` the first stage goes on from ``out/state.pt`` bit-exactly; ``max_minutes``
    bounds it. The second stage takes one pass over the labelled images.
    """
    recipe = loop.read_recipe(config, ClassifierRecipe)
    images = load_judge_set(data, recipe.judge, side=recipe.side, cache=out)
    run = FirstStage(recipe, images, out=out, max_minutes=max_minutes)
    if resume:
        run.restore()
    while run.progress.share < 1:
        losses = run.step()
        if run.progress.step % 20 == 0:
            run.journal.write(run.progress.step, **losses, **run.progress.figures())
        if run.progress.step % recipe.check_every == 0:
            run.check()
    network = run.check()
    minutes = run.progress.seconds / 60

    return export_judge(recipe, network, images, folder=out / "judge", minutes=minutes)
