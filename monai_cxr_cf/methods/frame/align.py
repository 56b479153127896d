# SPDX-License-Identifier: Apache-2.0
"""Which token of one prompt stands for which of another (prompt-to-prompt, arXiv 2208.01626)."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.task import PROMPT_TOKENS
from monai_cxr_cf.errors import BadRequest

WORD = re.compile(r"\S+")


def refinement(
    source: Sequence[int], target: Sequence[int], *, length: int = PROMPT_TOKENS
) -> tuple[Tensor, Tensor]:
    """map (L,) from target positions to source positions, and α (L,): 0 where none stands.

    Needleman-Wunsch on token ids with both ends: gap 0, match 1, mismatch -1; of equals a target
    token without partner goes first, then a source token without, then the pair. Padding maps to
    itself.
    """
    rows, columns = len(source) + 1, len(target) + 1
    best = [[0] * columns for _ in range(rows)]
    way = [["left"] * columns for _ in range(rows)]
    for i in range(1, rows):
        way[i][0] = "up"
        for j in range(1, columns):
            same = 1 if source[i - 1] == target[j - 1] else -1
            ways = {"left": best[i][j - 1], "up": best[i - 1][j], "pair": best[i - 1][j - 1] + same}
            way[i][j] = max(ways, key=lambda name: ways[name])
            best[i][j] = ways[way[i][j]]
    found = torch.arange(length)
    i, j = len(source), len(target)
    while i or j:
        if way[i][j] == "up":
            i -= 1
            continue
        j -= 1
        found[j] = -1
        if way[i][j + 1] == "pair":
            i -= 1
            found[j] = i
    return found, (found >= 0).float()


def replacement(
    tokenizer: Any,
    source: str,
    target: str,
    *,
    as_published: bool = False,
    length: int = PROMPT_TOKENS,
) -> Tensor:
    """W (L, L), source positions by target positions, of two prompts of as many words.

    Equal words map piece by piece; of a replaced word every source piece maps to every target
    piece by its share, unless they have as many. ``as_published`` maps by position behind the last
    replaced word, and so reads shifted tokens where those numbers differ.

    Raises:
        BadRequest: the prompts differ in their number of words.
    """
    words = [WORD.findall(text) for text in (source, target)]
    if len(words[0]) != len(words[1]):
        raise BadRequest(
            f"Words are replaced one by one; the source has {len(words[0])}, the prompt "
            f"{len(words[1])}.",
            hint="Set mode=refine.",
        )
    pieces = [words_of(tokenizer, text, length) for text in (source, target)]
    replaced = [n for n, pair in enumerate(zip(*words, strict=True)) if pair[0] != pair[1]]
    w = torch.zeros(length, length)
    w[0, 0] = 1
    ends = [0, 0]
    for n, (i, j) in enumerate(zip(*pieces, strict=True)):
        if as_published and replaced and n > replaced[-1]:
            break
        ends = [i[-1], j[-1]]
        if len(i) == len(j):
            w[i, j] = 1
        else:
            w[torch.tensor(i)[:, None], torch.tensor(j)[None]] = 1 / len(j)
    return _rest(w, *ends, as_published=as_published)


def _rest(w: Tensor, i: int, j: int, *, as_published: bool) -> Tensor:
    """End and padding; as published by position, for as many as the longer prompt leaves."""
    length = len(w)
    for step in range(1, length - (max(i, j) if as_published else j)):
        at = j + step
        w[at if as_published else min(i + step, length - 1), at] = 1
    return w


def words_of(tokenizer: Any, text: str, length: int = PROMPT_TOKENS) -> list[list[int]]:
    """Token positions of every word of a text, by character offsets."""
    spans = tokenizer(text, return_offsets_mapping=True, truncation=True, max_length=length)
    offsets = spans["offset_mapping"]
    found = [
        [k for k, (a, b) in enumerate(offsets) if b > a and a < word.end() and b > word.start()]
        for word in WORD.finditer(text)
    ]
    if not all(found):
        raise BadRequest("A prompt is too long to be aligned with another.", hint="Shorten it.")
    return found
