# SPDX-License-Identifier: Apache-2.0
"""A backbone in training in, figures and pictures of how it follows words out.

Caption gap (right against shuffled captions, per noise level), text spread (how far prompts lie
apart) and prompt sensitivity (grey levels between edits of one source and seed under two prompts).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from monai_cxr_cf.training.autoencoder.quality import sheet
from monai_cxr_cf.training.generator.batches import Batch, tokenize
from monai_cxr_cf.training.generator.captions import Caption
from monai_cxr_cf.training.generator.pipeline_folder import build_scheduler

PROBES = (  # prompt, opposite prompt, where the change belongs: side of the image, rows
    ("large left pleural effusion", "clear lungs", (0.5, 1.0, 0.5, 0.95)),
    ("large right pleural effusion", "clear lungs", (0.0, 0.5, 0.5, 0.95)),
    ("severe cardiomegaly", "normal heart size", (0.3, 0.85, 0.4, 0.85)),
    ("severe right upper lobe consolidation", "clear lungs", (0.1, 0.5, 0.1, 0.5)),
)
GUIDANCE = 5.0
SAMPLES = (
    "normal heart size, clear lungs, PA view",
    "large left pleural effusion, PA view",
    "large right pleural effusion, PA view",
    "severe cardiomegaly, PA view",
    "severe right upper lobe consolidation, PA view",
    "severe pulmonary edema, AP view",
)


@dataclass
class PipelineParts:
    """The parts of a pipeline, as the trainings use them."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    vae: AutoencoderKL
    steps: int = 20  # of DDIM, in figures and sheets

    @torch.no_grad()
    def states(self, prompts: list[str]) -> Tensor:
        """(B, 77, D) text states."""
        tokens, _ = tokenize(self.tokenizer, [Caption(p) for p in prompts])
        return self.text_encoder(tokens.to(self.device)).last_hidden_state

    @property
    def device(self) -> torch.device:
        """Where the UNet lies."""
        return self.unet.device


@torch.no_grad()
def caption_gap(parts: PipelineParts, batch: Batch, levels: tuple[int, ...]) -> dict[str, float]:
    """(shuffled - right) / right loss at each level, on the plain samples of a batch.

    Shuffled means the caption of the next sample; 0 when words are inert. ``validation`` is the
    mean loss under the right caption.
    """
    schedule, device = build_scheduler(), parts.device
    states = parts.text_encoder(batch.tokens.to(device)).last_hidden_state
    target, noise = batch.target.to(device), batch.noise.to(device)
    gaps, losses = {}, []
    for level in levels:
        time = torch.full((len(states),), level, device=device)
        noisy = schedule.add_noise(target, noise, time)
        right, wrong = (
            (parts.unet(batch.seen(noisy), time, s).sample.float() - noise).square().mean().item()
            for s in (states, states.roll(1, 0))
        )
        gaps[f"gap_{level}"] = (wrong - right) / right
        losses.append(right)
    return {**gaps, "validation": float(np.mean(losses))}


def text_spread(parts: PipelineParts) -> float:
    """1 - mean cosine between the centred-on-nothing mean states of the probe prompts."""
    states = parts.states([p for probe in PROBES for p in probe[:2]]).mean(1)
    unit = torch.nn.functional.normalize(states, dim=-1)
    similarity = unit @ unit.T
    count = len(unit)
    return float(1 - (similarity.sum() - count) / (count * (count - 1)))


@torch.no_grad()
def generate(
    parts: PipelineParts,
    prompts: list[str],
    *,
    noise: Tensor,
    source: Tensor | None = None,
    strength: float = 1.0,
    beside: Tensor | None = None,
) -> Tensor:
    """DDIM (``parts.steps``, eta 0) with guidance: scaled latents (B, 4, h, w) for B prompts.

    With ``source`` (scaled latents) the run starts at ``strength`` of the schedule, else in noise.
    ``beside``: further input channels.
    """
    scheduler: DDIMScheduler = build_scheduler()
    count = parts.steps
    scheduler.set_timesteps(count)
    times = scheduler.timesteps[count - max(1, int(count * strength + 1e-9)) :]
    z = noise if source is None else scheduler.add_noise(source, noise, times[:1])
    z = z.to(parts.device)
    states, empty = parts.states(prompts), parts.states([""]).expand(len(prompts), -1, -1)
    for time in times:
        with torch.autocast(parts.device.type, torch.bfloat16):
            given = z if beside is None else torch.cat([z, beside.to(z)], 1)
            target = parts.unet(given, time, states).sample.float()
            plain = parts.unet(given, time, empty).sample.float()
        z = scheduler.step(plain + GUIDANCE * (target - plain), time, z).prev_sample
    return z


@torch.no_grad()
def decode(parts: PipelineParts, z: Tensor) -> NDArray[np.float32]:
    """Scaled latents -> (B, S, S) float32 0..1."""
    scaled = z.to(parts.vae.device) / parts.vae.config.scaling_factor
    images = parts.vae.decode(scaled).sample.mean(1)
    return (images / 2 + 0.5).clamp(0, 1).float().cpu().numpy()


def prompt_sensitivity(
    parts: PipelineParts, source: Tensor, *, out: Path | None = None, strength: float = 0.7
) -> dict[str, float]:
    """Mean absolute difference in grey levels between edits under opposite prompts.

    ``source``: (N, 4, h, w) scaled latents, one probe after the other takes the next. Returns
    ``inside`` and ``outside`` the probe's box (fractions of the image: columns, rows).
    """
    inside, outside, rows = [], [], []
    noise = torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    for index, (prompt, opposite, (left, right, top, bottom)) in enumerate(PROBES):
        at = index % len(source)
        pair, same = source[[at, at]], noise[[at, at]]
        z = generate(parts, [prompt, opposite], noise=same, source=pair, strength=strength)
        edits = decode(parts, torch.cat([z.cpu(), source[[at]]]))
        difference = np.abs(edits[0] - edits[1]) * 255
        side = difference.shape[0]
        box = np.zeros(difference.shape, bool)
        box[int(top * side) : int(bottom * side), int(left * side) : int(right * side)] = True
        inside.append(difference[box].mean())
        outside.append(difference[~box].mean())
        rows.append([edits[2], edits[1], edits[0], np.clip(difference / 64, 0, 1)])
    if out is not None:
        sheet(rows, out)
    return {"inside": float(np.mean(inside)), "outside": float(np.mean(outside))}


def sample_sheet(parts: PipelineParts, latent_side: int, out: Path, *, seeds: int = 2) -> None:
    """One row per seed, one column per caption of ``SAMPLES``."""
    rows = []
    for seed in range(seeds):
        shape = (1, 4, latent_side, latent_side)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        noise = noise.expand(len(SAMPLES), -1, -1, -1)
        rows.append(list(decode(parts, generate(parts, list(SAMPLES), noise=noise))))
    sheet(rows, out)
