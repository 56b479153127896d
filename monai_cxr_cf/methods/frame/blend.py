# SPDX-License-Identifier: Apache-2.0
"""Prompt-to-prompt's local blend: the source where neither prompt's own words look."""

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_cxr_cf.diffusion.model.layers import AttentionLayer
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.methods.frame.align import WORD, words_of
from monai_cxr_cf.methods.frame.bench import Bench

Tokens = tuple[tuple[int, ...], tuple[int, ...]]


class Blend:
    """Adds up maps of source and target at a quarter of the latent's side, step after step.

    Attributes:
        grid: rows and columns of the layers that are looked at, but for the mid block.
    """

    def __init__(self, tokens: Tokens, hw: tuple[int, int], threshold: float) -> None:
        self.tokens, self.hw, self.threshold = tokens, hw, threshold
        self.grid = (hw[0] // 4, hw[1] // 4)
        self.sums: dict[tuple[str, str], Tensor] = {}

    def add(self, mode: str, layer: AttentionLayer, probs: Tensor) -> None:
        """A map (B, heads, N, L) of ``source`` or ``target``."""
        if not layer.name.startswith("mid_block"):
            key = (mode, layer.name)
            self.sums[key] = self.sums[key] + probs if key in self.sums else probs

    def mask(self) -> Tensor:
        """(B, 1, h, w) of 0 and 1: 3 x 3 maximum, from ``threshold`` of each map's own on."""
        found = [self._looked(mode, own) for mode, own in zip(MODES, self.tokens, strict=True)]
        return (found[0] | found[1]).float()

    def _looked(self, mode: str, own: tuple[int, ...]) -> Tensor:
        maps = torch.cat([m for (which, _), m in self.sums.items() if which == mode], 1)
        plane = maps[..., list(own)].sum(-1).mean(1)
        plane = F.max_pool2d(plane.view(-1, 1, *self.grid), 3, stride=1, padding=1)
        plane = F.interpolate(plane, size=self.hw)
        return plane > self.threshold * plane.amax((2, 3), keepdim=True)

    def __call__(self, source: Tensor, z: Tensor) -> Tensor:
        """The target where words look, else the source's latent of the same level."""
        return source + self.mask() * (z - source)


MODES = ("source", "target")


def differing(bench: Bench) -> Tokens:
    """Tokens of the words that only the source prompt has, and of those only the target has.

    Where one prompt has no word of its own, all of its words count.
    """
    texts = (bench.task.source_prompt, bench.task.prompt)
    words = [WORD.findall(text) for text in texts]
    found = []
    for text, own, other in zip(texts, words, reversed(words), strict=True):
        pieces = words_of(bench.backbone.tokenizer, text, bench.backbone.positions)
        alone = [p for word, p in zip(own, pieces, strict=True) if word not in other] or pieces
        found.append(tuple(k for piece in alone for k in piece))
    if not all(found):
        raise BadRequest("The local blend needs words in both prompts.")
    return found[0], found[1]
