# SPDX-License-Identifier: Apache-2.0
"""``boxes.csv`` of a data folder in, the boxes that readers drew, by radiograph, out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monai_cxr_cf.data.csv_text import read_rows
from monai_cxr_cf.errors import UnreadableInput


@dataclass(frozen=True)
class Box:
    """A reader's box, in fractions of width and height of the radiograph."""

    finding: str  # the reader's word
    left: float
    top: float
    right: float
    bottom: float
    side: str  # the patient's: right, left, or something else
    by: str = ""  # who drew it; says so where weights learnt from it may not be shared


def read_boxes(data: Path) -> dict[str, list[Box]]:
    """Row id -> boxes in the file's order; empty without the file.

    Raises:
        UnreadableInput: a box without numbers.
    """
    path = data / "boxes.csv"
    if not path.is_file():
        return {}
    found: dict[str, list[Box]] = {}
    for line in read_rows(path, ("id", "finding", "x0", "y0", "x1", "y1", "side")):
        try:
            left, top, right, bottom = (float(line[name]) for name in ("x0", "y0", "x1", "y1"))
        except ValueError as error:
            raise UnreadableInput(
                f"boxes.csv has a box without numbers, of {line['id']}.",
                hint="x0, y0, x1 and y1 are fractions of width and height.",
            ) from error
        box = Box(line["finding"], left, top, right, bottom, line["side"], line.get("by", ""))
        found.setdefault(line["id"], []).append(box)
    return found
