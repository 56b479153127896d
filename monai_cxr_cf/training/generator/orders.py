# SPDX-License-Identifier: Apache-2.0
"""Drawn pairs in, the batches of a UNet that sees the picture out; functions of (seed, step)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from transformers import CLIPTokenizer

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.training.drawn_pairs.rendered import Rendered
from monai_cxr_cf.training.generator.batches import Batch, family, tokenize
from monai_cxr_cf.training.generator.captions import NAMES, Caption, finding_phrase, pair_captions
from monai_cxr_cf.training.generator.latents import Encoder, Pool
from monai_cxr_cf.training.loop import step_generator, step_rng

Array = NDArray[Any]
DROPPED = 0.05  # of the orders, of the pictures, and of both together, each
CHANGES = 0.3  # share of orders that change a degree, where the pool has such twins


@dataclass
class Pairs:
    """What both draw from; ``more`` is what ``hidden`` gives, for ``Holes``."""

    pool: Pool
    rows: dict[str, Row]
    tokenizer: CLIPTokenizer
    batch: int
    scaling: float  # the autoencoder's
    more: dict[str, Array] = field(default_factory=dict)

    def __call__(self, seed: int, step: int) -> Batch:
        """The batch of ``step``."""
        rng = step_rng(seed, step)
        wanted, beside, words = zip(*(self.sample(rng) for _ in range(self.batch)), strict=True)
        target = torch.from_numpy(np.stack(wanted)).float() * self.scaling
        tokens, columns = tokenize(self.tokenizer, [Caption(text) for text in words])
        return Batch(
            source=target,
            target=target,
            noise=torch.randn(target.shape, generator=step_generator(seed, step)),
            level=torch.from_numpy(rng.integers(0, 1000, self.batch)),
            tokens=tokens,
            columns=columns,
            place=torch.zeros_like(target[:, 0]),
            kind=torch.ones(self.batch),
            beside=torch.from_numpy(np.stack(beside)).float(),
        )

    def sample(self, rng: np.random.Generator) -> tuple[Array, Array, str]:
        """What is wanted (unscaled), further channels, words."""
        raise NotImplementedError


class Orders(Pairs):
    """For 8 channels: one twin, unscaled as InstructPix2Pix has it; the other is wanted."""

    def sample(self, rng: np.random.Generator) -> tuple[Array, Array, str]:
        """An order in the words of ``prompts.compose.instruction``; both ways of a pair alike."""
        seen, wanted, words = self._asked(int(rng.integers(len(self.pool.plain))), rng)
        draw = int(rng.random() / DROPPED)  # 0 drops words, 1 the picture, 2 both
        return wanted, seen * (draw not in (1, 2)), "" if draw in (0, 2) else words

    def _asked(self, index: int, rng: np.random.Generator) -> tuple[Array, Array, str]:
        pool, own = self.pool, self.pool.drawings[index]
        plain, drawn = pool.plain[index], pool.drawn[index]
        name = ", ".join(NAMES.get(d.finding, d.finding) for d in own)
        a = own[0]
        others = {i: b.severity for i in family(pool, index) for b in pool.drawings[i]
                  if len(own) == len(pool.drawings[i]) == 1 and a.severity != b.severity
                  and (a.finding, a.side, a.zone) == (b.finding, b.side, b.zone)}  # fmt: skip
        if others and rng.random() < CHANGES:
            other = int(rng.choice(list(others)))
            words = f"Change the level of {name} from {a.severity} to {others[other]}"
            return drawn, pool.drawn[other], words
        phrase = ", ".join(finding_phrase(d, rng).translate({91: None, 93: None}) for d in own)
        if rng.random() < 0.5:
            return plain, drawn, f"Add the finding of {phrase}"
        return drawn, plain, f"Remove the finding of {phrase if rng.random() < 0.5 else name}"


class Holes(Pairs):
    """For 9 channels: mask, and the latent of the picture whose masked pixels are 0 of -1..1."""

    def sample(self, rng: np.random.Generator) -> tuple[Array, Array, str]:
        """Either twin; a caption in ten is dropped."""
        pool, index, which = self.pool, int(rng.integers(len(self.pool.plain))), rng.integers(2)
        captions = pair_captions(self.rows[pool.pair_ids[index]], pool.drawings[index], rng)
        shown = self.more["masked"][which, index].astype(np.float32) * self.scaling
        beside = np.concatenate([self.more["masks"][index][None], shown])
        words = captions[which].text if rng.random() < 0.9 else ""
        return (pool.plain, pool.drawn)[which][index], beside, words


def hidden(out: Path, encoder: Encoder, pairs: Rendered, seed: int) -> dict[str, Array]:
    """``masks`` (P, h, w), and ``masked`` (2, P, 4, h, w): of both twins; kept in ``out``."""
    if not out.is_file():
        masks = np.stack([_hole(place, np.random.default_rng([seed, number]))
                          for number, place in enumerate(pairs.masks)])  # fmt: skip
        twins = zip(masks, pairs.plain[pairs.plain_of], pairs.drawn, strict=True)
        cell = np.ones((8, 8))
        masked = [
            encoder([np.where(np.kron(m, cell), 0.5, x / 255).astype(np.float32) for x in twin])
            for m, *twin in twins
        ]
        part = out.with_suffix(".part.npz")
        np.savez(part, masks=masks, masked=np.stack(masked, 1))
        os.replace(part, out)
    with np.load(out) as kept:
        return dict(kept)


def _hole(place: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Half of them the place of a drawing, widened; else one to three boxes anywhere."""
    if rng.random() < 0.5:
        return binary_dilation(place > 0, iterations=int(rng.integers(1, 5))).astype(np.uint8)
    hole, side = np.zeros_like(place), len(place)
    for _ in range(int(rng.integers(1, 4))):
        high, wide = rng.integers(side // 8, side // 2 + 1, 2)
        top, left = rng.integers(0, side - high + 1), rng.integers(0, side - wide + 1)
        hole[top : top + high, left : left + wide] = 1
    return hole
