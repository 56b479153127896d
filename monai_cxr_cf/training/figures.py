# SPDX-License-Identifier: Apache-2.0
"""A pipeline folder and a data folder in, its model card's figures and a sheet of edits out."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from monai_cxr_cf.data.folder import Row, read_index
from monai_cxr_cf.training.images import generator_rows, square_images
from monai_cxr_cf.training.monitor import (
    PROBES,
    Backbone,
    decode,
    generate,
    prompt_sensitivity,
    text_spread,
)
from monai_cxr_cf.training.quality import psnr, sheet, ssim
from monai_cxr_cf.training.reconstruct import encode, reconstruct

SIDED = ("large {} pleural effusion", "severe {} lower lobe consolidation")


@dataclass(frozen=True)
class Setting:
    """How edits are made; the number of radiographs bounds the time."""

    strength: float = 0.7
    guidance: float = 4.0
    images: int = 6


def load_parts(folder: Path) -> Backbone:
    """A pipeline folder's networks in float32, ready to run on the CPU."""
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    return Backbone(unet.eval(), text.eval(), tokenizer, vae.eval())


def autoencoder_figures(backbone: Backbone, data: Path, rows: list[Row]) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM of decoded posterior means over ``rows``."""
    images = np.stack(list(square_images(data, rows).values()))
    rebuilt, target = reconstruct(backbone.vae, images), images.astype(np.float32) / 255
    pairs = list(zip(rebuilt, target, strict=True))
    return {
        "images": len(rows),
        "psnr": float(np.mean([psnr(a, b) for a, b in pairs])),
        "ssim": float(np.mean([ssim(a, b) for a, b in pairs])),
    }


def sides_obeyed(backbone: Backbone, source: Tensor, setting: Setting) -> dict[str, float]:
    """Share of left and right edits that brighten their own side's lower half more than the other.

    The change is measured against the edit of the same source and noise under "clear lungs".
    """
    obeyed: dict[str, list[bool]] = {prompt: [] for prompt in SIDED}
    noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(1))
    for z, start in zip(source, noise, strict=True):
        prompts = [p.format(side) for p in SIDED for side in ("left", "right")] + ["clear lungs"]
        many = [x[None].expand(len(prompts), -1, -1, -1) for x in (z, start)]
        edits = decode(
            backbone,
            generate(
                backbone,
                prompts,
                noise=many[1],
                source=many[0],
                strength=setting.strength,
                guidance=setting.guidance,
            ),
        )
        half = edits.shape[1] // 2
        change = (edits[:-1] - edits[-1])[:, half - 30 : half + 90]
        gap = change[:, :, half:].mean((1, 2)) - change[:, :, :half].mean((1, 2))
        for index, prompt in enumerate(SIDED):
            obeyed[prompt] += [bool(gap[2 * index] > 0), bool(gap[2 * index + 1] < 0)]
    return {prompt.format("side"): float(np.mean(hits)) for prompt, hits in obeyed.items()}


@torch.no_grad()
def figures(folder: Path, data: Path, *, out: Path, setting: Setting) -> dict[str, object]:
    """Everything the model card quotes, on ``test`` (autoencoder) and ``judge`` (edits)."""
    backbone, rows = load_parts(folder), read_index(data)
    normal = [r for r in generator_rows(rows, "judge") if r.labels == ("No Finding",)]
    chosen = [r for r in normal if r.view == "PA"][: setting.images]
    images = np.stack(list(square_images(data, chosen).values()))
    source = encode(backbone.vae, images) * backbone.vae.config.scaling_factor
    result: dict[str, object] = {
        "autoencoder": autoencoder_figures(backbone, data, generator_rows(rows, "test")[:96]),
        "text_spread": text_spread(backbone),
        "sides": sides_obeyed(backbone, source, setting),
    }
    result["sensitivity"] = prompt_sensitivity(
        backbone, source, out=out / "sensitivity.png", strength=setting.strength
    )
    prompts = [prompt for probe in PROBES for prompt in probe[:1]] + ["clear lungs"]
    lines = []
    for index, image in enumerate(images[:3]):
        z = source[[index]].expand(len(prompts), -1, -1, -1)
        noise = torch.randn(z[:1].shape, generator=torch.Generator().manual_seed(index))
        edited = generate(
            backbone,
            prompts,
            noise=noise.expand_as(z),
            source=z,
            strength=setting.strength,
            guidance=setting.guidance,
        )
        lines.append([image.astype(np.float32) / 255, *decode(backbone, edited)])
    sheet(lines, out / "edits.png")
    (out / "figures.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    return result


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Measure a backbone for its model card.")
    parser.add_argument("--model", type=Path, required=True, help="pipeline folder")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with index.csv and images/"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for figures.json and sheets"
    )
    parser.add_argument("--strength", type=float, default=0.7)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--images", type=int, default=6, help="radiographs that are edited")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    setting = Setting(args.strength, args.guidance, args.images)
    figures(args.model, args.data, out=args.out, setting=setting)


if __name__ == "__main__":
    main()
