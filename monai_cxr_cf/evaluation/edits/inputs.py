# SPDX-License-Identifier: Apache-2.0
"""Rows of a data folder in, the trials of the protocol out: which radiograph is asked for what.

The choice is deterministic and blind to the result: one image per patient, in an order that hashes
fix; an image that the engine would refuse is passed over and listed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from monai_cxr_cf.anatomy.organs import check
from monai_cxr_cf.anatomy.segment import Segmenter
from monai_cxr_cf.data.folder import Row, image_of, load_image
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage
from monai_cxr_cf.evaluation.cohort import findings, without_findings
from monai_cxr_cf.evaluation.edits.protocol import VIEWS, Edit, Input, Settings, Trial, on_side
from monai_cxr_cf.judges.geometry import measure, side_of

log = logging.getLogger(__name__)
COLUMNS = ("id", "patient", "view", "labels")  # of index.csv that the choice needs


@dataclass
class Choice:
    """Trials of a run, and the images that could not take part."""

    trials: list[Trial] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # image id -> code of the refusal


@dataclass
class Chooser:
    """Chooses inputs; measures every image once.

    Args:
        data: folder with index.csv and images/.
        rows: the rows to choose from, e.g. those of one split.
        segmenter: the one the edits will use.
    """

    data: Path
    rows: Sequence[Row]
    segmenter: Segmenter
    refused: dict[str, str] = field(default_factory=dict)
    _measures: dict[str, dict[str, float]] = field(default_factory=dict)

    def inputs(self, edit: Edit, view: str, *, count: int) -> list[Row]:
        """The first ``count`` usable images with the edit's label in this view."""
        chosen: list[Row] = []
        for row in candidates(self.rows, edit, view):
            if len(chosen) == count:
                break
            if self.usable(row):
                chosen.append(row)
        return chosen

    def usable(self, row: Row) -> bool:
        """Whether the engine would take the image; its measures are kept."""
        if row.id in self._measures or row.id in self.refused:
            return row.id in self._measures
        image = load_image(self.data, row)
        found = self.segmenter(image)
        try:
            check(found.organs, agreement=found.agreement)
            self._measures[row.id] = measure(image, found.organs.as_dict())
        except UnsupportedImage as refusal:
            self.refused[row.id] = refusal.code
            log.info("passed over an image: %s", refusal.code)
            return False
        return True

    def asked(self, edit: Edit, row: Row) -> Edit:
        """The edit for this image; a one-sided removal acts where the image shows the finding."""
        if edit.direction != "remove" or edit.finding != "pleural effusion":
            return edit
        return on_side(edit, side_of(self._measures[row.id], row.view))


def candidates(rows: Sequence[Row], edit: Edit, view: str) -> list[Row]:
    """One image per patient with the edit's label, in hash order.

    Inputs without findings are labelled as normal ("No Finding") and nothing else.
    """
    fits = [
        row
        for row in rows
        if row.view.startswith(view)
        and (without_findings(row) if edit.direction == "add" else edit.finding in findings(row))
    ]
    seen: dict[str, Row] = {}
    for row in sorted(fits, key=lambda r: hashlib.sha256(r.id.encode()).digest()):
        seen.setdefault(row.patient, row)
    return list(seen.values())


def input_of(row: Row, data: Path) -> Input:
    """A row of ``data`` as the input of a trial."""
    return Input(row.id, row.patient, row.view[:2], str(data / image_of(data, row)))


def choose(
    chooser: Chooser,
    edits: Sequence[Edit],
    *,
    count: int,
    seeds: Sequence[int],
    settings: Settings | None = None,
    shams: bool = True,
) -> Choice:
    """The trials of a run: the first image of every cell, then the second, and so on.

    In that order a run that is stopped early has something in every cell.

    Args:
        chooser: where images come from.
        edits: what is asked.
        count: images per cell (edit and view).
        seeds: seeds of every trial.
        settings: how edits are made; None = the default preset.
        shams: each trial is followed by its control.

    Raises:
        UnreadableInput: no image fits any of the edits.
    """
    cells = [
        [(chooser.asked(edit, row), row) for row in chooser.inputs(edit, view, count=count)]
        for edit, view in product(edits, VIEWS)
    ]
    trials = []
    for number in range(count):
        for edit, row in (cell[number] for cell in cells if number < len(cell)):
            input_ = input_of(row, chooser.data)
            trial = Trial(input_, edit, tuple(seeds), settings=settings or Settings())
            trials += [trial, replace(trial, sham=True)] if shams else [trial]
    if not trials:
        raise UnreadableInput(
            "No radiograph of this split fits any cell of the protocol.",
            hint="Check --split, and the columns view and labels of index.csv.",
        )
    return Choice(trials, dict(chooser.refused))
