# SPDX-License-Identifier: Apache-2.0
"""A data folder and a recipe in, segmenter weights out: ``cxr-cf train segmentation``.

Trains the landmark network (recipe segmentation.yaml) or the U-Net (segmentation_unet.yaml).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from monai_cxr_cf.anatomy.hybridgnet import HybridGNet
from monai_cxr_cf.anatomy.unet import OrganUNet
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.training import loop
from monai_cxr_cf.training.segmentation.augment import Augmentation
from monai_cxr_cf.training.segmentation.data import SegmentationSet, load_training_set
from monai_cxr_cf.training.segmentation.steps import Batch, Sampler, landmark_losses, pixel_losses

log = logging.getLogger(__name__)
FILES = {"hybridgnet": "model.pt", "unet": "unet.safetensors"}  # as in the models folder


@dataclass(frozen=True)
class SegmentationRecipe:
    """One training of one segmenter; every key of the YAML file."""

    network: str = "hybridgnet"  # hybridgnet or unet
    width: int = 16  # channels of the landmark network at half resolution
    channels: tuple[int, ...] = (12, 24, 48, 96, 128, 128)  # of the U-Net
    size: int = 256  # side of the padded square
    shares: tuple[int, int, int] = (7, 5, 4)  # per batch: with heart, with landmarks, masks only
    steps: int = 4500
    learning_rate: float = 1.5e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    kl_weight: float = 1e-4
    dense_weight: float = 400.0  # its gradient is that much smaller than that of the points
    outline_weight: float = 0.5
    ema_decay: float = 0.998
    precision: str = "bf16"  # bf16 or fp32
    seed: int = 11
    log_every: int = 25
    save_every: int = 250
    norm_batches: int = 24  # batches that re-measure the batch norms under averaged weights

    def build(self) -> HybridGNet | OrganUNet:
        """The untrained network, its initial weights drawn from ``seed``."""
        if self.network not in ("hybridgnet", "unet"):
            raise BadRequest(
                f'There is no segmenter "{self.network}".', hint="Choose hybridgnet or unet."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = (
                HybridGNet(self.width) if self.network == "hybridgnet" else OrganUNet(self.channels)
            )
        # Channels last is what the CPU's bf16 convolutions want.
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Trainer:
    """Network, optimiser, average and step counter of one run; ``step`` advances all of them."""

    def __init__(self, recipe: SegmentationRecipe, data: SegmentationSet) -> None:
        self.recipe = recipe
        self.model = recipe.build()
        self.sampler = Sampler(data, recipe.shares, Augmentation())
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.ema = loop.Ema(self.model, recipe.ema_decay)
        self.progress = loop.Pace(recipe.steps)

    def step(self) -> dict[str, float]:
        """One optimiser step; every random draw is a function of (seed, step)."""
        recipe, at = self.recipe, self.progress.step
        factor = loop.learning_rate_factor(self.progress.share, at, recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * factor
        self.model.train()
        generator = loop.step_generator(recipe.seed, at)
        losses = self._losses(self.sampler.draw(generator), generator)
        total = sum((self._weight(name) * loss for name, loss in losses.items()), torch.zeros(()))
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.ema.update(self.model)
        self.progress.advance()
        return {"loss": float(total.detach()), "gradient": float(norm)} | {
            name: float(loss.detach()) for name, loss in losses.items()
        }

    def averaged(self) -> nn.Module:
        """A copy with the averaged weights, its batch norms re-measured under them."""
        model = self.recipe.build()
        model.load_state_dict(self.model.state_dict())
        self.ema.copy_to(model)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # cumulative mean
        model.train()
        with (
            torch.no_grad(),
            torch.autocast("cpu", torch.bfloat16, enabled=self._precision != torch.float32),
        ):
            for index in range(self.recipe.norm_batches):
                generator = loop.step_generator(self.recipe.seed, index, stream=1)
                images = self.sampler.draw(generator).images
                model.features(images) if isinstance(model, HybridGNet) else model.scores(images)
        return model.eval()

    @property
    def _precision(self) -> torch.dtype:
        return torch.bfloat16 if self.recipe.precision == "bf16" else torch.float32

    def _weight(self, name: str) -> float:
        recipe = self.recipe
        weights = {
            "kl": recipe.kl_weight,
            "dense": recipe.dense_weight,
            "outline": recipe.outline_weight,
        }
        return weights.get(name, 1.0)

    def _losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        if isinstance(self.model, HybridGNet):
            return landmark_losses(self.model, batch, generator, self._precision)
        with torch.autocast("cpu", self._precision, enabled=self._precision != torch.float32):
            logits = self.model.scores(batch.images)
        return pixel_losses(logits, batch)


def train_segmentation(
    recipe: SegmentationRecipe,
    data: Path,
    *,
    out: Path,
    resume: bool = False,
    max_minutes: float | None = None,
) -> Path:
    """Train one segmenter and write its averaged weights.

    Args:
        recipe: network and schedule.
        data: folder with index.csv.
        out: receives state.pt, history.jsonl, curves.png and the weights; made if missing.
        resume: continue from ``out/state.pt``.
        max_minutes: planned minutes in all; the schedule ends by then.

    Returns:
        ``out/model.pt`` or ``out/unet.safetensors``, ready for the models folder.
    """
    trainer = Trainer(recipe, load_training_set(data, recipe.size))
    journal = loop.Journal(out)
    trainer.progress.max_minutes = max_minutes
    if resume:
        loop.restore(trainer, out / "state.pt")
    while trainer.progress.share < 1.0:
        values = trainer.step()
        at = trainer.progress.step
        if at % recipe.log_every == 0 or trainer.progress.share >= 1.0:
            journal.write(at, **values, minutes_left=trainer.progress.minutes_left)
        if at % recipe.save_every == 0 or trainer.progress.share >= 1.0:
            loop.save_state(out / "state.pt", loop.state_of(trainer))
            export(trainer.averaged(), out / FILES[recipe.network])
            journal.curves()
    return out / FILES[recipe.network]


def export(model: nn.Module, path: Path) -> None:
    """Write ``compact`` weights, as safetensors or a plain state dict; never half a file."""
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        part = path.with_suffix(".part")
        save_file(compact(model), str(part))
        os.replace(part, path)
    else:
        loop.save_state(path, compact(model))


def compact(model: nn.Module) -> dict[str, Tensor]:
    """A plain state dict: parameters in float16, batch statistics in float32, counters as is."""
    weights = {name for name, _ in model.named_parameters()}
    return {
        name: (value.half() if name in weights else value).detach().contiguous()
        for name, value in model.state_dict().items()
    }
