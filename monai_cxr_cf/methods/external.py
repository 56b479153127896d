# SPDX-License-Identifier: Apache-2.0
"""Finished pictures of another program, joined by a manifest to the radiographs they were made of.

``manifest.csv`` has the columns id, image, finding, direction, prompt, seed, method and file. They
then go through the same composite, files and verdict as every method's. What another program
changed is seen at model size, as ours is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from monai_cxr_cf.catalogue.settings import External
from monai_cxr_cf.data.csv_text import read_rows
from monai_cxr_cf.data.picture import read_grey
from monai_cxr_cf.diffusion.task import Finished
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.prompts.findings import lookup

MANIFEST = "manifest.csv"
COLUMNS = ("id", "image", "finding", "direction", "prompt", "seed", "method", "file")
KEY = ("image", "finding", "direction", "prompt", "seed")
ASPECT = 0.01  # of a picture may differ from the source's by so much
Row = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What pictures are looked for: of which file, for which finding."""

    image: str  # name of the source file, with or without its ending
    finding: str
    direction: str
    seeds: tuple[int, ...] = ()  # empty: one picture that names none
    prompt: str = ""  # tells two edits of one finding apart


def external(bench: Bench, settings: External) -> Tensor:
    """The source's latent: the pictures stand beside it, in ``task.finished``."""
    found = bench.task.finished
    if found is None:
        raise ComponentMissing(
            "The method 'external' has no pictures to show.", hint="Run it on a source file."
        )
    if len(found.images) != len(bench.seeds):
        raise BadRequest(f"There are {len(found.images)} pictures for {len(bench.seeds)} seeds.")
    bench.notes += [f"made by {found.made_by}; the backbone named here drew nothing"]
    bench.notes += [f"sha256 {digest}" for digest in found.digests]
    return bench.z0.expand(len(bench.seeds), -1, -1, -1)


def finished(folder: str, wanted: Wanted, grid: ModelGrid) -> Finished:
    """The pictures of one source on the model grid.

    Raises:
        ComponentMissing: no folder or manifest.
        BadRequest: a row is wrong or twice there, or none or several are meant.
        UnreadableInput: a picture is missing or damaged.
    """
    place = Path(folder).expanduser()
    if not folder or not (place / MANIFEST).is_file():
        raise ComponentMissing(
            "The method 'external' needs a folder with manifest.csv.",
            hint="Name it: --method-set folder=DIR. Columns: " + ", ".join(COLUMNS) + ".",
        )
    rows = chosen(manifest(place), wanted)
    images = np.stack([_on_grid(place, row, grid) for row in rows])
    digests = tuple(sha256((place / row["file"]).read_bytes()).hexdigest() for row in rows)
    names = dict.fromkeys(row["method"] or "a program that is not named" for row in rows)
    return Finished(images, ", ".join(names), digests)


def digest_of(folder: str, image: str) -> str:
    """sha256 of all pictures that a folder has of one source; it stands for the folder's path."""
    place, found = Path(folder).expanduser(), sha256()
    for row in manifest(place) if (place / MANIFEST).is_file() else []:
        if _same_image(row, image) and (place / row["file"]).is_file():
            told = {key: row[key] for key in COLUMNS}
            found.update(repr(told).encode() + (place / row["file"]).read_bytes())
    return found.hexdigest()


def _same_image(row: Row, image: str) -> bool:
    """Whether a row is of a source file, its ending or not."""
    return bool({row["image"], Path(row["image"]).stem} & {image, Path(image).stem})


def manifest(place: Path) -> list[Row]:
    """All rows with their numbers; the first wrong one is named."""
    rows: list[Row] = []
    seen: dict[tuple[str, ...], int] = {}
    for number, found in enumerate(read_rows(place / MANIFEST, COLUMNS), 2):
        row: Row = {key: found[key].strip() for key in COLUMNS}
        row["number"] = number
        known = lookup(row["finding"])
        if known is None:
            raise _wrong(number, f"has the finding '{row['finding']}', which is not known")
        if row["direction"] not in ("add", "remove", "change"):
            raise _wrong(number, f"has the direction '{row['direction']}'; expected add or remove")
        if row["seed"] and not row["seed"].isdecimal():
            raise _wrong(number, f"has the seed '{row['seed']}'; expected a whole number")
        row["finding"] = known.name
        key = tuple(str(row[name]) for name in KEY)
        if key in seen:
            raise _wrong(number, f"asks for the same picture as row {seen[key]}")
        seen[key] = number
        rows.append(row)
    return rows


def chosen(rows: Sequence[Row], wanted: Wanted) -> list[Row]:
    """The row of every seed; without seeds the only one there is."""
    meant = [
        row
        for row in rows
        if _same_image(row, wanted.image)
        and (row["finding"], row["direction"]) == (wanted.finding, wanted.direction)
    ]
    if len({row["prompt"] for row in meant}) > 1:  # a left and a right one, by their words
        meant = [row for row in meant if row["prompt"] == wanted.prompt]
    what = f"'{wanted.direction} {wanted.finding}' of {Path(wanted.image).name}"
    if not wanted.seeds:
        if len(meant) != 1 or meant[0]["seed"]:
            raise BadRequest(
                f"{MANIFEST} has {len(meant)} rows for {what}; expected one without a seed.",
                hint="Name the seeds: --seeds.",
            )
        return meant
    by_seed = {row["seed"]: row for row in meant}
    missing = [seed for seed in wanted.seeds if str(seed) not in by_seed]
    if missing:
        raise BadRequest(f"{MANIFEST} has no row for {what}, seed {missing[0]}.")
    return [by_seed[str(seed)] for seed in wanted.seeds]


def _on_grid(place: Path, row: Row, grid: ModelGrid) -> Any:
    """One picture at model size, bright = dense; it must show the whole source."""
    if not (place / row["file"]).is_file():
        raise _wrong(row["number"], f"names a picture that is not there: {row['file']}")
    picture = read_grey(place, row["file"], 16)
    height, width = picture.shape
    own, theirs = grid.shape[0] * grid.aspect / grid.shape[1], height / width
    if abs(theirs / own - 1) > ASPECT:
        raise _wrong(
            row["number"],
            f"names a picture of {height} x {width}; the source is {grid.shape[0]} x "
            f"{grid.shape[1]}, and the whole of it must be seen, neither cut nor padded",
        )
    return ModelGrid((height, width), grid.side).to_model(picture)


def _wrong(number: int, what: str) -> BadRequest:
    return BadRequest(f"Row {number} of {MANIFEST} {what}.", hint="Correct or drop that row.")
