# SPDX-License-Identifier: Apache-2.0
"""A public collection's folder in, frontal radiographs with short prompts and patient splits out.

What a fine-tuning reads: ``survey`` chooses the reader of a published layout and counts what it
leaves out. Nothing is downloaded and no image is changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from monai_cxr_cf.data.chexpert_plus import read_chexpert_plus
from monai_cxr_cf.data.cleaner import Cleaner
from monai_cxr_cf.data.counts import LAYOUTS, Counts
from monai_cxr_cf.data.folder import read_captioned
from monai_cxr_cf.data.mimic_cxr_jpg import read_mimic_cxr_jpg
from monai_cxr_cf.data.picture import depth
from monai_cxr_cf.data.table import Captioned, Wanted
from monai_cxr_cf.errors import BadRequest, UnreadableInput

log = logging.getLogger(__name__)
VIEWS = ("PA", "AP")
WITH_REPORTS = "mimic-cxr-jpg"  # the layout whose reports may lie elsewhere


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder and the layout it is in."""

    folder: Path
    layout: str = "folder"
    reports: Path | None = None  # where the reports lie, if not with the images
    clean: Callable[[str], str] | None = None  # report to caption; None: the rules
    uncertain: str = "drop"  # hedged findings and labels of -1: drop or present

    def read(self, views: tuple[str, ...], splits: tuple[str, ...]) -> list[Captioned]:
        """The radiographs of these views and splits that have a caption; the counts are logged.

        Raises:
            BadRequest, UnreadableInput: as ``survey``; or none has a caption.
        """
        asked = Wanted(views, None, self.reports, self.clean, self.uncertain)
        rows, counts = survey(self.layout, self.folder, asked)
        cleaned = self.clean.lines() if isinstance(self.clean, Cleaner) else ()
        for line in (*counts.lines(), *cleaned):
            log.info("%s", line)
        chosen = [row for row in rows if row.split in splits]
        known = [row for row in chosen if row.prompt]
        if chosen and not known:
            raise UnreadableInput(
                f"None of {len(chosen)} radiographs has a caption: {'; '.join(counts.notes)}.",
                hint="Reports or labels are needed to learn from; see docs/training.md 2.",
            )
        if len(known) < len(chosen):
            log.info("without a caption, and not learnt from: %d", len(chosen) - len(known))
        return known


def survey(
    layout: str, folder: Path, asked: Wanted | None = None
) -> tuple[list[Captioned], Counts]:
    """Every frontal radiograph of ``folder`` that exists on disk, in the order of its table.

    Raises:
        BadRequest: another layout or view.
        UnreadableInput: a table or all images are missing, a patient stands in two splits, or an
            image twice.
    """
    every = (read_captioned, read_mimic_cxr_jpg, read_chexpert_plus)
    readers = dict(zip(LAYOUTS, every, strict=True))
    asked = asked or Wanted()
    _check(layout, asked)
    folder, counts = Path(folder), Counts(layout)
    read = readers[layout]
    rows = list(read(folder, counts, asked))
    if not rows:
        raise UnreadableInput(
            f"No {' or '.join(asked.views)} image of the {layout} layout was found in the data "
            f"folder; {'; '.join(counts.lines())}.",
            hint="See docs/training.md 2 for the files each layout needs.",
        )
    check_patients(rows)
    check_names(rows)
    for row in rows:
        counts.kept[f"{row.view}, {row.split}"] += 1
        counts.captions[row.words_from] += 1
    if asked.uncertain == "present":
        counts.notes.append("hedged findings of reports count as present")
    if bits := depth(folder, [row.image for row in rows]):
        counts.notes.append(f"16-bit files hold {bits} bits")
        rows = [replace(row, bits=bits) for row in rows]
    return rows, counts


def _check(layout: str, asked: Wanted) -> None:
    """BadRequest for a layout or view that there is not, or reports that would not be read."""
    if layout not in LAYOUTS:
        raise BadRequest(f"There is no layout '{layout}'.", hint=f"Choose {', '.join(LAYOUTS)}.")
    if not asked.views or set(asked.views) - set(VIEWS):
        raise BadRequest(f"Views are {', '.join(VIEWS)}.", hint="For example: --views PA,AP")
    if asked.reports is not None and layout != WITH_REPORTS:
        raise BadRequest(
            f"Reports of the layout {layout} stand in its table; --reports is for {WITH_REPORTS}.",
            hint="Leave --reports away.",
        )


def read_layout(
    layout: str, folder: Path, *, views: tuple[str, ...] = ("PA",), split: str | None = None
) -> list[Captioned]:
    """The rows of ``survey``, those without a caption among them."""
    return survey(layout, folder, Wanted(views, split))[0]


def check_patients(rows: Iterable[Captioned]) -> None:
    """UnreadableInput if a patient stands in two splits: scores would be worth nothing."""
    splits: dict[str, str] = {}
    for row in rows:
        if splits.setdefault(row.patient, row.split) != row.split:
            raise UnreadableInput(
                "A patient stands in two splits.", hint="Use the split table as published."
            )


def check_names(rows: Iterable[Captioned]) -> None:
    """UnreadableInput if an image stands twice: it would be learnt from twice as often."""
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise UnreadableInput(
                f"The image {row.id} stands twice in the table.",
                hint="Use the table as published, one row an image.",
            )
        seen.add(row.id)
