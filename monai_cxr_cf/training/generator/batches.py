# SPDX-License-Identifier: Apache-2.0
"""A pool of latents in, one step's batch out: latents, noise, levels, caption tokens, place maps.

Three kinds of samples, all functions of (seed, step): real radiographs; *twins*, the untouched and
the drawn radiograph under the same noise, so that only the caption tells them apart; and *crossed*
twins, where one is noised and the other is the target, so that the caption must win over the
picture: just what an edit asks of a backbone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.training.drawn_pairs.drawing import Drawing
from monai_cxr_cf.training.generator.captions import Caption, pair_captions, real_caption
from monai_cxr_cf.training.generator.latents import Pool
from monai_cxr_cf.training.loop import step_generator, step_rng

_FAMILY = 12  # pairs of one radiograph stand at most so far apart
Grounding = dict[str, tuple[Drawing, ...]]


@dataclass(frozen=True)
class Mix:
    """How a batch is put together."""

    real: int = 4  # real radiographs
    twins: int = 3  # pairs, two samples each
    crossed: int = 3  # pairs, two samples each
    dropout: float = 0.1  # share of captions replaced by the empty text
    siblings: float = 0.5  # share of crossed pairs that are two drawings in one radiograph
    level_low: int = 150  # half of the noise levels lie here ...
    level_high: int = 780  # ... where findings are decided, a quarter above ...
    level_text: int = 700  # ... here, where a sample from text alone gets its anatomy
    crossed_low: int = 250
    crossed_high: int = 800


@dataclass(frozen=True)
class Batch:
    """Tensors of one step; latents are scaled, B samples."""

    source: Tensor  # (B, 4, h, w) what is noised
    target: Tensor  # (B, 4, h, w) what the model shall see behind the noise
    noise: Tensor  # (B, 4, h, w)
    level: Tensor  # (B,) timesteps 0..999
    tokens: Tensor  # (B, 77)
    columns: Tensor  # (B, 77) 1 where a token names a drawn finding
    place: Tensor  # (B, h, w) 0..1 where it was drawn
    kind: Tensor  # (B,) 0 real, 1 twin, 2 crossed
    beside: Tensor | None = None  # (B, C, h, w) what a UNet of 4 + C channels sees besides

    def seen(self, noisy: Tensor) -> Tensor:
        """All input channels of the UNet, for the noised latents."""
        return noisy if self.beside is None else torch.cat([noisy, self.beside.to(noisy)], 1)


@dataclass
class _Samples:
    source: list[NDArray[np.float16]]
    target: list[NDArray[np.float16]]
    captions: list[Caption]
    place: list[NDArray[np.uint8]]
    noise_of: list[int]
    level: list[int]
    kind: list[int]

    def add(
        self,
        source: NDArray[np.float16],
        target: NDArray[np.float16],
        *,
        caption: Caption,
        place: NDArray[np.uint8],
        draw: tuple[int, int, int],
    ) -> None:
        """``draw`` is (number of the noise, level, kind)."""
        self.source.append(source)
        self.target.append(target)
        self.captions.append(caption)
        self.place.append(place)
        for store, value in zip((self.noise_of, self.level, self.kind), draw, strict=True):
            store.append(value)


class BatchMaker:
    """Draws the batch of a step from a pool."""

    def __init__(
        self,
        pool: Pool,
        rows: dict[str, Row],
        *,
        tokenizer: CLIPTokenizer,
        mix: Mix,
        scaling: float,
        grounding: Grounding,
    ) -> None:
        self.pool, self.rows, self.tokenizer = pool, rows, tokenizer
        self.mix, self.scaling, self.grounding = mix, scaling, grounding
        self.real_weights = _real_weights([rows[i] for i in pool.real_ids])

    def __call__(self, seed: int, step: int) -> Batch:
        """The batch of ``step``: real, twins, crossed, in this order."""
        rng, mix, pool = step_rng(seed, step), self.mix, self.pool
        samples = _Samples([], [], [], [], [], [], [])
        nothing = np.zeros(pool.masks.shape[1:], np.uint8)
        for index in rng.choice(len(pool.real), mix.real, p=self.real_weights):
            name = pool.real_ids[index]
            caption = self._dropped(
                real_caption(self.rows[name], self.grounding.get(name, ()), rng), rng
            )
            draw = (len(samples.level), self._level(rng), 0)
            z = pool.real[index]
            samples.add(z, z, caption=caption, place=nothing, draw=draw)
        for number, index in enumerate(rng.integers(0, len(pool.plain), mix.twins + mix.crossed)):
            self._add_pair(samples, int(index), number >= mix.twins, rng)
        return self._tensors(samples, seed, step)

    def _add_pair(
        self, samples: _Samples, index: int, crossed: bool, rng: np.random.Generator
    ) -> None:
        pool, mix = self.pool, self.mix
        other = self._sibling(index, rng) if crossed else None
        row = self.rows[pool.pair_ids[index]]
        plain, drawn = pair_captions(row, pool.drawings[index], rng)
        twins = [(pool.plain[index], plain, index), (pool.drawn[index], drawn, index)]
        if other is not None:
            caption = pair_captions(row, pool.drawings[other], rng)[1]
            twins[0] = (pool.drawn[other], caption, other)
        number = len(samples.level)
        level = (
            int(rng.integers(mix.crossed_low, mix.crossed_high)) if crossed else self._level(rng)
        )
        for which in (0, 1):
            target, caption, at = twins[which]
            caption = self._dropped(caption, rng)
            # Without a caption nothing says which twin is meant: the picture itself then is.
            source = twins[1 - which][0] if crossed and caption.text else target
            draw = (number, level, 2 if crossed else 1)
            samples.add(source, target, caption=caption, place=pool.masks[at], draw=draw)

    def _sibling(self, index: int, rng: np.random.Generator) -> int | None:
        """Another pair of the same radiograph, in ``siblings`` of the cases.

        Mostly the same finding elsewhere or to another degree: then those words alone decide.
        """
        if rng.random() >= self.mix.siblings:
            return None
        same = [i for i in family(self.pool, index) if i != index]
        if not same:
            return None
        first = self.pool.drawings[index][0]
        alike = [i for i in same if self.pool.drawings[i][0].finding == first.finding]
        moved = [i for i in alike if _place(self.pool.drawings[i][0]) != _place(first)]
        draw = rng.random()
        choice = moved if moved and draw < 0.6 else alike if alike and draw < 0.75 else same
        return int(rng.choice(choice))

    def _dropped(self, caption: Caption, rng: np.random.Generator) -> Caption:
        return Caption("") if rng.random() < self.mix.dropout else caption

    def _level(self, rng: np.random.Generator) -> int:
        draw = rng.random()
        if draw < 0.5:
            return int(rng.integers(self.mix.level_low, self.mix.level_high))
        return int(rng.integers(self.mix.level_text if draw < 0.75 else 0, 1000))

    def _tensors(self, samples: _Samples, seed: int, step: int) -> Batch:
        noise = torch.randn(
            (len(samples.level), *samples.source[0].shape), generator=step_generator(seed, step)
        )
        tokens, columns = tokenize(self.tokenizer, samples.captions)
        return Batch(
            source=torch.from_numpy(np.stack(samples.source)).float() * self.scaling,
            target=torch.from_numpy(np.stack(samples.target)).float() * self.scaling,
            noise=noise[samples.noise_of],
            level=torch.tensor(samples.level),
            tokens=tokens,
            columns=columns,
            place=torch.from_numpy(np.stack(samples.place)).float() / 255,
            kind=torch.tensor(samples.kind),
        )


def family(pool: Pool, index: int) -> list[int]:
    """Neighbouring pairs with the same untouched twin."""
    near = range(max(0, index - _FAMILY), min(len(pool.plain), index + _FAMILY + 1))
    own = [i for i in near if pool.pair_ids[i] == pool.pair_ids[index]]
    return [i for i in own if np.array_equal(pool.plain[i], pool.plain[index])]


def _place(drawing: Drawing) -> tuple[str, str]:
    return drawing.side, drawing.zone


def tokenize(tokenizer: CLIPTokenizer, captions: list[Caption]) -> tuple[Tensor, Tensor]:
    """Token ids (B, 77) and 1 where a token overlaps a finding's span (B, 77)."""
    encoded = tokenizer(
        [caption.text for caption in captions],
        padding="max_length",
        truncation=True,
        return_offsets_mapping=True,
        return_tensors="np",
    )
    columns = np.zeros(encoded["input_ids"].shape, np.float32)
    for row, caption in enumerate(captions):
        for position, (start, end) in enumerate(encoded["offset_mapping"][row]):
            if any(start < last and end > first for first, last, _ in caption.spans):
                columns[row, position] = 1
    return torch.from_numpy(encoded["input_ids"].astype(np.int64)), torch.from_numpy(columns)


def _real_weights(rows: list[Row]) -> NDArray[np.float64]:
    """Sampling weights that raise rare findings: 1 / sqrt(count of a row's rarest label)."""
    counts: dict[str, int] = {}
    for row in rows:
        for label in row.labels or ("",):
            counts[label] = counts.get(label, 0) + 1
    weights = np.array([min(counts[label] for label in row.labels or ("",)) for row in rows])
    scores = 1 / np.sqrt(np.maximum(weights, 20))
    return scores / scores.sum()
