# SPDX-License-Identifier: Apache-2.0
"""A UNet and a text encoder learning to denoise latents: the part that every training shares.

``diffusion`` gives it untrained networks and drawn pairs, ``finetune`` a trained backbone and
reports. Optimiser steps, EMA, figures, checkpoints and the pipeline folder are the same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from monai_cxr_cf.errors import Cancelled
from monai_cxr_cf.training.generator.batches import Batch
from monai_cxr_cf.training.generator.monitor import (
    PipelineParts,
    caption_gap,
    prompt_sensitivity,
    sample_sheet,
    text_spread,
)
from monai_cxr_cf.training.generator.pipeline_folder import build_scheduler, save_pipeline
from monai_cxr_cf.training.generator.supervision import (
    attention_energy,
    cross_attention_parameters,
    watched,
)
from monai_cxr_cf.training.loop import (
    Ema,
    Journal,
    Pace,
    learning_rate_factor,
    restore,
    save_state,
    state_of,
)
from monai_cxr_cf.training.masters import Masters, adamw
from monai_cxr_cf.training.processes import draws, share_clock, share_gradients

KINDS = ("real", "twins", "crossed")  # of the samples of a batch
LEVELS = (300, 600, 800)  # timesteps at which captions are compared


@dataclass(frozen=True)
class DenoiserRecipe:
    """What every training of a denoiser lets you choose."""

    steps: int = 4000  # optimiser steps
    learning_rate: float = 5e-4  # UNet besides cross-attention
    cross_attention_rate: float = 7e-4
    text_rate: float = 2e-4  # text encoder; 0 = frozen
    warmup: int = 100  # steps
    beta2: float = 0.99  # of AdamW
    ema_decay: float = 0.996
    snr_cap: float = 5.0  # gamma of min-SNR weighting
    attention_weight: float = 0.05  # of the energy (Eq. 8) on drawn findings' words
    accumulate: int = 1  # batches a step and process
    dropout: float = 0.1  # of captions
    ending_dropout: float = 0.0  # of what end and padding tell of a caption: its words remain
    precision: str = "bf16"  # autocast; "bf16-pure": bf16 weights, float32 masters; "no": float32
    seed: int = 11
    log_every: int = 20  # steps between lines of history.jsonl
    check_every: int = 200  # steps between figures, sheets, checkpoint and pipeline folder
    sheet_steps: int = 20  # sampling steps of those figures and sheets
    select: str = "last"  # pipeline folder: EMA of the last check, or of the best "validation"


def denoising_loss(
    output: Tensor, noisy: Tensor, target: Tensor, alpha_bar: Tensor, cap: float
) -> Tensor:
    """Min-SNR weighted epsilon loss per sample, (B,).

    eps* = (z_t - sqrt(abar) z_target) / sqrt(1 - abar), which is the drawn noise unless the batch
    is crossed; weight min(SNR, cap) / SNR with SNR = abar / (1 - abar).
    """
    abar = alpha_bar.view(-1, 1, 1, 1)
    wanted = (noisy - abar.sqrt() * target) / (1 - abar).sqrt()
    snr = alpha_bar / (1 - alpha_bar)
    weight = snr.clamp(max=cap) / snr
    return weight * (output.float() - wanted).square().mean((1, 2, 3))


class Trainer:
    """Networks, optimiser, EMA and files of one training."""

    def __init__(
        self,
        recipe: DenoiserRecipe,
        networks: PipelineParts,
        *,
        out: Path,
        accelerator: Accelerator,
        max_minutes: float | None = None,
    ) -> None:
        self.recipe, self.out, self.accelerator = recipe, out, accelerator
        accelerator.gradient_accumulation_steps = recipe.accumulate
        device = accelerator.device
        self.tokenizer, self.vae = networks.tokenizer, networks.vae.to(device)
        self.scaling = float(self.vae.config.scaling_factor)
        parts = {"unet": networks.unet, "text": networks.text_encoder}
        self.model = torch.nn.ModuleDict(parts).to(device)
        self.model = self.model.to(  # type: ignore[call-overload]
            memory_format=torch.channels_last
        )
        self.optimizer = adamw(self._groups(), device, betas=(0.9, recipe.beta2))
        self.masters = Masters(self.model, recipe.precision, accelerator)
        self.ema = Ema(self.model, recipe.ema_decay)
        self.progress = Pace(recipe.steps, max_minutes)
        self.journal = Journal(out, active=accelerator.is_main_process)
        self.alpha_bar = build_scheduler().alphas_cumprod.to(device)
        self.best = math.inf  # validation loss of the pipeline folder
        self._whole = True  # no optimiser step is half done
        self._checked = -1  # step of the last check

    def _groups(self) -> list[dict[str, Any]]:
        unet, text, recipe = self.model["unet"], self.model["text"], self.recipe
        cross = cross_attention_parameters(unet)
        named = list(unet.named_parameters())
        text.requires_grad_(recipe.text_rate > 0)
        groups = [
            {"params": [p for n, p in named if n not in cross], "base": recipe.learning_rate},
            {"params": [p for n, p in named if n in cross], "base": recipe.cross_attention_rate},
        ]
        if recipe.text_rate > 0:
            groups.append({"params": list(text.parameters()), "base": recipe.text_rate})
        return [{**group, "lr": group["base"]} for group in groups]

    def train(self, make: Callable[[int, int], Batch], *, watch: Batch, probe: Tensor) -> Path:
        """Train until steps or minutes are over; returns ``out/pipeline``.

        ``make(seed, number)`` gives the batches, ``watch`` and ``probe`` (scaled latents) what the
        checks look at. A run that is stopped saves the last whole step first.
        """
        recipe, progress = self.recipe, self.progress
        try:
            while progress.share < 1:
                numbers = draws(self.accelerator, progress.step)
                figures = self.step(make(recipe.seed, number) for number in numbers)
                if progress.step % recipe.log_every == 0:
                    self.journal.write(progress.step, **progress.figures(), **figures)
                if progress.step % recipe.check_every == 0:
                    self.check(watch, probe)
        except (KeyboardInterrupt, Cancelled):
            if self._whole and progress.step:
                self.save()
            raise
        if self._checked != progress.step:
            self.check(watch, probe)
        return self.out / "pipeline"

    def step(self, batches: Batch | Iterable[Batch]) -> dict[str, float]:
        """One optimiser step over the batches of a window; returns the losses by kind of sample."""
        factor = learning_rate_factor(self.progress.share, self.progress.step, self.recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * factor
        self.optimizer.zero_grad()  # a window that was cut short leaves nothing behind
        self.masters.forget()
        self.masters.publish()
        window = [batches] if isinstance(batches, Batch) else batches
        parts = [self._backward(batch) for batch in window]
        share_gradients(self.accelerator, self.model)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._whole = False
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        images = sum(int(part["images"]) for part in parts) * self.accelerator.num_processes
        self.progress.advance(images)
        share_clock(self.accelerator, self.progress)
        self._whole = True
        return _means([{k: v for k, v in part.items() if k != "images"} for part in parts])

    def _backward(self, batch: Batch) -> dict[str, float]:
        """Add one batch's share of the window's gradient."""
        device, recipe = self.accelerator.device, self.recipe
        alpha_bar = self.alpha_bar[batch.level.to(device)]
        abar = alpha_bar.view(-1, 1, 1, 1)
        source, target = batch.source.to(device), batch.target.to(device)
        noisy = abar.sqrt() * source + (1 - abar).sqrt() * batch.noise.to(device)
        worker, supervised = self.masters.worker, recipe.attention_weight > 0
        unet = worker["unet"]
        with self.masters.autocast(), ExitStack() as stack:
            maps = stack.enter_context(watched(unet)) if supervised else []
            states = worker["text"](batch.tokens.to(device)).last_hidden_state
            if recipe.ending_dropout > 0:
                # The noise decides, so that twins are treated alike and a step can be repeated.
                drawn = torch.special.ndtr(batch.noise[:, 0, 0, 0]) < recipe.ending_dropout
                states = self._words_alone(worker["text"], states, batch.tokens, drawn)
            noisy_last = self.masters.cast(noisy.contiguous(memory_format=torch.channels_last))
            output = unet(batch.seen(noisy_last), batch.level.to(device), states).sample
        losses = denoising_loss(output, noisy, target, alpha_bar, recipe.snr_cap)
        loss = losses.mean()
        figures = {"loss": loss.item(), "images": float(len(losses))}
        if supervised:
            energy = attention_energy(maps, batch.columns.to(device), batch.place.to(device))
            loss = loss + recipe.attention_weight * energy
            figures["energy"] = energy.item()
        self.accelerator.backward(loss)
        self.masters.gather()
        kinds = enumerate(KINDS)
        means = {n: losses[batch.kind == k].mean().item() for k, n in kinds if k in batch.kind}
        return {**figures, **means}

    def _words_alone(
        self, text: nn.Module, states: Tensor, tokens: Tensor, drawn: Tensor
    ) -> Tensor:
        """States in which end and padding of the drawn samples are those of the empty text.

        A causal encoder carries the whole caption into them, and a UNet then hardly looks at the
        words, which is where Eq. 6 to 9 act.
        """
        empty = self.tokenizer("", padding="max_length", return_tensors="pt").input_ids
        bare = text(empty.to(states.device)).last_hidden_state
        first = (tokens == self.tokenizer.eos_token_id).int().argmax(1)
        ending = torch.arange(tokens.shape[1]) >= first[:, None]
        return torch.where((ending & drawn[:, None])[..., None].to(states.device), bare, states)

    def averaged(self) -> PipelineParts:
        """Copies with the EMA weights, in evaluation mode."""
        twin = copy.deepcopy(self.model).eval()
        self.ema.copy_to(twin)
        steps = self.recipe.sheet_steps
        return PipelineParts(twin["unet"], twin["text"], self.tokenizer, self.vae, steps)

    def check(self, batch: Batch, probe: Tensor) -> None:
        """Figures of how words are followed, sheets, checkpoint and a loadable pipeline folder."""
        self._checked = self.progress.step
        if self.accelerator.is_main_process:
            parts = self.averaged()
            figures = self.look(parts, batch, probe)
            self.journal.write(self.progress.step, **figures)
            self.journal.curves()
            self._keep(parts, figures["validation"])
            self.save()
        self.accelerator.wait_for_everyone()

    def look(self, parts: PipelineParts, batch: Batch, probe: Tensor) -> dict[str, float]:
        """Draw the sheets; the figures of a check, ``validation`` among them."""
        figures = caption_gap(parts, batch, LEVELS)
        figures["text_spread"] = text_spread(parts)
        sensitivity = prompt_sensitivity(parts, probe, out=self.out / "edits.png")
        sample_sheet(parts, probe.shape[-1], self.out / "samples.png", seeds=1)
        return figures | {f"sensitivity_{k}": v for k, v in sensitivity.items()}

    def _keep(self, parts: PipelineParts, validation: float) -> None:
        """Write the pipeline folder, unless an earlier check was better and ``select`` minds."""
        better = validation < self.best
        self.best = min(self.best, validation)
        if self.recipe.select == "validation" and not better:
            return
        self.write(parts, self.out / "pipeline")

    def write(self, parts: PipelineParts, folder: Path) -> None:
        """Write what an edit loads."""
        save_pipeline(
            folder,
            unet=parts.unet,
            vae=self.vae,
            text_encoder=parts.text_encoder,
            tokenizer=self.tokenizer,
        )

    def save(self) -> None:
        """Write the checkpoint of the last whole step."""
        if not self.accelerator.is_main_process:
            return
        save_state(self.out / "state.pt", {**state_of(self), "best": self.best})

    def restore(self) -> None:
        """Continue from the checkpoint of ``save``."""
        self.best = restore(self, self.out / "state.pt").get("best", math.inf)
        self.masters.restored()


def _means(parts: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every figure over the parts that have it."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: sum(part.get(name, 0.0) for part in parts) / sum(name in part for part in parts)
        for name in names
    }
