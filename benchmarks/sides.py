# SPDX-License-Identifier: Apache-2.0
"""What a larger picture would cost: cxr-mini's networks at 256, 384 and 512 px, side by side.

    python benchmarks/sides.py [--backbone NAME|DIR] [--rounds N]

Each round runs every side in turn: a UNet call and the VAE both ways for one picture, and forward
and backward of the UNet for one (a training step of a batch of 12 is twelve of them). Least
processor time of all rounds, as multiples of 256 px; and the bytes kept for the gradient, which
fill the memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from monai_cxr_cf.commands.say import say
from monai_cxr_cf.runs.networks import Networks

SIDES = (256, 384, 512)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="cxr-mini")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    parts: Any = Networks().backbone(args.backbone)
    words = torch.zeros(1, 77, parts.unet.config.cross_attention_dim)
    least: dict[tuple[str, int], float] = {}
    for _ in range(args.rounds):
        for side in SIDES:
            for name, job in jobs(parts, side, words).items():
                began = time.process_time()
                job()
                taken = time.process_time() - began
                least[name, side] = min(taken, least.get((name, side), taken))
    say("| | " + " | ".join(f"{side} px" for side in SIDES) + " |\n|---" + "|---" * 3 + "|")
    for name in dict.fromkeys(name for name, _ in least):
        first = least[name, SIDES[0]]
        told = [f"{least[name, side] / first:.1f}" for side in SIDES]
        say(f"| {name} ({first:.2f} s) | " + " | ".join(told) + " |")
    kept = [saved(parts.unet, side, words) for side in SIDES]
    say("| kept for the gradient, MB | " + " | ".join(f"{n / 1e6:.0f}" for n in kept) + " |")


def jobs(parts: Any, side: int, words: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """What is timed, at one side."""
    latent, picture = torch.randn(1, 4, side // 8, side // 8), torch.rand(1, 3, side, side)

    def call() -> Any:
        with torch.no_grad():
            return parts.unet(latent, 500, words)

    def both_ways() -> Any:
        with torch.no_grad():
            return parts.vae.decode(parts.vae.encode(picture).latent_dist.mode())

    def step() -> None:
        learn(parts.unet, latent, words)

    return {"UNet call": call, "VAE, both ways": both_ways, "UNet, forward and backward": step}


def learn(unet: Any, latent: torch.Tensor, words: torch.Tensor) -> None:
    """Forward and backward."""
    unet.requires_grad_(True)
    unet(latent, 500, words).sample.square().mean().backward()
    unet.requires_grad_(False)
    unet.zero_grad(set_to_none=True)


def saved(unet: Any, side: int, words: torch.Tensor) -> int:
    """Bytes that autograd keeps between forward and backward, without the weights."""
    seen: dict[int, int] = {}
    own = {p.data_ptr() for p in unet.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            seen[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        learn(unet, torch.randn(1, 4, side // 8, side // 8), words)
    return sum(seen.values())


if __name__ == "__main__":
    main()
