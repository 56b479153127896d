# SPDX-License-Identifier: Apache-2.0
"""A data folder in, a KL autoencoder (f8, four latent channels) out: the first half of a backbone.

Crops of square radiographs, L1 + squared error + edge error + a small KL term, EMA weights. The
result is a diffusers ``AutoencoderKL`` folder whose ``scaling_factor`` is measured on the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from monai.losses import SSIMLoss
from numpy.typing import NDArray
from torch import Tensor

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.measures.perceptual import psnr, ssim
from monai_cxr_cf.training.autoencoder.linear_start import linear_start
from monai_cxr_cf.training.autoencoder.load import load_autoencoder
from monai_cxr_cf.training.autoencoder.quality import reconstruction_sheet
from monai_cxr_cf.training.autoencoder.reconstruct import encode, reconstruct
from monai_cxr_cf.training.autoencoder.whiten import fit_basis, fold
from monai_cxr_cf.training.images import generator_rows, square_images
from monai_cxr_cf.training.loop import (
    Ema,
    Journal,
    Pace,
    learning_rate_factor,
    read_recipe,
    restore,
    save_state,
    state_of,
    step_generator,
    step_rng,
)
from monai_cxr_cf.training.masters import Masters, adamw
from monai_cxr_cf.training.memory import keep_freed
from monai_cxr_cf.training.processes import (
    draws,
    share_clock,
    share_gradients,
    start_accelerator,
)


@dataclass(frozen=True)
class AutoencoderRecipe:
    """Everything that decides the weights besides the data."""

    channels: tuple[int, ...] = (16, 32, 128, 128)  # per level, three halvings between
    layers: int = 1  # residual blocks per encoder level; the decoder has one more
    norm_groups: int = 8
    side: int = 256  # px, square
    crop: int = 128  # px, training crops
    batch: int = 8
    steps: int = 6000
    learning_rate: float = 8e-4
    warmup: int = 50  # steps
    kl_weight: float = 1e-4  # per latent element, against per-pixel losses
    squared_weight: float = 2.0  # of the squared error, which PSNR measures
    gradient_weight: float = 0.5  # of the error of horizontal and vertical differences
    structure_weight: float = 0.0  # of 1 - SSIM
    ema_decay: float = 0.995
    precision: str = "bf16"  # autocast; "bf16-pure": bf16 weights, float32 masters; "no": float32
    seed: int = 7
    check_every: int = 150  # steps between validation, sheet and checkpoint
    compile: bool = False  # torch.compile: minutes to start, then faster
    linear: bool = True  # start as a working linear code instead of at random
    decoder_only: bool = False  # start from OUT/vae and train its decoder; latents stay as they are


def build(recipe: AutoencoderRecipe) -> AutoencoderKL:
    """An untrained autoencoder of the recipe's shape; no attention, so crops and images agree."""
    levels = len(recipe.channels)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=recipe.channels,
        layers_per_block=recipe.layers,
        latent_channels=4,
        norm_num_groups=recipe.norm_groups,
        sample_size=recipe.side,
        mid_block_add_attention=False,
    )


def autoencoder_loss(
    output: Tensor, target: Tensor, mean: Tensor, log_variance: Tensor, recipe: AutoencoderRecipe
) -> dict[str, Tensor]:
    """Losses of a batch in [-1, 1]: ``total`` and its parts.

    total = |e| + w_s e^2 + w_g |grad e| + w_kl KL(q || N(0, I)) + w_c (1 - SSIM), each a mean.
    """
    error = output.float() - target
    edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (
        error[..., 1:, :] - error[..., :-1, :]
    ).abs().mean()
    mean, log_variance = mean.float(), log_variance.float().clamp(-30, 20)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    l1, squared = error.abs().mean(), error.square().mean()
    total = (
        l1
        + recipe.squared_weight * squared
        + recipe.gradient_weight * edges
        + recipe.kl_weight * kl
    )
    parts = {"l1": l1, "mse": squared, "edges": edges, "kl": kl}
    if recipe.structure_weight:
        grey = (x.mean(1, keepdim=True) for x in (output.float(), target))
        parts["structure"] = SSIMLoss(2, data_range=2.0)(*grey)
        total = total + recipe.structure_weight * parts["structure"]
    return {"total": total, **parts}


