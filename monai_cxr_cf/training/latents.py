# SPDX-License-Identifier: Apache-2.0
"""Radiographs, organ maps and a trained autoencoder in; a cached pool of training latents out.

The pool holds augmented real radiographs and rendered pairs (untouched and drawn twin, and where
the drawing lies). Latents are posterior means, unscaled; captions are made while training.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.training.drawing import SEVERITIES, ZONE_ROWS, Drawing, drawable
from monai_cxr_cf.training.render import draw

log = logging.getLogger(__name__)
Squares = dict[str, NDArray[np.uint8]]
# How often each finding is drawn; the ones the demonstrations ask for come first.
SHARES = {
    "effusion": 0.3,
    "consolidation": 0.22,
    "cardiomegaly": 0.2,
    "edema": 0.1,
    "pneumothorax": 0.08,
    "atelectasis": 0.05,
    "nodule": 0.03,
    "mass": 0.02,
}


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
            drawings=np.array([_to_json(ds) for ds in self.drawings]),
            grounded=np.array(list(self.grounding)),
            grounding=np.array([_to_json(ds) for ds in self.grounding.values()]),
        )
        os.replace(part, path)

    @staticmethod
    def load(path: Path) -> Pool:
        """Read what ``save`` wrote."""
        with np.load(path) as a:
            drawings = [_from_json(text) for text in a["drawings"]]
            grounding = dict(
                zip(a["grounded"].tolist(), map(_from_json, a["grounding"]), strict=True)
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

    @staticmethod
    def join(pools: list[Pool]) -> Pool:
        """One pool of all entries."""
        return Pool(
            np.concatenate([p.real for p in pools]),
            [i for p in pools for i in p.real_ids],
            np.concatenate([p.plain for p in pools]),
            np.concatenate([p.drawn for p in pools]),
            np.concatenate([p.masks for p in pools]),
            [i for p in pools for i in p.pair_ids],
            [d for p in pools for d in p.drawings],
        )


def _to_json(drawings: tuple[Drawing, ...]) -> str:
    return json.dumps([asdict(drawing) for drawing in drawings])


def _from_json(text: str) -> tuple[Drawing, ...]:
    return tuple(Drawing(**fields) for fields in json.loads(str(text)))


def augment(
    image: NDArray[np.uint8], labels: NDArray[np.uint8] | None, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Small rotation, scale, shift and contrast change, labels moved alike; never mirrored."""
    angle, scale = np.deg2rad(rng.uniform(-4, 4)), rng.uniform(0.92, 1.08)
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[cosine, -sine], [sine, cosine]])
    centre = (np.array(image.shape) - 1) / 2
    offset = centre - matrix @ (centre + rng.uniform(-8, 8, 2))
    moved = affine_transform(image.astype(np.float32) / 255, matrix, offset, order=1)
    gamma, gain = np.exp(rng.uniform(-0.18, 0.18)), rng.uniform(0.92, 1.06)
    moved = np.clip(np.clip(moved, 0, 1) ** gamma * gain, 0, 1).astype(np.float32)
    if labels is None:
        return moved, None
    return moved, affine_transform(labels, matrix, offset, order=0)


def choose_drawings(labels: NDArray[np.uint8], rng: np.random.Generator) -> tuple[Drawing, ...]:
    """One finding, in a fifth of the cases two that may stand together."""
    first = _choose(labels, rng)
    if rng.random() < 0.8:
        return (first,)
    second = _choose(labels, rng)
    apart = second.finding != first.finding and not (second.side and second.side == first.side)
    bilateral = "bilateral" in (first.side, second.side)
    return (first, second) if apart and not bilateral else (first,)


def _choose(labels: NDArray[np.uint8], rng: np.random.Generator) -> Drawing:
    finding = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    severity = str(rng.choice(SEVERITIES, p=[0.25, 0.4, 0.35]))
    if finding == "cardiomegaly":
        return Drawing(finding, severity=severity)
    if finding == "edema":
        return Drawing(finding, "bilateral", severity=severity)
    side = str(rng.choice(["right", "left"]))
    if finding == "effusion" and rng.random() < 0.12:
        side = "bilateral"
    if finding in ("effusion", "pneumothorax"):
        return Drawing(finding, side, severity=severity)
    zone = str(rng.choice(list(ZONE_ROWS), p=[0.25, 0.25, 0.5]))
    return Drawing(finding, side, "lower" if finding == "atelectasis" else zone, severity)


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


def encode_pairs(
    encoder: Encoder, rows: list[Row], squares: Squares, *, organs: Squares, draws: int, seed: int
) -> Pool:
    """``draws`` drawn twins of one augmented copy of every row that has an organ map."""
    plain, drawn, masks, ids, drawings = [], [], [], [], []
    for index, row in enumerate(rows):
        rng = np.random.default_rng([seed, 2, index])
        image, labels = augment(squares[row.id], organs[row.id], rng)
        if labels is None or not all(drawable(image, labels, side) for side in (1, 2)):
            continue
        images = [image]
        for _ in range(draws):
            chosen = choose_drawings(labels, rng)
            edited, weight = image, np.zeros_like(image)
            for drawing in chosen:
                edited, touched = draw(edited, labels, drawing, rng=rng)
                weight = np.maximum(weight, touched)
            images.append(edited)
            drawings.append(chosen)
            masks.append(_shrink(weight))
            ids.append(row.id)
        latents = encoder(images)
        plain.append(np.repeat(latents[:1], draws, axis=0))
        drawn.append(latents[1:])
        if index % 50 == 0:
            log.info("rendered pairs: %d of %d rows", index, len(rows))
    empty = np.zeros((0, *plain[0].shape[1:]), np.float16)
    return Pool(
        empty, [], np.concatenate(plain), np.concatenate(drawn), np.stack(masks), ids, drawings
    )


def _shrink(weight: NDArray[np.float32]) -> NDArray[np.uint8]:
    side = weight.shape[0] // 8
    pooled = weight.reshape(side, 8, side, 8).mean((1, 3))
    return np.round(np.clip(pooled, 0, 1) * 255).astype(np.uint8)
