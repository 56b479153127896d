# SPDX-License-Identifier: Apache-2.0
"""A public collection's folder in, frontal radiographs with short prompts and patient splits out.

What a fine-tuning reads: ``read_layout`` chooses the reader of a published layout. Nothing is
downloaded and no image is changed.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.prompts.compose import NORMAL, prompt_from_findings
from monai_cxr_cf.prompts.findings import lookup
from monai_cxr_cf.request import FindingEdit

LAYOUTS = ("folder", "mimic-cxr-jpg", "chexpert-plus")
VIEWS = ("PA", "AP")


@dataclass(frozen=True, slots=True)
class Captioned:
    """One frontal radiograph and the words a generator may learn it by."""

    id: str  # unique in its collection
    image: str  # its file below the data folder
    patient: str  # split and resample by this, never by image
    view: str  # PA or AP
    split: str  # train, judge or test
    prompt: str  # findings as a short text; "" where nothing is known


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder and the layout it is in."""

    folder: Path
    layout: str = "folder"

    def read(self, views: tuple[str, ...], splits: tuple[str, ...]) -> list[Captioned]:
        """The radiographs of these views and splits; see ``read_layout``."""
        rows = read_layout(self.layout, self.folder, views=views)
        return [row for row in rows if row.split in splits]


def read_layout(
    layout: str, folder: Path, *, views: tuple[str, ...] = ("PA",), split: str | None = None
) -> list[Captioned]:
    """Every frontal radiograph of ``folder`` that exists on disk, in the order of its table.

    Raises:
        BadRequest: another layout or view.
        UnreadableInput: a table or all images are missing, or a patient stands in two splits.
    """
    from monai_cxr_cf.data.chexpert_plus import read_chexpert_plus
    from monai_cxr_cf.data.folder import read_captioned
    from monai_cxr_cf.data.mimic_cxr_jpg import read_mimic_cxr_jpg

    every = (read_captioned, read_mimic_cxr_jpg, read_chexpert_plus)
    readers = dict(zip(LAYOUTS, every, strict=True))
    if layout not in readers:
        raise BadRequest(f"There is no layout '{layout}'.", hint=f"Choose {', '.join(LAYOUTS)}.")
    if not views or set(views) - set(VIEWS):
        raise BadRequest(f"Views are {', '.join(VIEWS)}.", hint="For example: --views PA,AP")
    rows = list(readers[layout](Path(folder), views=views, split=split))
    if not rows:
        raise UnreadableInput(
            f"No {' or '.join(views)} image of the {layout} layout was found in the data folder.",
            hint="See docs/training.md for the files each layout needs.",
        )
    check_patients(rows)
    return rows


def load_grey(folder: Path, row: Captioned) -> NDArray[np.float32]:
    """The radiograph, HxW float32, 0..1, bright = dense (8 or 16 bits)."""
    from PIL import Image

    path = Path(folder) / row.image
    try:
        with Image.open(path) as image:
            deep = image.mode.startswith("I")
            pixels = np.asarray(image if deep else image.convert("L"))
    except OSError as error:
        raise UnreadableInput(
            f"An image cannot be read: {path.name}.", hint="Copy it again, or remove it."
        ) from error
    return np.asarray(pixels / (65535 if deep else 255), np.float32)


def read_table(path: Path, columns: Iterable[str]) -> Iterator[dict[str, str]]:
    """The rows of a CSV, or of the same file with .gz behind; UnreadableInput if it lacks any."""
    packed = path.with_name(path.name + ".gz")
    found = path if path.is_file() else packed
    if not found.is_file():
        raise UnreadableInput(
            f"The data folder lacks {path.name}.", hint="It comes with the collection (or as .gz)."
        )
    with (gzip.open if found == packed else open)(
        found, "rt", newline="", encoding="utf-8"
    ) as text:
        reader = csv.DictReader(text)
        if missing := set(columns) - set(reader.fieldnames or ()):
            raise UnreadableInput(
                f"{found.name} lacks the columns {', '.join(sorted(missing))}.",
                hint="Use the file as published.",
            )
        yield from reader


def prompt_from_labels(labels: Iterable[str]) -> str:
    """Labels ("Pleural Effusion", "No Finding") as a prompt; "" if none of them is known."""
    names = list(labels)
    known = [found.name for name in names if (found := lookup(name.replace("_", " ")))]
    if known:
        return prompt_from_findings(FindingEdit(name) for name in dict.fromkeys(known)).text
    return NORMAL if {"No Finding", "normal"} & set(names) else ""


def check_patients(rows: Iterable[Captioned]) -> None:
    """UnreadableInput if a patient stands in two splits: scores would be worth nothing."""
    splits: dict[str, str] = {}
    for row in rows:
        if splits.setdefault(row.patient, row.split) != row.split:
            raise UnreadableInput(
                "A patient stands in two splits.", hint="Use the split table as published."
            )
