# SPDX-License-Identifier: Apache-2.0
"""A table of captioned radiographs, whatever collection it comes from."""

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.prompts.compose import NORMAL, prompt_from_findings
from monai_cxr_cf.prompts.findings import lookup
from monai_cxr_cf.request import FindingEdit


@dataclass(frozen=True, slots=True)
class Captioned:
    """One frontal radiograph and the words a generator may learn it by."""

    id: str  # unique in its collection
    image: str  # its file below the data folder
    patient: str  # split and resample by this, never by image
    view: str  # PA or AP
    split: str  # train, judge or test
    prompt: str  # findings as a short text; "" where nothing is known


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
