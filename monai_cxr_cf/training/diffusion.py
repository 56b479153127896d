# SPDX-License-Identifier: Apache-2.0
"""A data folder, organ maps and an autoencoder in; a Stable-Diffusion-v1-layout backbone out.

UNet and text encoder learn together on cached latents: epsilon prediction with min-SNR weights,
twin and crossed batches, attention supervision on finding words, EMA. The result is a diffusers
pipeline folder.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.training.backbone import build_scheduler, build_unet, save_pipeline
from monai_cxr_cf.training.batches import Batch, BatchMaker, Mix
from monai_cxr_cf.training.images import generator_rows
from monai_cxr_cf.training.latents import Pool
from monai_cxr_cf.training.loop import (
    Ema,
    Journal,
    Progress,
    learning_rate_factor,
    load_state,
    read_recipe,
    save_state,
)
from monai_cxr_cf.training.monitor import (
    Backbone,
    caption_gap,
    prompt_sensitivity,
    sample_sheet,
    text_spread,
)
from monai_cxr_cf.training.pretrain_text import pretrain_text
from monai_cxr_cf.training.supervision import (
    attention_energy,
    cross_attention_parameters,
    watched,
)
from monai_cxr_cf.training.text import build_text_encoder, caption_corpus, train_tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DiffusionRecipe:
    """Everything that decides the weights besides the data and the autoencoder."""

    channels: tuple[int, ...] = (64, 128, 192, 192)  # of the UNet, per level
    text_width: int = 256
    text_layers: int = 4
    steps: int = 4000
    learning_rate: float = 5e-4  # UNet besides cross-attention
    cross_attention_rate: float = 7e-4
    text_rate: float = 2e-4
    warmup: int = 100  # steps
    ema_decay: float = 0.996
    snr_cap: float = 5.0  # gamma of min-SNR weighting
    attention_weight: float = 0.05  # of the energy (Eq. 8) on drawn findings' words
    text_steps: int = 500  # pretraining of the text encoder; 0 = none
    precision: str = "bf16"
    seed: int = 11
    check_every: int = 200  # steps between figures, sheets, checkpoint and pipeline folder
    real: int = 4  # real radiographs a batch
    twins: int = 3  # pairs a batch, same noise
    crossed: int = 3  # pairs a batch, one noised, the other the target
    dropout: float = 0.1  # of captions
    versions: int = 2  # of each real radiograph in the pool, augmented
    draws: int = 6  # drawn twins of each radiograph without findings

    @property
    def mix(self) -> Mix:
        """The batch's composition."""
        return Mix(self.real, self.twins, self.crossed, self.dropout)


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


