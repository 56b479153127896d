# SPDX-License-Identifier: Apache-2.0
"""What the user gives besides words: organ masks and a region of one's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.user_masks import Canvas, Notes, read_masks, read_region
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.errors import BadRequest

Mask = NDArray[np.bool_]
REGION_NAMES = ("roi", "edit_region")
MOST = 0.75  # a region of a larger share of the picture deserves a word


class MaskChoice(Protocol):
    """What ``segment`` reads of a request."""

    @property
    def segmenter(self) -> str:
        """Name of the network that draws the organs."""

    @property
    def masks(self) -> str | None:
        """The user's organ masks."""

    @property
    def roi(self) -> str | None:
        """The user's region."""


@dataclass(frozen=True, eq=False)
class Given:
    """What the user gave besides words, on the radiograph's grid."""

    organs: dict[str, Mask]  # by name; a SEG may hold more than organs
    region: Mask | None
    notes: tuple[tuple[str, str], ...]  # (code, message)


def masks_and_region(choice: MaskChoice, radiograph: Radiograph) -> Given:
    """The user's organ masks by name and the user's region; a SEG of ours may hold both."""
    notes: Notes = []
    given = user_masks(choice.masks, radiograph, notes)
    drawn = user_region(choice.roi, radiograph, notes)
    if drawn is None:
        drawn = next((given[name] for name in REGION_NAMES if name in given), None)
    if drawn is not None:
        share = float(drawn[radiograph.valid].mean()) if radiograph.valid.any() else 0.0
        if share > MOST:
            notes.append(("region_large", f"The drawn region covers {share:.0%} of the picture."))
    return Given(given, drawn, tuple(notes))


def user_masks(
    path: str | None, radiograph: Radiograph, notes: Notes | None = None
) -> dict[str, Mask]:
    """Masks of a SEG, NRRD, NIfTI or picture by name, on the radiograph's grid; {} for None."""
    if path is None:
        return {}
    file = mask_file(path)
    if is_dicom(file):
        return read_segmentation(file, radiograph)
    return read_masks(file, Canvas.of(radiograph), notes)


def user_region(
    path: str | None, radiograph: Radiograph, notes: Notes | None = None
) -> Mask | None:
    """The region a user drew, in any of those formats and under any name; None for None."""
    if path is None:
        return None
    file = mask_file(path)
    if not is_dicom(file):
        return read_region(file, Canvas.of(radiograph), notes)
    masks = read_segmentation(file, radiograph)
    named = [masks[name] for name in REGION_NAMES if name in masks]
    return np.asarray(np.logical_or.reduce(named or list(masks.values())))


def mask_file(path: str) -> Path:
    """The path if something is there; BadRequest if not."""
    if not Path(path).exists():
        raise BadRequest("The mask file does not exist.", hint="Check --masks and --roi.")
    return Path(path)


def is_dicom(file: Path) -> bool:
    """Whether a file carries the mark of DICOM Part 10."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
