# SPDX-License-Identifier: Apache-2.0
"""Captioned radiographs and a VAE in; their latents as a memory-mapped file on disk out.

Every radiograph is encoded as it is and in a few augmented versions. Filling can be stopped at any
time and goes on where it was; several processes share the work.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from monai_cxr_cf.data.captioned import Collection
from monai_cxr_cf.data.table import Captioned, load_grey
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.training.augment import augment
from monai_cxr_cf.training.images import to_square

log = logging.getLogger(__name__)
EVERY = 32  # radiographs between two notes of what is done


@dataclass(frozen=True)
class CacheSpec:
    """What decides the latents besides the radiographs."""

    layout: str
    views: tuple[str, ...]
    side: int  # px
    versions: int  # of each radiograph; the first is not augmented
    seed: int
    vae: str  # sha256 of its weights


@dataclass
class LatentCache:
    """Radiographs, their latents (N, versions, 4, h, w) float16, unscaled, and what is done."""

    rows: list[Captioned]
    learnt: int  # so many are learnt from; the rest watch the training
    latents: np.memmap[Any, Any]
    done: np.memmap[Any, Any]  # (N,) uint8


def open_cache(
    out: Path, collection: Collection, spec: CacheSpec, *, held_out: int = 8
) -> LatentCache:
    """The cache in ``out``; made, and the collection read, if it is not there.

    Raises:
        BadRequest: the cache was made otherwise.
        UnreadableInput: the collection has too few radiographs.
    """
    index, shape = out / "index.json", (spec.versions, 4, spec.side // 8, spec.side // 8)
    if not index.is_file():
        learnt, apart = hold_out(collection.read(spec.views, ("train", "judge")), held_out)
        rows = [*learnt, *apart]
        out.mkdir(parents=True, exist_ok=True)
        np.memmap(out / "latents.f16", np.float16, "w+", shape=(len(rows), *shape)).flush()
        np.memmap(out / "done.u8", np.uint8, "w+", shape=(len(rows),)).flush()
        content = {"spec": asdict(spec), "learnt": len(learnt), "rows": [asdict(r) for r in rows]}
        part = index.with_suffix(".part")
        part.write_text(json.dumps(content), encoding="utf-8")
        os.replace(part, index)
    content = json.loads(index.read_text(encoding="utf-8"))
    if content["spec"] != json.loads(json.dumps(asdict(spec))):
        raise BadRequest(
            f"The latents in {out.name} were made from other data, sizes or another VAE.",
            hint="Choose another --out, or remove that folder.",
        )
    rows = [Captioned(**fields) for fields in content["rows"]]
    return LatentCache(
        rows,
        content["learnt"],
        np.memmap(out / "latents.f16", np.float16, "r+", shape=(len(rows), *shape)),
        np.memmap(out / "done.u8", np.uint8, "r+", shape=(len(rows),)),
    )


def hold_out(rows: list[Captioned], count: int) -> tuple[list[Captioned], list[Captioned]]:
    """Radiographs to learn from, and at most ``count`` of patients that are never learnt from.

    The collection's own validation patients are left out if it has any; else at most a tenth of
    the patients, those whose hashed names come first.
    """

    def rank(patient: str) -> str:
        return hashlib.sha256(patient.encode()).hexdigest()

    patients = {row.patient for row in rows if row.split == "judge"}
    if not patients:
        order = sorted({row.patient for row in rows}, key=rank)
        patients = set(order[: min(count, max(2, len(order) // 10))])
    apart = sorted(
        (r for r in rows if r.patient in patients), key=lambda r: (rank(r.patient), r.id)
    )
    learnt = [row for row in rows if row.patient not in patients]
    if len(apart) < 2 or not learnt:
        raise UnreadableInput(
            f"{len(rows)} radiographs do not suffice to train on some and watch others.",
            hint="Two of other patients must be left out, and one be left.",
        )
    return learnt, apart[:count]


def fill_cache(
    cache: LatentCache, collection: Collection, *, vae: Any, spec: CacheSpec, team: Accelerator
) -> None:
    """Encode every radiograph that is not done: posterior means; this process's share of them."""
    open_ones = [index for index in range(len(cache.rows)) if not cache.done[index]]
    mine, noted = open_ones[team.process_index :: team.num_processes], 0
    for number, index in enumerate(mine, start=1):
        rng = np.random.default_rng([spec.seed, 1, index])
        square = to_square(load_grey(collection.folder, cache.rows[index]), spec.side)
        images = [np.asarray(square / np.float32(255), np.float32)]
        images += [augment(square, None, rng)[0] for _ in range(spec.versions - 1)]
        cache.latents[index] = encode(vae, np.stack(images))
        if number % EVERY == 0 or number == len(mine):
            cache.latents.flush()  # first the latents, then the note that they are there
            cache.done[mine[noted:number]] = 1
            cache.done.flush()
            noted = number
            if number % (8 * EVERY) == 0 or number == len(mine):
                log.info("latents cached: %d of %d", number, len(mine))
    team.wait_for_everyone()


@torch.no_grad()
def encode(vae: Any, images: NDArray[np.float32]) -> NDArray[np.float16]:
    """Posterior means (N, 4, S/8, S/8) of (N, S, S) images in 0..1, one after the other."""
    means = []
    for image in images:
        pixels = torch.from_numpy(image).to(vae.device)[None, None].expand(-1, 3, -1, -1) * 2 - 1
        means.append(vae.encode(pixels).latent_dist.mean.to(torch.float16).cpu().numpy())
    return np.concatenate(means)
