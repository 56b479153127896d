# SPDX-License-Identifier: Apache-2.0
"""A backbone and drawn pairs in; its UNet taught to see the picture (8 or 9 channels) out.

Stem and low-rank updates learn, and they alone are kept (``diffusion.model.widened``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from monai_cxr_cf.catalogue.row import CHANNELS
from monai_cxr_cf.data.folder import read_index
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.widened import NOTE, STEM, WEIGHTS, unet_files, widen
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.training.autoencoder.load import load_autoencoder
from monai_cxr_cf.training.autoencoder.quality import sheet
from monai_cxr_cf.training.drawn_pairs.rendered import Rendered
from monai_cxr_cf.training.generator.batches import Batch
from monai_cxr_cf.training.generator.denoiser import LEVELS, DenoiserRecipe, Trainer
from monai_cxr_cf.training.generator.finetune import load_start, noted
from monai_cxr_cf.training.generator.latents import Encoder, Pool
from monai_cxr_cf.training.generator.monitor import PipelineParts, caption_gap, decode, generate
from monai_cxr_cf.training.generator.orders import Array, Holes, Orders, hidden
from monai_cxr_cf.training.generator.pipeline_folder import begun, put_in_place
from monai_cxr_cf.training.generator.pool import prepare_pool
from monai_cxr_cf.training.loop import read_recipe
from monai_cxr_cf.training.memory import keep_freed
from monai_cxr_cf.training.processes import start_accelerator
from monai_cxr_cf.weights import models_folder

FORMS = {"instruct": Orders, "inpaint": Holes}


@dataclass(frozen=True)
class WidenedRecipe(DenoiserRecipe):
    """Everything that decides the weights besides the backbone and the data."""

    learning_rate: float = 1e-3
    cross_attention_rate: float = 1e-3
    text_rate: float = 0.0  # the text encoder stays the backbone's
    attention_weight: float = 0.0
    batch: int = 8
    rank: int = 8  # of the updates of attention
    convolution_rank: int = 4  # of those of residual blocks
    draws: int = 6  # this and the next: of a pool that is not there yet
    least_side: int = 0


class LowRank(nn.Module):
    """W + up down, W seen as a matrix; nothing yet at the start."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        columns = weight[0].numel()
        self.up = nn.Parameter(torch.zeros(len(weight), rank))
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that is used."""
        return weight + (self.up @ self.down).view_as(weight)


def train_widened(
    kind: str,
    config: Path,
    data: Path,
    *,
    out: Path,
    start: str = "",
    pace: tuple[bool, float | None] = (False, None),
) -> Path:
    """Train a UNet of ``kind`` over that of ``start`` (cxr-mini), and write ``out/pipeline``.

    Pool and files are those of ``train_diffusion``. ``pace``: whether to go on, and minutes.

    Raises:
        BadRequest: the recipe trains what is not kept, no 4-channel UNet, or no pairs.
    """
    keep_freed()
    recipe, (resume, minutes) = read_recipe(config, WidenedRecipe), pace
    loaded = load_start(start or noted(out) or "cxr-mini", out, resume=resume)
    if recipe.text_rate or recipe.attention_weight or loaded.kind != "text":
        raise BadRequest(
            "Only a UNet of 4 channels is widened, with text_rate and attention_weight 0; found "
            f"{CHANNELS[loaded.kind]}, {recipe.text_rate} and {recipe.attention_weight}."
        )
    if not (out / "vae" / "config.json").is_file():
        loaded.vae.save_pretrained(out / "vae")
    made = prepare_pool(data, out, versions=1, draws=recipe.draws, least_side=recipe.least_side)
    pool, rows = Pool.load(made), {row.id: row for row in read_index(data)}
    if not pool.pair_ids:
        raise BadRequest("pool.npz has no drawn pairs.", hint="Delete it, and let draws be 1.")
    run = Widened(kind, recipe, loaded, out, minutes)
    if resume:
        run.restore()
    make = FORMS[kind](pool, rows, run.tokenizer, recipe.batch, run.scaling)
    if kind == "inpaint":
        make.more = _hidden(out, pool, recipe.seed)
    watch = make(recipe.seed + 1, 0)
    return run.train(make, watch=watch, probe=watch.target)


def _hidden(out: Path, pool: Pool, seed: int) -> dict[str, Array]:
    path = out / "rendered.npz"
    pairs = Rendered.load(path) if path.is_file() else None
    if pairs is None or (pairs.ids, pairs.drawings) != (pool.pair_ids, pool.drawings):
        raise BadRequest("rendered.npz is not that of pool.npz.", hint="Delete both to make them.")
    return hidden(out / "masked.npz", Encoder(load_autoencoder(out / "vae")), pairs, seed)


class Widened(Trainer):
    """A UNet whose stem and low-rank updates learn."""

    def __init__(
        self, kind: str, recipe: WidenedRecipe, loaded: Backbone, out: Path, minutes: float | None
    ) -> None:
        self.kind, self.loaded = kind, loaded
        torch.manual_seed(recipe.seed)
        add_updates(loaded.unet, CHANNELS[kind], recipe)
        parts = PipelineParts(loaded.unet, loaded.text_encoder, loaded.tokenizer, loaded.vae)
        team = start_accelerator(recipe.precision)
        super().__init__(recipe, parts, out=out, accelerator=team, max_minutes=minutes)

    def look(self, parts: PipelineParts, batch: Batch, probe: Tensor) -> dict[str, float]:
        """samples.png: what the UNet sees, what is wanted, what it makes."""
        words = self.tokenizer.batch_decode(batch.tokens[:4], skip_special_tokens=True)
        beside: Any = batch.beside
        made = generate(parts, words, noise=batch.noise[:4], beside=beside[:4])
        seen = beside[:4, -4:] * (self.scaling if self.kind == "instruct" else 1)
        columns = [decode(parts, z) for z in (seen, probe[:4], made)]
        sheet([list(row) for row in zip(*columns, strict=True)], self.out / "samples.png")
        return caption_gap(parts, batch, LEVELS)

    def write(self, parts: PipelineParts, folder: Path) -> None:
        """What is new, float16, and what it stands on."""
        part, name = begun(folder), self.loaded.name
        part.mkdir()
        save_file(learnt(parts.unet), part / WEIGHTS, metadata={"format": "pt"})
        place = Path(name).expanduser()
        if place.exists() and not (models_folder() / name).is_dir():
            name = str(place.resolve())
        note = {"backbone": name, "kind": self.kind, "unet": unet_files(self.loaded.files)}
        (part / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        put_in_place(part, folder)


def add_updates(unet: Any, channels: int, recipe: WidenedRecipe) -> None:
    """Widen the UNet; let stem and low-rank updates learn, nothing else."""
    widen(unet, channels)
    unet.requires_grad_(False).train()
    unet.conv_in.weight.requires_grad_(True)
    for name, module in list(unet.named_modules()):
        attention = isinstance(module, nn.Linear) and ".attn" in name
        rank = recipe.rank if attention else recipe.convolution_rank
        if rank and (attention or name.endswith((".conv1", ".conv2"))):
            register_parametrization(module, "weight", LowRank(module.weight, rank))


def learnt(unet: Any) -> dict[str, Tensor]:
    """Name -> what is kept, float16."""
    found = {n.replace(".parametrizations.weight.0", ".weight"): weight
             for n, weight in unet.named_parameters() if n.endswith((".0.up", ".0.down"))
             } | {STEM: unet.conv_in.weight}  # fmt: skip
    return {name: weight.detach().half().contiguous() for name, weight in found.items()}
