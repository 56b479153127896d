# SPDX-License-Identifier: Apache-2.0
"""A public collection's folder in, frontal radiographs with short prompts and patient splits out.

What a fine-tuning reads: ``read_layout`` chooses the reader of a published layout. Nothing is
downloaded and no image is changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from monai_cxr_cf.data.chexpert_plus import read_chexpert_plus
from monai_cxr_cf.data.cleaner import Cleaner
from monai_cxr_cf.data.folder import read_captioned
from monai_cxr_cf.data.mimic_cxr_jpg import read_mimic_cxr_jpg
from monai_cxr_cf.data.table import Captioned
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.prompts.clean import clean_report

log = logging.getLogger(__name__)
LAYOUTS = ("folder", "mimic-cxr-jpg", "chexpert-plus")
VIEWS = ("PA", "AP")


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder and the layout it is in."""

    folder: Path
    layout: str = "folder"
    clean: Callable[[str], str] = clean_report  # report to caption

    def read(self, views: tuple[str, ...], splits: tuple[str, ...]) -> list[Captioned]:
        """The radiographs of these views and splits; see ``read_layout``."""
        rows = read_layout(self.layout, self.folder, views=views, clean=self.clean)
        if isinstance(self.clean, Cleaner):
            for line in self.clean.lines():
                log.info("%s", line)
        return [row for row in rows if row.split in splits]


def read_layout(
    layout: str,
    folder: Path,
    *,
    views: tuple[str, ...] = ("PA",),
    split: str | None = None,
    clean: Callable[[str], str] = clean_report,
) -> list[Captioned]:
    """Every frontal radiograph of ``folder`` that exists on disk, in the order of its table.

    Raises:
        BadRequest: another layout or view.
        UnreadableInput: a table or all images are missing, or a patient stands in two splits.
    """

    every = (read_captioned, read_mimic_cxr_jpg, read_chexpert_plus)
    readers = dict(zip(LAYOUTS, every, strict=True))
    if layout not in readers:
        raise BadRequest(f"There is no layout '{layout}'.", hint=f"Choose {', '.join(LAYOUTS)}.")
    if not views or set(views) - set(VIEWS):
        raise BadRequest(f"Views are {', '.join(VIEWS)}.", hint="For example: --views PA,AP")
    rows = list(readers[layout](Path(folder), views=views, split=split, clean=clean))
    if not rows:
        raise UnreadableInput(
            f"No {' or '.join(views)} image of the {layout} layout was found in the data folder.",
            hint="See docs/training.md for the files each layout needs.",
        )
    check_patients(rows)
    return rows


def check_patients(rows: Iterable[Captioned]) -> None:
    """UnreadableInput if a patient stands in two splits: scores would be worth nothing."""
    splits: dict[str, str] = {}
    for row in rows:
        if splits.setdefault(row.patient, row.split) != row.split:
            raise UnreadableInput(
                "A patient stands in two splits.", hint="Use the split table as published."
            )
