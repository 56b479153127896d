# SPDX-License-Identifier: Apache-2.0
"""Radiographs, rendered pairs and a trained autoencoder in; a pool of training latents out.

The pool holds augmented real radiographs and pairs (without and with a finding, and where they
differ). Latents are posterior means, unscaled; captions are made while training.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.training.augment import augment
from monai_cxr_cf.training.drawn_pairs.drawing import Drawing
from monai_cxr_cf.training.drawn_pairs.rendered import Rendered, from_json, to_json

log = logging.getLogger(__name__)
Squares = dict[str, NDArray[np.uint8]]


@dataclass
class Pool:
    """Latents of a training: float16 unless said otherwise; rows by id."""

    real: NDArray[np.float16]  # (N, 4, h, w)
    real_ids: list[str]
    plain: NDArray[np.float16]  # (P, 4, h, w) twins without the finding
    drawn: NDArray[np.float16]  # (P, 4, h, w) twins with it
    masks: NDArray[np.uint8]  # (P, h, w) 0..255, where it was drawn
    pair_ids: list[str]
    drawings: list[tuple[Drawing, ...]]
    grounding: dict[str, tuple[Drawing, ...]] = field(default_factory=dict)  # of real rows, by id

    def save(self, path: Path) -> None:
        """Write atomically as one .npz."""
        part = path.with_suffix(".part.npz")
        np.savez(
            part,
            real=self.real,
            real_ids=np.array(self.real_ids),
            plain=self.plain,
            drawn=self.drawn,
            masks=self.masks,
            pair_ids=np.array(self.pair_ids),
            drawings=np.array([to_json(ds) for ds in self.drawings]),
            grounded=np.array(list(self.grounding)),
            grounding=np.array([to_json(ds) for ds in self.grounding.values()]),
        )
        os.replace(part, path)

    @staticmethod
    def load(path: Path) -> Pool:
        """Read what ``save`` wrote."""
        with np.load(path) as a:
            drawings = [from_json(text) for text in a["drawings"]]
            grounding = dict(
                zip(a["grounded"].tolist(), map(from_json, a["grounding"]), strict=True)
            )
            return Pool(
                a["real"],
                a["real_ids"].tolist(),
                a["plain"],
                a["drawn"],
                a["masks"],
                a["pair_ids"].tolist(),
                drawings,
                grounding,
            )


def no_pairs(cells: int) -> Pool:
    """A pool of nothing yet, for a training on real radiographs alone; ``cells`` a side."""
    nothing = np.zeros((0, 4, cells, cells), np.float16)
    return Pool(nothing, [], nothing, nothing, np.zeros((0, cells, cells), np.uint8), [], [])


class Encoder:
    """Posterior means of batches of SxS float32 images in 0..1."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self.vae = vae.eval()

    @torch.no_grad()
    def __call__(self, images: list[NDArray[np.float32]]) -> NDArray[np.float16]:
        """(N, 4, S/8, S/8) float16, in the order given."""
        out = []
        for start in range(0, len(images), 4):
            batch = torch.from_numpy(np.stack(images[start : start + 4])) * 2 - 1
            batch = batch[:, None].expand(-1, 3, -1, -1).contiguous()
            with torch.autocast("cpu", torch.bfloat16):  # error .5 %, half the time
                mean = self.vae.encode(batch).latent_dist.mean
            out.append(mean.to(torch.float16).numpy())
        return np.concatenate(out)


def encode_real(
    encoder: Encoder, rows: list[Row], squares: Squares, *, versions: int, seed: int
) -> tuple[NDArray[np.float16], list[str]]:
    """The image itself and ``versions`` - 1 augmented copies of every row."""
    latents, ids = [], []
    for index, row in enumerate(rows):
        rng = np.random.default_rng([seed, 1, index])
        images = [np.asarray(squares[row.id] / np.float32(255), np.float32)]
        images += [augment(squares[row.id], None, rng)[0] for _ in range(versions - 1)]
        latents.append(encoder(images))
        ids += [row.id] * versions
        if index % 200 == 0:
            log.info("real radiographs encoded: %d of %d", index, len(rows))
    return np.concatenate(latents), ids


def encode_pairs(encoder: Encoder, rendered: Rendered) -> Pool:
    """Latents of both pictures of every pair; a shared picture is encoded once."""

    def latents(pictures: NDArray[np.uint8], what: str) -> NDArray[np.float16]:
        parts = []
        for start in range(0, len(pictures), 400):
            log.info("%s encoded: %d of %d", what, start, len(pictures))
            part = pictures[start : start + 400]
            parts.append(encoder([np.asarray(p / np.float32(255), np.float32) for p in part]))
        return np.concatenate(parts)

    plain = latents(rendered.plain, "pictures without finding")[rendered.plain_of]
    drawn = latents(rendered.drawn, "pictures with finding")
    empty = np.zeros((0, *plain.shape[1:]), np.float16)
    return Pool(empty, [], plain, drawn, rendered.masks, rendered.ids, rendered.drawings)
