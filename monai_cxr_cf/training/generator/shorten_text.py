# SPDX-License-Identifier: Apache-2.0
"""A trained text encoder in, one of fewer layers out that says the same of the training's captions.

Its states are regressed onto the longer one's at all 77 positions, since the UNet sees them all.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.training.generator.batches import tokenize
from monai_cxr_cf.training.generator.captions import Caption, real_caption
from monai_cxr_cf.training.generator.pretrain_text import random_example
from monai_cxr_cf.training.loop import learning_rate_factor, step_rng

log = logging.getLogger(__name__)
RATE, BATCH, EMPTY, REAL = 1e-3, 24, 0.03, 0.22  # shares of captions; the rest is drawn findings


def longer(folder: Path, layers: int) -> CLIPTextModel | None:
    """The text encoder of a pipeline folder, frozen in float32, if it has more layers."""
    told: CLIPTextModel = CLIPTextModel.from_pretrained(folder / "text_encoder").float().eval()
    return told.requires_grad_(False) if told.config.num_hidden_layers > layers else None


def first_and_last(weights: Mapping[str, Tensor], layers: int, of: int) -> dict[str, Tensor]:
    """Weights of ``layers`` of the ``of`` layers: the first ones, and the last as the last."""
    other = f"encoder.layers.{layers - 1}."
    kept = {name: weight for name, weight in weights.items() if other not in name}
    last = f"encoder.layers.{of - 1}."
    return kept | {n.replace(last, other): w for n, w in weights.items() if last in n}


def shorten_text(
    encoder: CLIPTextModel,
    teacher: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    rows: list[Row],
    *,
    steps: int,
    seed: int,
) -> float:
    """Train the encoder in place; returns the last mean squared error over the states' variance."""
    own, every = encoder.config.num_hidden_layers, teacher.config.num_hidden_layers
    start = first_and_last(teacher.state_dict(), own, every)
    encoder.load_state_dict({name: start[name] for name in encoder.state_dict()})
    optimizer = torch.optim.AdamW(encoder.parameters(), RATE, weight_decay=0.0)
    error = torch.zeros(())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * learning_rate_factor(step / steps, step, 50)
        tokens, _ = tokenize(tokenizer, _captions(rows, step_rng(seed, step, 9)))
        goal = teacher(tokens).last_hidden_state
        error = (encoder(tokens).last_hidden_state - goal).square().mean() / goal.var()
        error.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            log.info("text encoder of %d layers: step %d, error %.5f", own, step, error.item())
    return error.item()


def _captions(rows: list[Row], rng: np.random.Generator) -> list[Caption]:
    """As the training words them."""

    def one() -> Caption:
        draw = rng.random()
        if draw < EMPTY:
            return Caption("")
        if draw < EMPTY + REAL:
            return real_caption(rows[int(rng.integers(len(rows)))], (), rng)
        return random_example(rows, rng)[0]

    return [one() for _ in range(BATCH)]
