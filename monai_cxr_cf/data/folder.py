# SPDX-License-Identifier: Apache-2.0
"""A data folder (index.csv, images/, organ_masks/, landmarks.npz) in, rows and arrays out.

Trainings and evaluations read every radiograph through here; nothing is resized or normalised.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.counts import Counts
from monai_cxr_cf.data.csv_text import read_rows
from monai_cxr_cf.data.picture import ENDINGS, depth, read_grey
from monai_cxr_cf.data.table import Captioned, Wanted, caption
from monai_cxr_cf.data.views import projection, why_not
from monai_cxr_cf.errors import UnreadableInput

ORGAN_LABELS = {"right_lung": 1, "left_lung": 2, "heart": 3}
NEEDED = ("id", "patient", "view", "split")
OPTIONAL = ("source", "age", "sex", "labels", "text", "organ_mask", "retrocardiac_mask",
            "landmarks", "licence", "weights_may_ship")  # fmt: skip
# What other tools call the parts of a collection.
SPLITS = dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "judge") | {
    "training": "train", "testing": "test"
}  # fmt: skip
ORGANS: dict[str, frozenset[str]] = {
    "": frozenset(),
    "lungs": frozenset({"right_lung", "left_lung"}),
    "lungs+heart": frozenset(ORGAN_LABELS),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One radiograph of index.csv; empty cells become "", None, () or an empty set."""

    id: str  # file stem
    source: str  # collection
    patient: str  # split and resample by this, never by image
    view: str  # PA, AP, AP Supine or ""
    age: int | None  # years
    sex: str  # M, F or ""
    labels: tuple[str, ...]  # findings
    text: str  # reading or notes
    split: str  # train, judge, test or research
    organ_mask: frozenset[str]  # of right_lung, left_lung, heart
    retrocardiac_mask: bool  # another convention: lungs with the area behind the heart
    landmarks: frozenset[str]  # of RL, LL, H
    licence: str
    weights_may_ship: str  # yes, attribution or no


def read_index(folder: Path, needed: Iterable[str] = NEEDED) -> list[Row]:
    """Every row of ``folder/index.csv`` in file order.

    Args:
        folder: the data folder.
        needed: columns that must be there; what other columns hold is empty without them.

    Raises:
        UnreadableInput: the index is missing or lacks a column.
    """
    path = Path(folder) / "index.csv"
    if not path.is_file():
        raise UnreadableInput(
            "There is no index.csv in the data folder.",
            hint="Pass the folder that holds index.csv and images/.",
        )
    return [_row(number, cells) for number, cells in enumerate(read_rows(path, needed), start=2)]


def read_captioned(folder: Path, counts: Counts, asked: Wanted) -> Iterator[Captioned]:
    """The rows with a view of ``views`` whose licence lets weights be shared, for a fine-tuning.

    The prompt is the cleaned text, and the labels where that says nothing.
    """
    rows = read_index(folder)
    counts.table, counts.rows = "index.csv", len(rows)
    if not any(row.text or row.labels for row in rows):
        raise UnreadableInput(
            "index.csv has neither text nor labels to caption the images by.",
            hint="Fill a column text (a report) or labels (findings between bars).",
        )
    for row in rows:
        view, image = projection(row.view), _file(Path(folder), row.id)
        if reason := why_not(view, asked.views):
            counts.drop(reason)
        elif row.weights_may_ship == "no":
            counts.drop("whose licence keeps weights from being shared")
        elif asked.split not in (None, row.split):
            counts.drop("of another split")
        elif image is None:
            counts.drop("not on disk")
        else:
            counts.reports += bool(row.text)
            prompt, words = caption(asked.caption(row.text), row.labels)
            yield Captioned(row.id, image, row.patient, view, row.split, prompt, words)


def load_image(folder: Path, row: Row) -> NDArray[np.float32]:
    """The radiograph, HxW float32, 0..1, bright = dense; ``images/ID`` with any known ending."""
    return read_grey(Path(folder), image_of(folder, row), _depth(Path(folder)))


