# SPDX-License-Identifier: Apache-2.0
"""A data folder (index.csv, images/, organ_masks/, landmarks.npz) in, rows and arrays out.

Trainings and evaluations read every radiograph through here; nothing is resized or normalised.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.table import Captioned, prompt_from_labels
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.prompts.clean import clean_report

ORGAN_LABELS = {"right_lung": 1, "left_lung": 2, "heart": 3}
_COLUMNS = frozenset(
    ("id", "source", "patient", "view", "age", "sex", "labels", "text", "split", "organ_mask",
     "retrocardiac_mask", "landmarks", "licence", "weights_may_ship")
)  # fmt: skip


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


def read_index(folder: Path) -> list[Row]:
    """Every row of ``folder/index.csv`` in file order.

    Raises:
        UnreadableInput: the index is missing or lacks a column.
    """
    path = Path(folder) / "index.csv"
    if not path.is_file():
        raise UnreadableInput(
            "There is no index.csv in the data folder.",
            hint="Pass the folder that holds index.csv and images/.",
        )
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        missing = _COLUMNS - set(reader.fieldnames or ())
        if missing:
            raise UnreadableInput(
                f"index.csv lacks the columns {', '.join(sorted(missing))}.",
                hint="See monai_cxr_cf/data/folder.py for the columns.",
            )
        return [_row(cells) for cells in reader]


def read_captioned(
    folder: Path,
    *,
    views: tuple[str, ...] = ("PA",),
    split: str | None = None,
    clean: Callable[[str], str] = clean_report,
) -> Iterator[Captioned]:
    """The rows with a view of ``views`` whose licence lets weights be shared, for a fine-tuning.

    The prompt is the cleaned text, and the labels where that says nothing.
    """
    for row in read_index(folder):
        view = row.view[:2].upper()
        if view not in views or row.weights_may_ship == "no" or split not in (None, row.split):
            continue
        image = f"images/{row.id}.jpg"
        prompt = clean(row.text) or prompt_from_labels(row.labels)
        yield Captioned(row.id, image, row.patient, view, row.split, prompt)


def load_image(folder: Path, row: Row) -> NDArray[np.float32]:
    """The radiograph, HxW float32, 0..1, bright = dense (8-bit value / 255)."""
    return _read_grey(Path(folder) / "images" / f"{row.id}.jpg").astype(np.float32) / 255.0


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


def _row(cells: Mapping[str, str]) -> Row:
    organs: dict[str, frozenset[str]] = {
        "": frozenset(),
        "lungs": frozenset({"right_lung", "left_lung"}),
        "lungs+heart": frozenset(ORGAN_LABELS),
    }
    return Row(
        id=cells["id"],
        source=cells["source"],
        patient=cells["patient"],
        view=cells["view"],
        age=_age(cells["age"]),
        sex=cells["sex"],
        labels=tuple(label for label in cells["labels"].split("|") if label),
        text=cells["text"],
        split=cells["split"],
        organ_mask=organs[cells["organ_mask"]],
        retrocardiac_mask=bool(cells["retrocardiac_mask"]),
        landmarks=frozenset(part for part in cells["landmarks"].split("+") if part),
        licence=cells["licence"],
        weights_may_ship=cells["weights_may_ship"],
    )


def _age(cell: str) -> int | None:
    """Whole years; "50+" counts as 50, what holds no number as unknown."""
    digits = re.match(r"\d+", cell)
    return int(digits.group()) if digits else None


def _read_grey(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    if not path.is_file():
        raise UnreadableInput(
            f"The data folder lacks {path.parent.name}/{path.name}.",
            hint="The index and the files must come from the same copy.",
        )
    with Image.open(path) as image:
        return np.asarray(image.convert("L") if image.mode != "L" else image, dtype=np.uint8)