def train_diffusion(
    config: Path,
    data: Path,
    *,
    out: Path,
    resume: bool = False,
    max_minutes: float | None = None,
) -> Path:
    """Train and write ``out/pipeline`` (EMA weights, float16); returns that folder.

    ``out`` must hold ``vae/`` (from the autoencoder training) and ``pool.npz`` (from
    ``python -m monai_cxr_cf.training.pool``); it receives state.pt, history.jsonl, curves.png,
    samples.png, edits.png and TensorBoard events. ``resume`` goes on from state.pt bit-exactly.
    """
    recipe = read_recipe(config, DiffusionRecipe)
    rows = {row.id: row for row in generator_rows(read_index(data))}
    run = Run(recipe, out, max_minutes)
    if resume:
        run.restore()
    elif recipe.text_steps:
        run.pretrain([rows[i] for i in sorted(rows)])
    pool = Pool.load(out / "pool.npz")
    maker = BatchMaker(
        pool,
        rows,
        tokenizer=run.tokenizer,
        mix=recipe.mix,
        scaling=run.scaling,
        grounding=pool.grounding,
    )
    probe = torch.from_numpy(pool.plain[:: max(1, len(pool.plain) // 8)][:4]).float() * run.scaling
    while run.progress.share < 1:
        figures = run.step(maker(recipe.seed, run.progress.step))
        if run.progress.step % 20 == 0:
            run.journal.write(run.progress.step, minutes_left=run.progress.minutes_left, **figures)
        if run.progress.step % recipe.check_every == 0:
            run.check(maker(recipe.seed + 1, 0), probe)
    run.check(maker(recipe.seed + 1, 0), probe)
    return out / "pipeline"


class Run:
    """Networks, optimiser, EMA and files of one training."""

    def __init__(self, recipe: DiffusionRecipe, out: Path, max_minutes: float | None) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.out = recipe, out
        self.accelerator = Accelerator(mixed_precision=recipe.precision)
        device = self.accelerator.device
        self.vae = AutoencoderKL.from_pretrained(out / "vae")
        self.scaling = float(self.vae.config.scaling_factor)
        # Merges of equal count fall differently from run to run: trained once, then kept.
        kept = out / "tokenizer"
        self.tokenizer = (
            CLIPTokenizer.from_pretrained(kept)
            if (kept / "tokenizer.json").is_file()
            else train_tokenizer(caption_corpus(), kept)
        )
        side = self.vae.config.sample_size // 8
        unet = build_unet(recipe.channels, text_width=recipe.text_width, latent_side=side)
        text = build_text_encoder(
            self.tokenizer, width=recipe.text_width, layers=recipe.text_layers
        )
        self.model = torch.nn.ModuleDict({"unet": unet, "text": text}).to(device)
        self.model = self.model.to(  # type: ignore[call-overload]
            memory_format=torch.channels_last
        )
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.99))
        self.ema = Ema(self.model, recipe.ema_decay)
        self.progress = Progress(recipe.steps, max_minutes)
        self.journal = Journal(out)
        self.alpha_bar = build_scheduler().alphas_cumprod.to(device)

    def _groups(self) -> list[dict[str, Any]]:
        unet, recipe = self.model["unet"], self.recipe
        cross = cross_attention_parameters(unet)
        named = list(unet.named_parameters())
        groups = [
            {"params": [p for n, p in named if n not in cross], "base": recipe.learning_rate},
            {"params": [p for n, p in named if n in cross], "base": recipe.cross_attention_rate},
            {"params": list(self.model["text"].parameters()), "base": recipe.text_rate},
        ]
        return [{**group, "lr": group["base"]} for group in groups]

    def pretrain(self, rows: list[Any]) -> None:
        """Teach the text encoder to tell captions apart; ``out/text.pt`` is reused or written."""
        recipe, kept, text = self.recipe, self.out / "text.pt", self.model["text"]
        if kept.is_file():
            text.load_state_dict(load_state(kept))
        else:
            error = pretrain_text(
                text, self.tokenizer, rows, steps=recipe.text_steps, seed=recipe.seed
            )
            save_state(kept, text.state_dict())
            self.journal.write(0, text_error=error)
        self.ema = Ema(self.model, recipe.ema_decay)

    def step(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; returns the losses by kind of sample."""
        device, recipe = self.accelerator.device, self.recipe
        factor = learning_rate_factor(self.progress.share, self.progress.step, recipe.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * factor
        alpha_bar = self.alpha_bar[batch.level.to(device)]
        abar = alpha_bar.view(-1, 1, 1, 1)
        source, target = batch.source.to(device), batch.target.to(device)
        noisy = abar.sqrt() * source + (1 - abar).sqrt() * batch.noise.to(device)
        unet = self.model["unet"]
        with self.accelerator.autocast(), watched(unet) as maps:
            states = self.model["text"](batch.tokens.to(device)).last_hidden_state
            noisy_last = noisy.contiguous(memory_format=torch.channels_last)
            output = unet(noisy_last, batch.level.to(device), states).sample
        losses = denoising_loss(output, noisy, target, alpha_bar, recipe.snr_cap)
        energy = attention_energy(maps, batch.columns.to(device), batch.place.to(device))
        self.accelerator.backward(losses.mean() + recipe.attention_weight * energy)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model)
        self.progress.advance()
        kinds = {"real": 0, "twins": 1, "crossed": 2}
        figures = {n: losses[batch.kind == k].mean().item() for n, k in kinds.items()}
        return {**figures, "energy": energy.item()}

    def averaged(self) -> Backbone:
        """Float32 copies with the EMA weights."""
        recipe = self.recipe
        side = self.vae.config.sample_size // 8
        unet = build_unet(recipe.channels, text_width=recipe.text_width, latent_side=side)
        text = build_text_encoder(
            self.tokenizer, width=recipe.text_width, layers=recipe.text_layers
        )
        self.ema.copy_to(torch.nn.ModuleDict({"unet": unet, "text": text}))
        return Backbone(unet.eval(), text.eval(), self.tokenizer, self.vae)

    def check(self, batch: Batch, probe: Tensor) -> None:
        """Figures of how words are followed, sheets, checkpoint and a loadable pipeline folder."""
        backbone = self.averaged()
        figures = caption_gap(backbone, batch, (300, 600, 800))
        figures["text_spread"] = text_spread(backbone)
        sensitivity = prompt_sensitivity(backbone, probe, out=self.out / "edits.png")
        figures |= {f"sensitivity_{k}": v for k, v in sensitivity.items()}
        self.journal.write(self.progress.step, **figures)
        self.journal.curves()
        sample_sheet(backbone, probe.shape[-1], self.out / "samples.png", seeds=1)
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.progress.step,
            "seconds": self.progress.seconds,
        }
        save_state(self.out / "state.pt", state)
        save_pipeline(
            self.out / "pipeline",
            unet=backbone.unet,
            vae=self.vae,
            text_encoder=backbone.text_encoder,
            tokenizer=self.tokenizer,
        )

    def restore(self) -> None:
        """Continue from the checkpoint of ``check``."""
        state = load_state(self.out / "state.pt")
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress.step, self.progress.seconds = state["step"], state["seconds"]


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Train UNet and text encoder of a backbone.")
    parser.add_argument("--config", type=Path, required=True, help="recipe (YAML)")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with index.csv and images/"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder with vae/ and pool.npz")
    parser.add_argument("--resume", action="store_true", help="continue from OUT/state.pt")
    parser.add_argument("--max-minutes", type=float, help="end cleanly after this time")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train_diffusion(
        args.config, args.data, out=args.out, resume=args.resume, max_minutes=args.max_minutes
    )


if __name__ == "__main__":
    main()
