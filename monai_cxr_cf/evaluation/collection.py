# SPDX-License-Identifier: Apache-2.0
"""A published collection as it lies on a disk in, the data folder that evaluations read out.

The folder holds ``index.csv`` and links to the images of its splits; no image is copied or changed.
Labels are the findings of the caption: of the report, or of the label table where there is none.
"""

import csv
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monai_cxr_cf.data.captioned import VIEWS, survey
from monai_cxr_cf.data.table import Captioned, Wanted
from monai_cxr_cf.dicom.writing.fileio import save_text
from monai_cxr_cf.errors import BadRequest, ResourceExhausted, UnreadableInput
from monai_cxr_cf.prompts.compose import NORMAL
from monai_cxr_cf.prompts.parse import parse_prompt

log = logging.getLogger(__name__)
COLUMNS = ("id", "patient", "view", "split", "labels")
PLACE = "collection"
FRONTAL = Wanted(VIEWS)


@dataclass(frozen=True)
class Source:
    """Where an evaluation finds its radiographs."""

    data: Path
    layout: str = "folder"
    splits: tuple[str, ...] = ("test",)  # of train, judge (a collection's validation) and test
    wanted: Wanted = FRONTAL


def as_folder(source: Source, out: Path, *, tell: Callable[[str], None] = log.info) -> Path:
    """A data folder of the radiographs of some splits; the source itself if it is one already.

    Args:
        source: the collection.
        out: where ``collection/`` is made.
        tell: gets lines that say what was read, and what was left out and why.

    Raises:
        BadRequest, UnreadableInput: as ``survey``; there is no such split; or the source is said to
            be a data folder, and has no index.csv, or its reports are asked for.
        ResourceExhausted: links cannot be made there.
    """
    data, wanted = source.data, source.wanted
    if source.layout == "folder":
        _check_folder(data, wanted)
        return data
    rows, counts = survey(source.layout, data, wanted)
    for line in counts.lines():
        tell(line)
    chosen = [row for row in rows if row.split in source.splits]
    if not chosen:
        known = ", ".join(sorted({row.split for row in rows}))
        missing = " or ".join(f"'{split}'" for split in source.splits)
        raise BadRequest(f"There is no split {missing}.", hint=f"Splits: {known}.")
    folder = out / PLACE
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in chosen:
        name = row.id.replace("/", "_")
        _link(data / row.image, folder / "images" / f"{name}{Path(row.image).suffix.lower()}")
        writer.writerow([name, row.patient, row.view, row.split, "|".join(labels(row))])
    save_text(text.getvalue(), folder / "index.csv")
    return folder


def _check_folder(data: Path, wanted: Wanted) -> None:
    """Refuse a data folder without an index, or flags that would change nothing in it."""
    if wanted.reports is not None or wanted.uncertain != "drop":
        raise BadRequest(
            "--reports and --uncertain are for --layout mimic-cxr-jpg and chexpert-plus: the "
            "labels of a data folder stand in its index.csv."
        )
    if not (data / "index.csv").is_file():
        raise UnreadableInput(
            "There is no index.csv in the data folder.",
            hint="Pass the folder that holds index.csv and images/, or name its --layout.",
        )


def labels(row: Captioned) -> tuple[str, ...]:
    """What a caption says as labels; none where it says nothing."""
    if not row.prompt:
        return ()
    if row.prompt == NORMAL:
        return ("No Finding",)
    present = [one.finding for one in parse_prompt(row.prompt).findings if one.direction == "add"]
    return tuple(dict.fromkeys(present))


def _link(image: Path, place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(image.absolute())
    except OSError as error:
        raise ResourceExhausted(
            f"A link to an image cannot be made ({error.strerror}).",
            hint="Choose an --out on a disk that holds symbolic links.",
        ) from error
