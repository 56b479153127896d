# SPDX-License-Identifier: Apache-2.0
"""Any Stable-Diffusion-v1 backbone and a public collection in; the backbone fine-tuned on it out.

The paper's setting by default: AdamW, learning rate 1e-4, effective batch 16 by accumulation,
bf16, 50 epochs, captions from reports; EMA, min-SNR weights and caption dropout besides.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from monai_cxr_cf.data.captioned import Collection
from monai_cxr_cf.diffusion.model.backbone import Backbone, load_backbone
from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.training.generator.denoiser import DenoiserRecipe, Trainer
from monai_cxr_cf.training.generator.latent_cache import (
    CacheSpec,
    LatentCache,
    fill_cache,
    open_cache,
)
from monai_cxr_cf.training.generator.monitor import PipelineParts
from monai_cxr_cf.training.generator.reports import ReportBatches
from monai_cxr_cf.training.loop import read_recipe
from monai_cxr_cf.training.memory import keep_freed
from monai_cxr_cf.training.processes import start_accelerator
from monai_cxr_cf.weights import models_folder

log = logging.getLogger(__name__)
STARTED = "start.json"  # in the output folder: what the run started from
RESHAPED = ("trained_betas", "rescale_betas_zero_snr")  # betas that are not those of SCHEDULE
SCHEDULE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")


@dataclass(frozen=True)
class FinetuneRecipe(DenoiserRecipe):
    """Everything that decides the weights besides the start and the data."""

    steps: int = 0  # optimiser steps; 0 = by epochs
    epochs: float = 50.0
    learning_rate: float = 1e-4
    cross_attention_rate: float = 1e-4
    text_rate: float = 1e-5
    warmup: int = 500
    beta2: float = 0.999
    ema_decay: float = 0.9999
    attention_weight: float = 0.0  # reports do not say where
    effective_batch: int = 16  # images an optimiser step, over all processes
    batch: int = 2  # images at once on one device; the rest is accumulated
    gradient_checkpointing: bool = False  # a third slower, far less memory
    side: int = 0  # px; 0 = the backbone's own (512 for SD v1.5)
    versions: int = 3  # of each radiograph in the latent cache; the first is not augmented
    views: tuple[str, ...] = ("PA",)  # PA, AP or both
    held_out: int = 8  # radiographs that watch the training
    log_every: int = 10
    check_every: int = 1000
    select: str = "validation"

    def planned(self, processes: int, images: int) -> FinetuneRecipe:
        """With ``accumulate`` and ``steps`` worked out; BadRequest if the batch does not divide."""
        at_once = self.batch * processes
        if self.batch < 1 or self.effective_batch % at_once:
            raise BadRequest(
                f"An effective batch of {self.effective_batch} is no multiple of {self.batch} "
                f"images on {processes} process(es).",
                hint="Change batch or effective_batch in the recipe.",
            )
        steps = self.steps or math.ceil(self.epochs * images / self.effective_batch)
        return replace(self, accumulate=self.effective_batch // at_once, steps=steps)


def train_finetune(
    config: Path,
    collection: Collection,
    *,
    out: Path,
    start: str = "",
    resume: bool = False,
    max_minutes: float | None = None,
) -> Path:
    """Fine-tune ``start`` and write ``out/pipeline`` (best EMA weights, float16).

    ``out`` also receives latents/ (the cache), start.json, state.pt, history.jsonl, curves.png,
    samples.png, edits.png and TensorBoard events. ``resume`` goes on from state.pt bit-exactly,
    by default from the start that start.json names.

    Raises:
        BadRequest: no start, another noise schedule, or a batch that does not divide.
        ComponentMissing: the start is not on this machine.
        UnreadableInput: the collection or the checkpoint is not there.
    """
    keep_freed()
    recipe = read_recipe(config, FinetuneRecipe)
    loaded = load_start(start or noted(out), out, resume=resume)
    team = start_accelerator(recipe.precision)
    cache = cached(loaded, collection, recipe, out=out / "latents", team=team)
    recipe = recipe.planned(team.num_processes, cache.learnt)
    networks = trainable(loaded, checkpointing=recipe.gradient_checkpointing)
    run = Trainer(recipe, networks, out=out, accelerator=team, max_minutes=max_minutes)
    if resume:
        run.restore()
    make = ReportBatches(
        cache, run.tokenizer, batch=recipe.batch, dropout=recipe.dropout, scaling=run.scaling
    )
    watch = make.held_out()
    return run.train(make, watch=watch, probe=watch.target[:4])


def cached(
    loaded: Backbone,
    collection: Collection,
    recipe: FinetuneRecipe,
    *,
    out: Path,
    team: Accelerator,
) -> LatentCache:
    """The collection's latents in ``out``, filled, with the prompts as they are now."""
    spec = CacheSpec(
        layout=collection.layout,
        views=recipe.views,
        side=recipe.side or loaded.side,
        versions=recipe.versions,
        seed=recipe.seed,
        vae=vae_hash(loaded),
    )
    with team.main_process_first():
        cache = open_cache(out, collection, spec, held_out=recipe.held_out)
    fill_cache(cache, collection, vae=loaded.vae.to(team.device), spec=spec, team=team)
    return cache


def load_start(spec: str, out: Path, *, resume: bool) -> Backbone:
    """The backbone to start from, noted in ``out``; a resumed run must start from the same."""
    if not spec:
        raise BadRequest(
            "A fine-tuning needs a backbone to start from.",
            hint="--start FOLDER, FILE.safetensors or a hub id that is on this machine.",
        )
    loaded = load_backbone(spec, models=models_folder())
    config = {"prediction_type": "epsilon", **loaded.scheduler_config}
    other = [name for name in SCHEDULE if config.get(name) != SD1_SCHEDULER[name]]
    other += [name for name in RESHAPED if config.get(name)]
    if other:
        raise BadRequest(
            f"The backbone's noise schedule is not Stable Diffusion v1's: {', '.join(other)}.",
            hint="Start from a v1 model that predicts epsilon.",
        )
    note = out / STARTED
    if resume and note.is_file():
        noted = json.loads(note.read_text(encoding="utf-8"))
        if noted["files"] != dict(loaded.files):
            raise BadRequest(
                "The run in this folder started from other weights.", hint="Leave --start out."
            )
    out.mkdir(parents=True, exist_ok=True)
    content = {"start": spec, "licence": loaded.licence, "files": dict(loaded.files)}
    note.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return loaded


def noted(out: Path) -> str:
    """The start that ``out`` names, or nothing."""
    note = out / STARTED
    return str(json.loads(note.read_text(encoding="utf-8"))["start"]) if note.is_file() else ""


def vae_hash(loaded: Backbone) -> str:
    """sha256 of the file that holds the VAE."""
    own = [digest for name, digest in sorted(loaded.files.items()) if name.startswith("vae/")]
    return "+".join(own or loaded.files.values())


def trainable(loaded: Backbone, *, checkpointing: bool) -> PipelineParts:
    """The parts with gradients switched on, in training mode; the VAE stays frozen."""
    parts: list[Any] = [loaded.unet, loaded.text_encoder]
    for part in parts:
        part.requires_grad_(True).train()
    if checkpointing:
        loaded.unet.enable_gradient_checkpointing()
        loaded.text_encoder.gradient_checkpointing_enable()
    return PipelineParts(loaded.unet, loaded.text_encoder, loaded.tokenizer, loaded.vae)
