# SPDX-License-Identifier: Apache-2.0
"""Parts of a small Stable-Diffusion-v1-architecture model in, one diffusers pipeline folder out."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from monai_cxr_cf.errors import BadRequest

PREFIX = "text_model."


def build_unet(
    channels: tuple[int, ...] = (64, 128, 192, 192), *, text_width: int = 256, latent_side: int = 32
) -> UNet2DConditionModel:
    """An untrained UNet of SD v1's layout: cross-attention on all levels but the coarsest.

    One residual block a level (SD v1: two) and one attention head per 64 channels.
    """
    return UNet2DConditionModel(
        sample_size=latent_side,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=text_width,
        attention_head_dim=tuple(max(1, width // 64) for width in channels),
    )


def build_scheduler() -> DDIMScheduler:
    """SD v1.5's schedule: scaled-linear betas .00085 to .012, 1000 steps, epsilon prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def start_from(folder: Path, unet: UNet2DConditionModel, text: CLIPTextModel | None) -> None:
    """Give both networks, or the UNet alone, the weights of a pipeline folder.

    Raises:
        BadRequest: its networks have another shape.
    """
    stored: list[tuple[nn.Module | None, str]] = [
        (unet, "unet/diffusion_pytorch_model.safetensors"),
        (text, "text_encoder/model.safetensors"),
    ]
    for network, name in stored:
        if network is None:
            continue
        weights, own = load_file(folder / name), network.state_dict()
        bare = {name.removeprefix(PREFIX): weight for name, weight in weights.items()}
        named = {name: bare.get(name.removeprefix(PREFIX)) for name in own}
        other = [n for n, w in named.items() if w is None or w.shape != own[n].shape]
        if other:
            raise BadRequest(
                f"The pipeline to go on from is no network of the recipe's shape: {other[0]}.",
                hint="Set channels, text_width and text_layers as they were.",
            )
        network.load_state_dict(named)


def save_pipeline(
    out: Path,
    *,
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
) -> Path:
    """Write the folder (float16 safetensors) beside ``out``, then put it in its place at once."""
    part = begun(out)
    pipeline = StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    dtypes = {name: part_.dtype for name, part_ in _networks(pipeline).items()}
    pipeline.to(torch.float16)
    pipeline.save_pretrained(part, safe_serialization=True)
    _forget_origin(part)
    prefix_text_encoder(part / "text_encoder" / "model.safetensors")
    for path in part.glob("tokenizer/tokenizer.json"):
        _compact(path)
    for name, part_ in _networks(pipeline).items():
        part_.to(dtypes[name])  # type: ignore[arg-type]
    return put_in_place(part, out)


def begun(out: Path) -> Path:
    """The empty place beside the folder ``out`` in which it is written; it is not there yet."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    return part


def put_in_place(part: Path, out: Path) -> Path:
    """The finished folder ``part`` instead of ``out``, at once."""
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.replace(out, old)
    os.replace(part, out)
    shutil.rmtree(old, ignore_errors=True)
    return out


def prefix_text_encoder(path: Path) -> None:
    """Name the weights of a CLIP text encoder as every published one does: ``text_model.*``.

    transformers writes them without since 5.6. It reads both; an older one finds nothing under the
    bare names, warns, and goes on with random weights.
    """
    weights = load_file(path)
    if any(not name.startswith(PREFIX) for name in weights):
        named = {PREFIX + name.removeprefix(PREFIX): weight for name, weight in weights.items()}
        save_file(named, path, metadata={"format": "pt"})


def _forget_origin(folder: Path) -> None:
    """Drop the path diffusers notes in each config: a model does not tell where it was made."""
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _compact(path: Path) -> None:
    """The same JSON without blanks: half the size of a tokenizer."""
    told = json.loads(path.read_text(encoding="utf-8"))
    short = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    path.write_text(short + "\n", encoding="utf-8")


def _networks(pipeline: StableDiffusionPipeline) -> dict[str, torch.nn.Module]:
    return {"unet": pipeline.unet, "vae": pipeline.vae, "text": pipeline.text_encoder}
