# SPDX-License-Identifier: Apache-2.0
"""A data folder and an autoencoder in; a Stable-Diffusion-v1-layout backbone out.

UNet and text encoder learn together, from nothing, on cached latents: epsilon prediction with
min-SNR weights, twin and crossed batches, attention supervision on finding words, EMA. The result
is a diffusers pipeline folder.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from monai_cxr_cf.data.folder import Row, read_index
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.training.autoencoder.load import load_autoencoder
from monai_cxr_cf.training.generator.batches import BatchMaker, Mix
from monai_cxr_cf.training.generator.denoiser import DenoiserRecipe, Trainer
from monai_cxr_cf.training.generator.latents import Pool
from monai_cxr_cf.training.generator.monitor import PipelineParts
from monai_cxr_cf.training.generator.pipeline_folder import build_unet, start_from
from monai_cxr_cf.training.generator.pool import prepare_pool
from monai_cxr_cf.training.generator.pretrain_text import pretrain_text
from monai_cxr_cf.training.generator.shorten_text import longer, shorten_text
from monai_cxr_cf.training.generator.text import build_text_encoder, caption_corpus, train_tokenizer
from monai_cxr_cf.training.images import generator_rows
from monai_cxr_cf.training.loop import Ema, load_state, read_recipe, save_state
from monai_cxr_cf.training.memory import keep_freed
from monai_cxr_cf.training.processes import start_accelerator

log = logging.getLogger(__name__)
CLEAR = frozenset({"No Finding", "normal"})  # labels of a radiograph without findings


@dataclass(frozen=True)
class DiffusionRecipe(DenoiserRecipe):
    """Everything that decides the weights besides the data and the autoencoder."""

    channels: tuple[int, ...] = (64, 128, 192, 192)  # of the UNet, per level
    text_width: int = 256
    text_layers: int = 4
    text_steps: int = 500  # before the UNet: of the text encoder; 0 = none
    real: int = 4  # real radiographs a batch
    twins: int = 3  # pairs a batch, same noise; without twins and crossed no pair is drawn
    crossed: int = 3  # pairs a batch, one noised, the other the target
    versions: int = 2  # of each real radiograph in the pool, augmented
    draws: int = 6  # drawn twins of each radiograph without findings
    least_side: int = 0  # px, of the file; radiographs with a shorter side are left out
    # Start from OUT/pipeline: its UNet, text encoder and tokenizer. An encoder of more layers than
    # text_layers is shortened first, in text_steps.
    go_on: bool = False

    @property
    def mix(self) -> Mix:
        """The batch's composition."""
        return Mix(self.real, self.twins, self.crossed, self.dropout)

    @property
    def pairs(self) -> bool:
        """Whether a batch holds drawn pairs."""
        return self.twins + self.crossed > 0


def train_diffusion(
    config: Path,
    data: Path,
    *,
    out: Path,
    resume: bool = False,
    max_minutes: float | None = None,
) -> Path:
    """Train and write ``out/pipeline`` (EMA weights, float16); returns that folder.

    ``out`` must hold ``vae/`` (from the autoencoder training). Latents are cached in its
    ``pool.npz`` unless that is there; it receives state.pt, history.jsonl, curves.png,
    samples.png, edits.png and TensorBoard events. ``resume`` goes on from state.pt bit-exactly.

    Raises:
        BadRequest: the recipe asks for drawn pairs, and pool.npz was made without.
        ComponentMissing: ``out/vae``, ``out/pipeline`` to go on from, or the segmenter is missing.
    """
    keep_freed()
    recipe = read_recipe(config, DiffusionRecipe)
    rows = {row.id: row for row in generator_rows(read_index(data))}
    run = FromNothing(recipe, out, max_minutes)
    with run.accelerator.main_process_first():
        draws, least = recipe.draws if recipe.pairs else 0, recipe.least_side
        made = prepare_pool(data, out, versions=recipe.versions, draws=draws, least_side=least)
        pool = _loaded(made, recipe)
    if resume:
        run.restore()
    elif recipe.text_steps and (run.teacher is not None or not recipe.go_on):
        run.pretrain([rows[i] for i in sorted(rows)])
    maker = BatchMaker(
        pool,
        rows,
        tokenizer=run.tokenizer,
        mix=recipe.mix,
        scaling=run.scaling,
        grounding=pool.grounding,
    )
    probe = torch.from_numpy(clear_latents(pool, rows)).float() * run.scaling
    return run.train(maker, watch=maker(recipe.seed + 1, 0), probe=probe)