def image_of(folder: Path, row: Row) -> str:
    """The image file of a row, below ``folder``; UnreadableInput if it is not there."""
    image = _file(Path(folder), row.id)
    if image is None:
        raise _absent(f"images/{row.id}.jpg")
    return image


def load_organ_mask(folder: Path, row: Row) -> NDArray[np.uint8]:
    """HxW uint8 on the image's grid: 0 background, 1 right lung, 2 left lung, 3 heart."""
    if not row.organ_mask:
        raise UnreadableInput(
            f"Row {row.id} has no organ mask.", hint="Check row.organ_mask first."
        )
    return _read_grey(Path(folder) / "organ_masks" / f"{row.id}.png")


def load_landmarks(folder: Path, row: Row) -> dict[str, NDArray[np.float32]]:
    """Contours by name (RL 44, LL 50, H 26): (points, 2) x, y as fractions of width, height."""
    if not row.landmarks:
        return {}
    with np.load(Path(folder) / "landmarks.npz") as archive:
        return {name: archive[f"{row.id}_{name}"] for name in sorted(row.landmarks)}


def _row(line: int, given: Mapping[str, str]) -> Row:
    cells = {**dict.fromkeys((*NEEDED, *OPTIONAL), ""), **given}
    if not cells["id"] or not cells["patient"]:
        raise UnreadableInput(
            f"Line {line} of index.csv names no {'id' if not cells['id'] else 'patient'}.",
            hint="Every radiograph needs both: splits go by patient.",
        )
    if cells["organ_mask"] not in ORGANS:
        raise UnreadableInput(
            f"Line {line} of index.csv has the organ_mask '{cells['organ_mask']}'.",
            hint="Expected lungs, lungs+heart or nothing.",
        )
    return Row(
        id=cells["id"],
        source=cells["source"],
        patient=cells["patient"],
        view=cells["view"],
        age=_age(cells["age"]),
        sex=cells["sex"],
        labels=tuple(label for label in cells["labels"].split("|") if label),
        text=cells["text"],
        split=SPLITS.get(cells["split"].casefold(), cells["split"].casefold()),
        organ_mask=ORGANS[cells["organ_mask"]],
        retrocardiac_mask=bool(cells["retrocardiac_mask"]),
        landmarks=frozenset(part for part in cells["landmarks"].split("+") if part),
        licence=cells["licence"],
        weights_may_ship=cells["weights_may_ship"],
    )


def _age(cell: str) -> int | None:
    """Whole years; "50+" counts as 50, what holds no number as unknown."""
    digits = re.match(r"\d+", cell)
    return int(digits.group()) if digits else None


def _listed(folder: Path) -> dict[str, str]:
    """Image files of ``folder/images`` by stem; a JPEG goes before a PNG of the same name."""
    images = folder / "images"
    return _listing(folder, images.stat().st_mtime_ns) if images.is_dir() else {}


@lru_cache(maxsize=8)
def _listing(folder: Path, changed: int) -> dict[str, str]:
    """The same, listed once until the folder has ``changed``."""
    names = sorted(os.listdir(folder / "images"))
    parts = [os.path.splitext(name) for name in names]
    ranked = sorted(
        (ENDINGS.index(end.lower()), stem, end) for stem, end in parts if end.lower() in ENDINGS
    )
    return {stem: f"images/{stem}{end}" for _, stem, end in reversed(ranked)}


def _file(folder: Path, name: str) -> str | None:
    """The image of a row below ``folder``; None if it is not there."""
    usual = f"images/{name}.jpg"
    return usual if (folder / usual).is_file() else _listed(folder).get(name)


@lru_cache(maxsize=8)
def _depth(folder: Path) -> int:
    return depth(folder, _listed(folder).values())


def _absent(place: str) -> UnreadableInput:
    return UnreadableInput(
        f"The data folder lacks {place}.",
        hint="The index and the files must come from the same copy.",
    )


def _read_grey(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    if not path.is_file():
        raise _absent(f"{path.parent.name}/{path.name}")
    with Image.open(path) as image:
        return np.asarray(image.convert("L") if image.mode != "L" else image, dtype=np.uint8)
