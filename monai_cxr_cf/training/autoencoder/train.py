# SPDX-License-Identifier: Apache-2.0
"""A data folder in, a KL autoencoder (f8, four latent channels) out: the first half of a backbone.

Crops of square radiographs, L1 + squared error + edge error + a small KL term, EMA weights; terms
for structure and texture where the recipe weighs them. The result is a diffusers ``AutoencoderKL``
folder whose ``scaling_factor`` is measured on the data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.measures.perceptual import psnr, ssim
from monai_cxr_cf.training.autoencoder.linear_start import linear_start
from monai_cxr_cf.training.autoencoder.load import load_autoencoder
from monai_cxr_cf.training.autoencoder.losses import autoencoder_loss
from monai_cxr_cf.training.autoencoder.quality import reconstruction_sheet, texture_share
from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe, build
from monai_cxr_cf.training.autoencoder.reconstruct import encode, reconstruct
from monai_cxr_cf.training.autoencoder.texture import Texture, check_lpips
from monai_cxr_cf.training.autoencoder.whiten import fit_basis, fold
from monai_cxr_cf.training.images import generator_rows, large_rows, square_images
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
    lpips: Path | None = None,
) -> Path:
    """Train and write ``out/vae`` (diffusers AutoencoderKL, EMA weights); returns that folder.

    ``out`` also receives state.pt, history.jsonl, curves.png, reconstructions.png and TensorBoard
    events. With ``resume`` the run goes on from ``out/state.pt`` bit-exactly.
    ``lpips`` holds the weights of the perceptual term.
    """
    keep_freed()
    recipe = read_recipe(config, AutoencoderRecipe)
    check_lpips(recipe, lpips)
    rows = read_index(data)
    train_rows = large_rows(data, generator_rows(rows), recipe.least_side)
    judge_rows = generator_rows(rows, "judge")[:32]
    with start_accelerator(recipe.precision).main_process_first():
        squares = square_images(
            data, [*train_rows, *judge_rows], side=recipe.side, cache=out / "squares.npz"
        )
    images = np.stack([squares[row.id] for row in train_rows])
    run = AutoencoderTraining(recipe, images, out, max_minutes=max_minutes, lpips=lpips)
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
        lpips: Path | None = None,
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(recipe.seed)
        self.recipe, self.out = recipe, out
        self.accelerator = start_accelerator(recipe.precision)
        self.model = self._start(images).to(self.accelerator.device)
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        device = self.accelerator.device
        betas = (0.9, recipe.beta2)
        self.optimizer = adamw(trained, device, rate=recipe.learning_rate, betas=betas)
        self.masters = Masters(self.model, recipe.precision, self.accelerator)
        self.ema = Ema(self.model, recipe.ema_decay)
        self.texture = Texture(recipe, self.accelerator, lpips)
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
        kept = [model.encoder, model.quant_conv]
        if fine := self.recipe.fine_levels:
            decoder = model.decoder
            kept += [model.post_quant_conv, decoder.conv_in, decoder.mid_block]
            kept += decoder.up_blocks[:-fine]
        for part in kept:
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
        texture = self.texture.terms(output, batch, progress.step)
        losses["total"] = torch.stack([losses["total"], *texture.values()]).sum()
        self.accelerator.backward(losses["total"])
        self.masters.gather()
        share_gradients(self.accelerator, self.model)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        losses |= texture | self.texture.learn(output, batch, factor)
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
        self.journal.write(self.progress.step, texture=texture_share(rebuilt, target))
        reconstruction_sheet(target[:6], rebuilt[:6], self.out / "reconstructions.png")
        self.journal.curves()
        state = state_of(self) | {"texture": self.texture.state_dict()}
        save_state(self.out / "state.pt", state)

    def restore(self) -> None:
        """Continue from the checkpoint of ``check``."""
        state = restore(self, self.out / "state.pt")
        self.texture.load_state_dict(state.get("texture", {}))
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
