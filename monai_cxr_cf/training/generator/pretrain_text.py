# SPDX-License-Identifier: Apache-2.0
"""An untrained text encoder in, one that tells findings, sides and degrees apart out.

Before any picture is seen, captions of drawn findings are regressed onto the facts they state:
from every finding word onto its own side, zone and severity, from end and padding onto the whole
caption. It takes minutes and spares the UNet text states that are equal for all prompts.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.training.drawn_pairs.drawing import SEVERITIES, ZONE_ROWS, Drawing
from monai_cxr_cf.training.generator.batches import tokenize
from monai_cxr_cf.training.generator.captions import Caption, compose, pair_captions, view_words
from monai_cxr_cf.training.loop import learning_rate_factor, step_rng

log = logging.getLogger(__name__)
FINDINGS = (
    "effusion",
    "consolidation",
    "cardiomegaly",
    "edema",
    "pneumothorax",
    "atelectasis",
    "nodule",
    "mass",
)
_PER = 8  # present, right, left, upper, mid, lower, severity named, severity
FACTS = len(FINDINGS) * _PER + 2  # ... and view PA, view AP


def facts(drawings: tuple[Drawing, ...], caption: Caption) -> np.ndarray:
    """What a caption states, as numbers 0..1; unnamed severity counts as none."""
    values = np.zeros(FACTS, np.float32)
    for drawing in drawings:
        at = FINDINGS.index(drawing.finding) * _PER
        sides = ("right", "left") if drawing.side == "bilateral" else (drawing.side,)
        values[at] = 1
        for offset, name in enumerate(("right", "left", *ZONE_ROWS), start=1):
            values[at + offset] = name in (*sides, drawing.zone)
        if drawing.severity:
            values[at + 7] = (1 + SEVERITIES.index(drawing.severity)) / 3
            values[at + 6] = 1
    values[-2], values[-1] = "PA view" in caption.text, "AP view" in caption.text
    return values


def random_example(rows: list[Row], rng: np.random.Generator) -> tuple[Caption, np.ndarray]:
    """A caption of drawn findings or of their absence, and its facts."""
    row = rows[int(rng.integers(len(rows)))]
    drawings = [_random_drawing(rng)]
    if rng.random() < 0.25:
        drawings += [d for d in [_random_drawing(rng)] if d.finding != drawings[0].finding]
    plain, drawn = pair_captions(row, tuple(drawings), rng)
    if rng.random() < 0.3:
        return plain, facts((), plain)
    if rng.random() < 0.05:
        empty = compose([view_words(row, rng)])
        return empty, facts((), empty)
    return drawn, facts(tuple(drawings), drawn)


def _random_drawing(rng: np.random.Generator) -> Drawing:
    finding = str(rng.choice(FINDINGS))
    severity = str(rng.choice(SEVERITIES))
    side = str(rng.choice(["right", "left"])) if finding != "cardiomegaly" else ""
    side = "bilateral" if finding == "edema" else side
    zoned = finding in ("consolidation", "nodule", "mass")
    zone = str(rng.choice(list(ZONE_ROWS))) if zoned else ""
    return Drawing(finding, side, "lower" if finding == "atelectasis" else zone, severity)


def pretrain_text(
    encoder: CLIPTextModel, tokenizer: CLIPTokenizer, rows: list[Row], *, steps: int, seed: int
) -> float:
    """Train the encoder in place; returns the last mean squared error of the facts."""
    torch.manual_seed(seed)
    head = nn.Linear(encoder.config.hidden_size, FACTS)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 1e-3)
    error = torch.zeros(())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * learning_rate_factor(step / steps, step, 50)
        rng = step_rng(seed, step, 7)
        examples = [random_example(rows, rng) for _ in range(24)]
        tokens, columns = tokenize(tokenizer, [caption for caption, _ in examples])
        states = encoder(tokens).last_hidden_state  # all positions, as the UNet will see them
        goal = torch.from_numpy(np.stack([values for _, values in examples]))
        error = _error(head(states), goal, tokens, columns, tokenizer)
        error.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            log.info("text pretraining: step %d, error %.4f", step, error.item())
    return error.item()


def _error(
    output: Tensor, goal: Tensor, tokens: Tensor, columns: Tensor, tokenizer: CLIPTokenizer
) -> Tensor:
    """Squared error at end and padding (all facts) and at finding words (what is present there)."""
    ending = (tokens == tokenizer.pad_token_id).float()
    squared = (output - goal[:, None]).square()
    whole = (squared.mean(-1) * ending).sum() / ending.sum()
    stated = (goal > 0).float()[:, None] * columns[..., None]
    words = (squared * stated).sum() / stated.sum().clamp_min(1)
    return whole * 4 + 0.15 * F.relu(words - 0.02)
