# SPDX-License-Identifier: Apache-2.0
"""One small training of the denoiser in three precisions on the same batches: do losses agree?

    python benchmarks/training_curves.py [--steps 300] [--out benchmarks/training_curves.json]

Made latents with captions of findings, the generator's layout in small. Noise of the comparison is
what another seed of the initial weights gives, in float32. Means of the loss over the last third;
the curve is compared over windows of twenty steps.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from monai_cxr_cf.training.autoencoder.recipe import AutoencoderRecipe, build
from monai_cxr_cf.training.generator.batches import Batch, tokenize
from monai_cxr_cf.training.generator.captions import Caption
from monai_cxr_cf.training.generator.denoiser import DenoiserRecipe, Trainer
from monai_cxr_cf.training.generator.monitor import PipelineParts
from monai_cxr_cf.training.generator.pipeline_folder import build_unet
from monai_cxr_cf.training.generator.text import build_text_encoder, caption_corpus, train_tokenizer
from monai_cxr_cf.training.loop import step_generator, step_rng
from monai_cxr_cf.training.processes import start_accelerator

RUNS = {  # precision, seed of the initial weights
    "fp32": ("no", 0),
    "bf16 autocast": ("bf16", 0),
    "bf16 weights, float32 masters": ("bf16-pure", 0),
    "fp32, another seed": ("no", 1),
}
SIDE, COUNT, WINDOW = 16, 8, 20


def batch(tokenizer: Any, step: int) -> Batch:
    """Blobs whose side the caption names, with noise and level of the step."""
    rng, generator = step_rng(3, step), step_generator(3, step)
    captions, place = [], torch.zeros(COUNT, SIDE, SIDE)
    target = 0.3 * torch.randn(COUNT, 4, SIDE, SIDE, generator=generator)
    for number in range(COUNT):
        left = bool(rng.random() < 0.5)
        word = "left" if left else "right"
        text = f"large {word} pleural effusion"
        captions.append(Caption(text, ((text.index("pleural"), len(text), 0),)))
        row = int(rng.integers(2, SIDE - 6))
        columns = slice(SIDE // 2, SIDE - 2) if left else slice(2, SIDE // 2)
        place[number, row : row + 4, columns] = 1
        target[number, :, row : row + 4, columns] += 1.5
    tokens, columns_of = tokenize(tokenizer, captions)
    noise = torch.randn(target.shape, generator=generator)
    level = torch.from_numpy(rng.integers(0, 1000, COUNT))
    kind = torch.zeros(COUNT, dtype=torch.long)
    return Batch(target, target, noise, level, tokens, columns_of, place, kind)


def losses(precision: str, seed: int, steps: int, folder: Path) -> list[float]:
    """The loss of every step of one run."""
    torch.manual_seed(seed)
    kept = folder / "tokenizer"
    tokenizer = train_tokenizer(caption_corpus(200), kept)
    vae: AutoencoderKL = build(AutoencoderRecipe(channels=(4, 4, 4, 4), norm_groups=2, side=128))
    unet = build_unet((32, 64, 64, 64), text_width=32, latent_side=SIDE)
    text = build_text_encoder(tokenizer, width=32, layers=2)
    recipe = DenoiserRecipe(steps=steps, precision=precision, warmup=20, seed=11)
    parts = PipelineParts(unet, text, tokenizer, vae)
    run = Trainer(recipe, parts, out=folder / "out", accelerator=start_accelerator(precision))
    return [run.step(batch(tokenizer, step))["loss"] for step in range(steps)]


def compared(curves: dict[str, list[float]]) -> dict[str, Any]:
    """Mean loss of the last third, and the distance of each smoothed curve to that of float32."""
    smooth = {
        name: torch.tensor(curve).unfold(0, WINDOW, WINDOW).mean(1)
        for name, curve in curves.items()
    }
    base, third = smooth["fp32"], len(next(iter(curves.values()))) // 3
    return {
        name: {
            "last_third": round(sum(curves[name][-third:]) / third, 5),
            "mean_distance_to_fp32": round(float(((curve - base).abs() / base).mean()), 5),
            "largest_distance_to_fp32": round(float(((curve - base).abs() / base).max()), 5),
            "curve": [round(float(value), 4) for value in curve],
        }
        for name, curve in smooth.items()
    }


def main() -> None:
    """Run all; print and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/training_curves.json"))
    chosen = parser.parse_args()
    curves = {}
    for name, (precision, seed) in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            curves[name] = losses(precision, seed, chosen.steps, Path(folder))
    facts = {"python": platform.python_version(), "torch": torch.__version__}
    result = {**facts, "steps": chosen.steps, "window": WINDOW, "runs": compared(curves)}
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, found in result["runs"].items():
        sys.stdout.write(
            f"{name:<32} last third {found['last_third']:.4f}   distance to fp32 "
            f"{100 * found['mean_distance_to_fp32']:.2f} % mean, "
            f"{100 * found['largest_distance_to_fp32']:.2f} % at most\n"
        )


if __name__ == "__main__":
    main()
