# SPDX-License-Identifier: Apache-2.0
"""Captioned radiographs and a VAE in; their latents as a memory-mapped file on disk out.

Every radiograph is encoded as it is and in a few augmented versions. Filling can be stopped at any
time and goes on where it was; several processes share the work. A radiograph that is new or whose
file changed is encoded (again) the next time, and one that is gone leaves.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
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
TOLERATED = 0.01  # share of the radiographs that may be unreadable
LATENTS, DONE, INDEX = "latents.f16", "done.u8", "index.json"


@dataclass(frozen=True)
class CacheSpec:
    """What decides the latents besides the radiographs."""

    layout: str
    views: tuple[str, ...]
    side: int  # px
    versions: int  # of each radiograph; the first is not augmented
    seed: int
    vae: str  # sha256 of its weights

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one radiograph's latents."""
        return (self.versions, 4, self.side // 8, self.side // 8)


@dataclass
class LatentCache:
    """Radiographs, their latents (N, versions, 4, h, w) float16, unscaled, and what is done."""

    rows: list[Captioned]
    learnt: int  # so many are learnt from; the rest watch the training
    latents: np.memmap[Any, Any]
    done: np.memmap[Any, Any]  # (N,) uint8: 0 open, 1 done, 2 cannot be read


def open_cache(
    out: Path, collection: Collection, spec: CacheSpec, *, held_out: int = 8
) -> LatentCache:
    """The cache in ``out`` brought up to the collection as it is now; made if it is not there.

    Latents of radiographs whose files are as they were are kept, whatever became of their
    captions; new and changed ones are open, and those that are gone leave.

    Raises:
        BadRequest: the cache was made otherwise.
        UnreadableInput: the collection has too few radiographs.
    """
    before = _stored(out, spec)
    learnt, apart = hold_out(collection.read(spec.views, ("train", "judge")), held_out)
    rows = [*learnt, *apart]
    stamps = [_stamp(collection.folder / row.image) for row in rows]
    content = {
        "spec": asdict(spec),
        "learnt": len(learnt),
        "rows": [asdict(row) for row in rows],
        "stamps": stamps,
    }
    if before is None or before.get("stamps") != stamps or before["rows"] != content["rows"]:
        _bring_over(out, before, content, shape=spec.shape)
    return LatentCache(
        rows,
        len(learnt),
        np.memmap(out / LATENTS, np.float16, "r+", shape=(len(rows), *spec.shape)),
        np.memmap(out / DONE, np.uint8, "r+", shape=(len(rows),)),
    )


def _stored(out: Path, spec: CacheSpec) -> dict[str, Any] | None:
    """What ``out`` holds; BadRequest if that was made otherwise."""
    if not (out / INDEX).is_file():
        return None
    content: dict[str, Any] = json.loads((out / INDEX).read_text(encoding="utf-8"))
    if content["spec"] != json.loads(json.dumps(asdict(spec))):
        raise BadRequest(
            f"The latents in {out.name} were made from other data, sizes or another VAE.",
            hint="Choose another --out, or remove that folder.",
        )
    return content


def _stamp(path: Path) -> list[int]:
    """Size and time of a file: what tells that it is another one."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _bring_over(
    out: Path, before: Mapping[str, Any] | None, content: Mapping[str, Any],
    *, shape: tuple[int, ...],
) -> None:  # fmt: skip
    """Write the files anew, with the latents that still hold; a stop leaves the old ones whole."""
    out.mkdir(parents=True, exist_ok=True)
    count = len(content["rows"])
    with TemporaryDirectory(dir=out, prefix=".new-") as name:
        new = Path(name)
        latents = np.memmap(new / LATENTS, np.float16, "w+", shape=(count, *shape))
        done = np.memmap(new / DONE, np.uint8, "w+", shape=(count,))
        if before is not None and (out / LATENTS).is_file():
            old = len(before["rows"])
            kept = np.memmap(out / LATENTS, np.float16, "r", shape=(old, *shape))
            was = np.fromfile(out / DONE, np.uint8)
            for at, origin in _same(before, content):
                if was[origin] == 1:
                    latents[at], done[at] = kept[origin], 1
            log.info(
                "the collection has changed: %d latents kept, %d to be made",
                int(done.sum()), count - int(done.sum()),
            )  # fmt: skip
        latents.flush()
        done.flush()
        (new / INDEX).write_text(json.dumps(content), encoding="utf-8")
        (out / INDEX).unlink(missing_ok=True)  # until all are in place there is no cache
        for file in (LATENTS, DONE, INDEX):
            os.replace(new / file, out / file)


def _same(before: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Places, now and before, of radiographs whose file and depth did not change."""
    stamps = before.get("stamps") or [None] * len(before["rows"])
    known = {
        (row["id"], row["image"], row.get("bits", 0)): (place, stamp)
        for place, (row, stamp) in enumerate(zip(before["rows"], stamps, strict=True))
    }
    for place, (row, stamp) in enumerate(zip(content["rows"], content["stamps"], strict=True)):
        origin, old = known.get((row["id"], row["image"], row["bits"]), (0, None))
        if old == stamp:
            yield place, origin


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
    """Encode every radiograph that is not done: posterior means; this process's share of them.

    One that cannot be read is named below the data folder and left out.

    Raises:
        UnreadableInput: more than one in a hundred cannot be read.
    """
    open_ones = [index for index in range(len(cache.rows)) if cache.done[index] != 1]
    mine, noted = open_ones[team.process_index :: team.num_processes], 0
    states = np.ones(len(mine), np.uint8)
    for number, index in enumerate(mine, start=1):
        try:
            cache.latents[index] = encode(vae, _versions(cache.rows[index], collection, spec))
        except UnreadableInput as error:
            log.warning("%s", error.message)
            states[number - 1] = 2
            if (states == 2).sum() > TOLERATED * len(cache.rows):
                raise
        if number % EVERY == 0 or number == len(mine):
            cache.latents.flush()  # first the latents, then the note that they are there
            cache.done[mine[noted:number]] = states[noted:number]
            cache.done.flush()
            noted = number
            if number % (8 * EVERY) == 0 or number == len(mine):
                log.info("latents cached: %d of %d", number, len(mine))
    team.wait_for_everyone()


def _versions(row: Captioned, collection: Collection, spec: CacheSpec) -> NDArray[np.float32]:
    """The radiograph and its augmented copies, drawn by its name: (versions, S, S) in 0..1."""
    name = int.from_bytes(hashlib.sha256(row.id.encode()).digest()[:8], "big")
    rng = np.random.default_rng([spec.seed, 1, name])
    square = to_square(load_grey(collection.folder, row), spec.side)
    images = [np.asarray(square / np.float32(255), np.float32)]
    images += [augment(square, None, rng)[0] for _ in range(spec.versions - 1)]
    return np.stack(images)


@torch.no_grad()
def encode(vae: Any, images: NDArray[np.float32]) -> NDArray[np.float16]:
    """Posterior means (N, 4, S/8, S/8) of (N, S, S) images in 0..1, one after the other."""
    means = []
    for image in images:
        pixels = torch.from_numpy(image).to(vae.device)[None, None].expand(-1, 3, -1, -1) * 2 - 1
        means.append(vae.encode(pixels).latent_dist.mean.to(torch.float16).cpu().numpy())
    return np.concatenate(means)
