# SPDX-License-Identifier: Apache-2.0
"""A data folder and a trained autoencoder in; ``pool.npz`` for the diffusion training out.

Organ maps come from the shipped segmenter; they say where findings are drawn and worded.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.anatomy.organ_maps import save_organ_maps
from monai_cxr_cf.data.boxes import Box, read_boxes
from monai_cxr_cf.data.folder import Row, load_image, load_organ_mask, read_index
from monai_cxr_cf.training.autoencoder.load import load_autoencoder, require_autoencoder
from monai_cxr_cf.training.drawn_pairs.drawing import Drawing
from monai_cxr_cf.training.drawn_pairs.grounding import boxed, ground
from monai_cxr_cf.training.drawn_pairs.rendered import Rendered, render_all
from monai_cxr_cf.training.generator.latents import Encoder, encode_pairs, encode_real, no_pairs
from monai_cxr_cf.training.images import generator_rows, large_rows, square_images
from monai_cxr_cf.weights import models_folder

log = logging.getLogger(__name__)


def prepare_pool(data: Path, out: Path, *, versions: int, draws: int, least_side: int = 0) -> Path:
    """``out/pool.npz``, made with ``out/organs.npz`` unless they are there.

    With 0 ``draws`` nothing is drawn: real radiographs alone. Radiographs with a shorter side below
    ``least_side`` px are left out.

    Raises:
        ComponentMissing: ``out/vae`` is not there, or the segmenter's weights are missing.
    """
    pool, organs, vae = out / "pool.npz", out / "organs.npz", out / "vae"
    require_autoencoder(vae)
    if pool.is_file():
        return pool
    if not organs.is_file():
        log.info("segmenting the radiographs for the captions")
        _organ_maps(data, organs, json.loads((vae / "config.json").read_text())["sample_size"])
    log.info("caching latents")
    rows = large_rows(data, generator_rows(read_index(data)), least_side)
    return _build(data, vae, rows, out=pool, organs=organs, versions=versions, draws=draws)


def organ_squares(
    data: Path, rows: list[Row], predicted: Path | None, side: int
) -> dict[str, NDArray[np.uint8]]:
    """Row id -> side x side labels: predicted ones (.npz, id -> map), else the row's own mask."""
    maps: dict[str, NDArray[np.uint8]] = {}
    if predicted is not None:
        with np.load(predicted) as archive:
            maps = {row.id: archive[row.id] for row in rows if row.id in archive.files}
    for row in rows:
        if row.id not in maps and row.organ_mask:
            maps[row.id] = _pad_labels(load_organ_mask(data, row), side)
    return maps


def _pad_labels(labels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = labels.shape
    edge = max(height, width)
    square = np.zeros((edge, edge), np.uint8)
    top, left = (edge - height) // 2, (edge - width) // 2
    square[top : top + height, left : left + width] = labels
    return np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.NEAREST))


def render_pairs(
    data: Path,
    *,
    out: Path,
    organs: Path | None = None,
    side: int = 256,
    draws: int = 8,
    rows: list[Row] | None = None,
) -> Rendered:
    """The pairs of a pool as pictures: read from ``out`` (.npz) if it is there, else made."""
    if out.is_file():
        return Rendered.load(out)
    rows = generator_rows(read_index(data)) if rows is None else rows
    squares = square_images(data, rows, side=side, cache=out.parent / "squares.npz")
    maps = organ_squares(data, rows, organs, side)
    rendered = render_all(rows, squares, maps, draws=draws, seed=5)
    rendered.save(out)
    return rendered


def build_pool(
    data: Path,
    vae: Path,
    *,
    out: Path,
    organs: Path | None = None,
    versions: int = 2,
    draws: int = 8,
) -> Path:
    """Encode real radiographs and rendered pairs; writes ``out`` (.npz) and returns it.

    Only rows that a shipped generator may learn from. Pairs come from ``rendered.npz`` beside
    ``out``, which is made where it is missing (delete it when data, organ maps or code change);
    with 0 ``draws`` the pool has none.
    """
    rows = generator_rows(read_index(data))
    return _build(data, vae, rows, out=out, organs=organs, versions=versions, draws=draws)


def _build(
    data: Path,
    vae: Path,
    rows: list[Row],
    *,
    out: Path,
    organs: Path | None,
    versions: int,
    draws: int,
) -> Path:
    model = load_autoencoder(vae)
    encoder, side = Encoder(model), model.config.sample_size
    squares = square_images(data, rows, side=side, cache=out.parent / "squares.npz")
    maps = organ_squares(data, rows, organs, side)
    pool = no_pairs(side // 8)
    if draws:
        kept = out.parent / "rendered.npz"
        rendered = render_pairs(data, out=kept, organs=organs, side=side, draws=draws, rows=rows)
        pool = encode_pairs(encoder, rendered)
    real, ids = encode_real(encoder, rows, squares, versions=versions, seed=5)
    places = _Places(data, squares, maps)
    grounding = {row.id: found for row in rows if row.id in maps and (found := places(row))}
    pool = replace(pool, real=real, real_ids=ids, grounding=grounding)
    pool.save(out)
    return out


@dataclass(frozen=True)
class _Places:
    """Where a radiograph's findings lie: by readers' boxes, else by its organ map."""

    data: Path
    squares: dict[str, NDArray[np.uint8]]
    maps: dict[str, NDArray[np.uint8]]

    @cached_property
    def boxes(self) -> dict[str, list[Box]]:
        return read_boxes(self.data)

    def __call__(self, row: Row) -> tuple[Drawing, ...]:
        found = ground(row, np.asarray(self.squares[row.id] / 255, np.float32), self.maps[row.id])
        if row.id not in self.boxes:
            return found
        shape = load_image(self.data, row).shape
        seen = boxed(self.boxes[row.id], self.maps[row.id], shape)
        named = {drawing.finding for drawing in seen}
        return (*seen, *(drawing for drawing in found if drawing.finding not in named))


def _organ_maps(data: Path, out: Path, side: int) -> None:
    """Organ maps of every radiograph, side x side as the autoencoder's images."""
    part = save_organ_maps(data, models_folder(), out=out.with_suffix(".full.npz"))
    with np.load(part) as archive:
        maps = {name: Image.fromarray(archive[name]) for name in archive.files}
    small = {
        n: np.asarray(m.resize((side, side), Image.Resampling.NEAREST)) for n, m in maps.items()
    }
    np.savez_compressed(part, **small)  # type: ignore[arg-type]
    os.replace(part, out)
