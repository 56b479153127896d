# SPDX-License-Identifier: Apache-2.0
"""Radiographs and organ maps in; all pairs of a training as pictures, kept on disk, out.

Pictures do not depend on the autoencoder, so they are made once and encoded as often as needed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.training.drawn_pairs.drawing import Drawing
from monai_cxr_cf.training.drawn_pairs.pairs import Library, Pair, Squares, put_in, take_out

log = logging.getLogger(__name__)
REMOVALS = 2  # augmented copies of each real radiograph whose finding is taken away


@dataclass
class Rendered:
    """Pairs as 8-bit pictures; pairs of one radiograph stand together."""

    plain: NDArray[np.uint8]  # (K, S, S) pictures without the finding, each once
    plain_of: NDArray[np.int64]  # (P,) which of them belongs to a pair
    drawn: NDArray[np.uint8]  # (P, S, S) pictures with it
    masks: NDArray[np.uint8]  # (P, S/8, S/8) 0..255, where they differ
    ids: list[str]
    drawings: list[tuple[Drawing, ...]]

    def save(self, path: Path) -> None:
        """Write atomically as one .npz."""
        part = path.with_suffix(".part.npz")
        np.savez(
            part,
            plain=self.plain,
            plain_of=self.plain_of,
            drawn=self.drawn,
            masks=self.masks,
            ids=np.array(self.ids),
            drawings=np.array([to_json(drawings) for drawings in self.drawings]),
        )
        os.replace(part, path)

    @staticmethod
    def load(path: Path) -> Rendered:
        """Read what ``save`` wrote."""
        with np.load(path) as a:
            return Rendered(
                a["plain"],
                a["plain_of"],
                a["drawn"],
                a["masks"],
                a["ids"].tolist(),
                [from_json(text) for text in a["drawings"]],
            )


def to_json(drawings: tuple[Drawing, ...]) -> str:
    """Drawings as text."""
    return json.dumps([asdict(drawing) for drawing in drawings])


def from_json(text: str) -> tuple[Drawing, ...]:
    """Drawings from text."""
    return tuple(Drawing(**fields) for fields in json.loads(str(text)))


def render_all(
    rows: list[Row], squares: Squares, maps: Squares, *, draws: int, seed: int
) -> Rendered:
    """Every pair that the rows give; ``draws`` pairs of each clear radiograph."""
    library = Library.of(rows, squares, maps, seed)
    plain, plain_of, drawn, masks = [], [], [], []
    ids, drawings = [], []
    last: object = None
    for pair in _all_pairs(rows, squares, maps, library=library, draws=draws, seed=seed):
        if pair.plain is not last:
            plain.append(_bytes(pair.plain))
            last = pair.plain
        plain_of.append(len(plain) - 1)
        drawn.append(_bytes(pair.drawn))
        masks.append(_shrink(pair.weight))
        ids.append(pair.id)
        drawings.append(pair.drawings)
        if len(drawn) % 400 == 0:
            log.info("pairs rendered: %d", len(drawn))
    return Rendered(
        np.stack(plain), np.array(plain_of), np.stack(drawn), np.stack(masks), ids, drawings
    )


def _all_pairs(
    rows: list[Row], squares: Squares, maps: Squares, *, library: Library, draws: int, seed: int
) -> Iterator[Pair]:
    clear = set(library.clear)
    for index, row in enumerate(rows):
        if row.id in clear:
            rng = np.random.default_rng([seed, 2, index])
            yield from put_in(row, squares, maps, library=library, draws=draws, rng=rng)
        elif row.id in maps:
            for copy in range(REMOVALS):
                rng = np.random.default_rng([seed, 4, index, copy])
                yield from take_out(row, squares, maps, library=library, rng=rng)


def _bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _shrink(weight: NDArray[np.float32]) -> NDArray[np.uint8]:
    side = weight.shape[0] // 8
    return _bytes(weight.reshape(side, 8, side, 8).mean((1, 3)))