def crops(images: NDArray[np.uint8], recipe: AutoencoderRecipe, step: int) -> Tensor:
    """Batch of one step: random crops, mirrored and with changed contrast; Bx3xCxC in [-1, 1]."""
    rng = step_rng(recipe.seed, step)
    size, out = recipe.crop, []
    for index in rng.integers(0, len(images), recipe.batch):
        top, left = rng.integers(0, images.shape[1] - size + 1, 2)
        crop = images[index, top : top + size, left : left + size].astype(np.float32) / 255
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        gain, shift = rng.uniform(0.8, 1.15), rng.uniform(-0.06, 0.06)
        out.append(np.clip((crop - 0.5) * gain + 0.5 + shift, 0, 1))
    batch = torch.from_numpy(np.stack(out)) * 2 - 1
    return batch[:, None].expand(-1, 3, -1, -1).contiguous()


def train_autoencoder(
    config: Path,
    data: Path,
    *,
    out: Path,
    resume: bool = False,
    max_minutes: float | None = None,
) -> Path:
    """Train and write ``out/vae`` (diffusers AutoencoderKL, EMA weights); returns that folder.

    ``out`` also receives state.pt, history.jsonl, curves.png, reconstructions.png and TensorBoard
    events. With ``resume`` the run goes on from ``out/state.pt`` bit-exactly.
    """
    keep_freed()
    recipe = read_recipe(config, AutoencoderRecipe)
    rows = read_index(data)
    train_rows, judge_rows = generator_rows(rows), generator_rows(rows, "judge")[:32]
    with start_accelerator(recipe.precision).main_process_first():
        squares = square_images(
            data, [*train_rows, *judge_rows], side=recipe.side, cache=out / "squares.npz"
        )
    images = np.stack([squares[row.id] for row in train_rows])
    run = AutoencoderTraining(recipe, images, out, max_minutes=max_minutes)
    if resume:
        run.restore()
    run.train(images, np.stack([squares[row.id] for row in judge_rows]))
    return run.export(images)


