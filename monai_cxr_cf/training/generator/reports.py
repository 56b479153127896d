# SPDX-License-Identifier: Apache-2.0
"""Cached latents and prompts from reports in, batches of real radiographs out.

The draw of an image is a function of (seed, its place in the epochs), so batch size, accumulation
and number of processes change nothing but the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from monai_cxr_cf.data.table import Captioned
from monai_cxr_cf.prompts.scan import marks
from monai_cxr_cf.training.generator.batches import Batch, tokenize
from monai_cxr_cf.training.generator.captions import Caption
from monai_cxr_cf.training.generator.latent_cache import LatentCache
from monai_cxr_cf.training.loop import step_generator, step_rng

VIEW_SHARE = 0.6  # of captions that end in the view, as the words of the drawn captions do
UNKNOWN = "chest radiograph"  # where a report says nothing that the vocabulary knows


def fitting(prompt: str, view: str, tokenizer: CLIPTokenizer) -> str:
    """``prompt, view`` cut to the tokenizer's positions so that finding words survive.

    The view goes first, then sides, zones and degrees, then findings from the last one on.
    """
    return next(text for text in _shorter(prompt, view) if _fits(text, tokenizer))


def _shorter(prompt: str, view: str) -> Iterator[str]:
    if view:
        yield f"{prompt}, {view}"
    yield prompt
    found = [prompt[m.start : m.end] for m in marks(prompt) if m.kind == "finding"]
    names = list(dict.fromkeys(found))
    for count in range(len(names), 0, -1):
        yield " and ".join(names[:count])
    yield UNKNOWN


def _fits(text: str, tokenizer: CLIPTokenizer) -> bool:
    return len(tokenizer(text)["input_ids"]) <= tokenizer.model_max_length


class ReportBatches:
    """Draws batch number n: images n * batch ... of one shuffled epoch after the other."""

    def __init__(
        self, cache: LatentCache, tokenizer: CLIPTokenizer, *, batch: int, dropout: float,
        scaling: float,
    ) -> None:  # fmt: skip
        self.cache, self.tokenizer = cache, tokenizer
        self.batch, self.dropout, self.scaling = batch, dropout, scaling
        usable = np.flatnonzero(np.asarray(cache.done) == 1)  # the others cannot be read
        self._learnt = usable[usable < cache.learnt]
        self._apart = usable[usable >= cache.learnt]
        self._epoch: tuple[int, int, NDArray[np.int64]] = (-1, -1, np.empty(0, np.int64))

    def __call__(self, seed: int, number: int) -> Batch:
        """The batch ``number`` of a run with this seed."""
        places = range(number * self.batch, (number + 1) * self.batch)
        latents, captions, noise, level = [], [], [], []
        for place in places:
            rng = step_rng(seed, place)
            index = self._index(seed, place)
            version = int(rng.integers(self.cache.latents.shape[1]))
            latents.append(np.array(self.cache.latents[index, version]))
            captions.append(self._caption(self.cache.rows[index], rng))
            level.append(int(rng.integers(1000)))
            noise.append(torch.randn(latents[-1].shape, generator=step_generator(seed, place)))
        return self._tensors(latents, captions, torch.stack(noise), level)

    def held_out(self) -> Batch:
        """The radiographs that are not learnt from, as they are."""
        chosen = self._apart.tolist()
        latents = [np.array(self.cache.latents[index, 0]) for index in chosen]
        captions = [self.cache.rows[index].prompt or UNKNOWN for index in chosen]
        cut = [fitting(text, "", self.tokenizer) for text in captions]
        noise = torch.randn((len(chosen), *latents[0].shape), generator=step_generator(0, 0))
        return self._tensors(latents, cut, noise, [500] * len(chosen))

    def _index(self, seed: int, place: int) -> int:
        epoch, at = divmod(place, len(self._learnt))
        if self._epoch[:2] != (seed, epoch):
            order = step_rng(seed, epoch, 3).permutation(self._learnt)
            self._epoch = (seed, epoch, order)
        return int(self._epoch[2][at])

    def _caption(self, row: Captioned, rng: np.random.Generator) -> str:
        view = f"{row.view} view" if rng.random() < VIEW_SHARE else ""
        dropped = rng.random() < self.dropout
        return "" if dropped else fitting(row.prompt or UNKNOWN, view, self.tokenizer)

    def _tensors(
        self, latents: list[NDArray[np.float16]], captions: list[str], noise: torch.Tensor,
        level: list[int],
    ) -> Batch:  # fmt: skip
        z = torch.from_numpy(np.stack(latents)).float() * self.scaling
        tokens, columns = tokenize(self.tokenizer, [Caption(text) for text in captions])
        place = torch.zeros(len(z), *z.shape[2:])
        kind = torch.zeros(len(z), dtype=torch.long)
        return Batch(z, z, noise, torch.tensor(level), tokens, columns, place, kind)