def _loaded(path: Path, recipe: DiffusionRecipe) -> Pool:
    """The pool; BadRequest if it lacks the pairs that the recipe asks for."""
    pool = Pool.load(path)
    if recipe.pairs and not len(pool.drawn):
        raise BadRequest(
            "The pool.npz in the output folder has no drawn pairs, and the recipe asks for some.",
            hint="Delete pool.npz, or set twins and crossed to 0.",
        )
    return pool


def clear_latents(pool: Pool, rows: Mapping[str, Row]) -> NDArray[np.float16]:
    """At most four latents without a finding: of the pairs, else of real radiographs."""
    if len(pool.plain):
        return pool.plain[:: max(1, len(pool.plain) // 8)][:4]
    first = {name: at for at, name in reversed(list(enumerate(pool.real_ids)))}
    clear = [at for name, at in sorted(first.items()) if CLEAR.intersection(rows[name].labels)]
    chosen = clear or sorted(first.values())
    return pool.real[chosen[:: max(1, len(chosen) // 8)][:4]]


class FromNothing(Trainer):
    """A denoiser that starts from nothing but the autoencoder in ``out/vae``."""

    def __init__(self, recipe: DiffusionRecipe, out: Path, max_minutes: float | None) -> None:
        torch.manual_seed(recipe.seed)
        accelerator = start_accelerator(recipe.precision)
        vae = load_autoencoder(out / "vae")
        # Merges of equal count fall differently from run to run: trained once, then kept.
        kept = out / "pipeline" / "tokenizer" if recipe.go_on else out / "tokenizer"
        if recipe.go_on and not (kept / "tokenizer.json").is_file():
            raise ComponentMissing(
                "The recipe goes on from a pipeline, and the output folder has none.",
                hint="Copy one to OUT/pipeline, or set go_on to false.",
            )
        with accelerator.main_process_first():
            tokenizer = (
                CLIPTokenizer.from_pretrained(kept)
                if (kept / "tokenizer.json").is_file()
                else train_tokenizer(caption_corpus(), kept)
            )
        side, width = vae.config.sample_size // 8, recipe.text_width
        unet = build_unet(recipe.channels, text_width=width, latent_side=side)
        text = build_text_encoder(tokenizer, width=width, layers=recipe.text_layers)
        shorten = recipe.go_on and recipe.text_steps > 0
        self.teacher = longer(out / "pipeline", recipe.text_layers) if shorten else None
        if recipe.go_on:
            start_from(out / "pipeline", unet, text if self.teacher is None else None)
        networks = PipelineParts(unet, text, tokenizer, vae)
        self.text_steps = recipe.text_steps
        super().__init__(
            recipe, networks, out=out, accelerator=accelerator, max_minutes=max_minutes
        )

    def pretrain(self, rows: list[Any]) -> None:
        """Teach the text encoder to tell captions apart; ``out/text.pt`` is reused or written."""
        kept, text = self.out / "text.pt", self.model["text"]
        with self.accelerator.main_process_first():
            if kept.is_file():
                text.load_state_dict(load_state(kept))
            else:
                self._pretrain(rows)
                save_state(kept, text.state_dict())
        self.ema = Ema(self.model, self.recipe.ema_decay)

    def _pretrain(self, rows: list[Any]) -> None:
        """It is small: the CPU's job, so that every machine starts from the same states."""
        text, seed = self.model["text"].cpu(), self.recipe.seed
        told: dict[str, Any] = {"steps": self.text_steps, "seed": seed}
        if self.teacher is None:
            error = pretrain_text(text, self.tokenizer, rows, **told)
        else:
            error = shorten_text(text, self.teacher, self.tokenizer, rows, **told)
        text.to(self.accelerator.device)
        self.journal.write(0, text_error=error)