class AutoencoderTraining:
    """Model, optimiser, EMA and files of one training."""

    def __init__(
        self,
        recipe: AutoencoderRecipe,
        images: NDArray[np.uint8],
        out: Path,
        *,
        max_minutes: float | None,
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        self.recipe, self.out = recipe, out
        self.accelerator = start_accelerator(recipe.precision)
        self.model = self._start(images).to(self.accelerator.device)
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        device = self.accelerator.device
        self.optimizer = adamw(trained, device, rate=recipe.learning_rate)
        self.masters = Masters(self.model, recipe.precision, self.accelerator)
        self.ema = Ema(self.model, recipe.ema_decay)
        self.progress = Pace(recipe.steps, max_minutes)
        self.journal = Journal(out, active=self.accelerator.is_main_process)
        self.forward = torch.compile(self._forward) if recipe.compile else self._forward

    def _start(self, images: NDArray[np.uint8]) -> AutoencoderKL:
        if not self.recipe.decoder_only:
            model = build(self.recipe)
            if self.recipe.linear:
                linear_start(model, images[:: max(1, len(images) // 64)])
            return model
        model = load_autoencoder(self.out / "vae")
        for part in (model.encoder, model.quant_conv):
            part.requires_grad_(False)
        return model

    def _forward(self, batch: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        model = self.masters.worker
        moments = model.quant_conv(model.encoder(batch))
        mean, log_variance = moments.chunk(2, dim=1)
        latent = mean + torch.exp(0.5 * log_variance.clamp(-30, 20)) * noise
        return model.decoder(model.post_quant_conv(latent)), mean, log_variance

    def train(self, images: NDArray[np.uint8], held_out: NDArray[np.uint8]) -> None:
        """Until steps or minutes are over; ``held_out`` is what the checks look at."""
        recipe, progress = self.recipe, self.progress
        while progress.share < 1:
            losses = self.step(crops(images, recipe, self._draw()))
            if progress.step % 25 == 0:
                self.journal.write(progress.step, **progress.figures(), **losses)
            if progress.step % recipe.check_every == 0:
                self.check(held_out)
        self.check(held_out)

    def _draw(self) -> int:
        """Number of the next batch of this process."""
        return next(draws(self.accelerator, self.progress.step))

    def step(self, batch: Tensor) -> dict[str, float]:
        """One optimiser step; returns the losses."""
        progress, recipe = self.progress, self.recipe
        factor = learning_rate_factor(progress.share, progress.step, recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * factor
        side = batch.shape[-1] // 2 ** (len(recipe.channels) - 1)
        generator = step_generator(recipe.seed, self._draw())
        noise = torch.randn(len(batch), 4, side, side, generator=generator)
        if recipe.decoder_only:  # nothing is left to regularise: decode what an edit decodes
            noise.zero_()
        batch, noise = batch.to(self.accelerator.device), noise.to(self.accelerator.device)
        self.masters.publish()
        with self.masters.autocast():
            output, mean, log_variance = self.forward(*map(self.masters.cast, (batch, noise)))
        losses = autoencoder_loss(output, batch, mean, log_variance, recipe)
        self.accelerator.backward(losses["total"])
        self.masters.gather()
        share_gradients(self.accelerator, self.model)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        progress.advance(len(batch) * self.accelerator.num_processes)
        share_clock(self.accelerator, progress)
        return {name: value.item() for name, value in losses.items()}

    def averaged(self) -> AutoencoderKL:
        """A float32 copy with the EMA weights."""
        model = build(self.recipe)
        self.ema.copy_to(model)
        model.register_to_config(scaling_factor=self.model.config.scaling_factor)
        return model.eval()

    def check(self, images: NDArray[np.uint8]) -> None:
        """Validate the EMA weights on whole images; write sheet, curves and checkpoint."""
        if self.accelerator.is_main_process:
            self._check(images)
        self.accelerator.wait_for_everyone()

    def _check(self, images: NDArray[np.uint8]) -> None:
        rebuilt = reconstruct(self.averaged(), images)
        target = np.asarray(images / np.float32(255), np.float32)
        self.journal.write(
            self.progress.step,
            psnr=float(np.mean([psnr(a, b) for a, b in zip(rebuilt, target, strict=True)])),
            ssim=float(np.mean([ssim(a, b) for a, b in zip(rebuilt, target, strict=True)])),
        )
        reconstruction_sheet(target[:6], rebuilt[:6], self.out / "reconstructions.png")
        self.journal.curves()
        save_state(self.out / "state.pt", state_of(self))

    def restore(self) -> None:
        """Continue from the checkpoint of ``check``."""
        restore(self, self.out / "state.pt")
        self.masters.restored()

    def export(self, images: NDArray[np.uint8]) -> Path:
        """Write ``out/vae``: decorrelated latents, scaling factor 1 / std of posterior means."""
        if not self.accelerator.is_main_process:
            return self.out / "vae"
        model = self.averaged()
        if self.recipe.decoder_only:
            model.save_pretrained(self.out / "vae", safe_serialization=True)
            return self.out / "vae"
        with torch.no_grad():
            means = [encode(model, images[i : i + 8]) for i in range(0, min(256, len(images)), 8)]
        latents = torch.cat(means).numpy()
        basis = fit_basis(latents)
        fold(model, basis)
        model.register_to_config(scaling_factor=float(1 / basis.apply(latents).std()))
        model.save_pretrained(self.out / "vae", safe_serialization=True)
        return self.out / "vae"
