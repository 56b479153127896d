# SPDX-License-Identifier: Apache-2.0
"""A published collection as it lies on a disk in, the data folder that evaluations read out.

The folder holds ``index.csv`` and links to the images of one split; no image is copied or changed.
Labels are the findings of the caption: of the report, or of the label table where there is none.
"""

import csv
import io
import logging
from pathlib import Path

from monai_cxr_cf.data.captioned import VIEWS, survey
from monai_cxr_cf.data.table import Captioned
from monai_cxr_cf.dicom.writing.fileio import save_text
from monai_cxr_cf.errors import BadRequest, ResourceExhausted
from monai_cxr_cf.prompts.compose import NORMAL
from monai_cxr_cf.prompts.parse import parse_prompt

log = logging.getLogger(__name__)
COLUMNS = ("id", "patient", "view", "split", "labels")
PLACE = "collection"


def as_folder(
    data: Path, layout: str, out: Path, *, split: str = "test", reports: Path | None = None
) -> Path:
    """A data folder of the radiographs of one split; ``data`` itself if it is one already.

    Args:
        data: the collection.
        layout: folder, mimic-cxr-jpg or chexpert-plus.
        out: where ``collection/`` is made.
        split: train, judge (what a collection calls validation) or test.
        reports: where the reports lie, if not with the images.

    Raises:
        BadRequest, UnreadableInput: as ``survey``; or there is no such split.
        ResourceExhausted: links cannot be made there.
    """
    if layout == "folder":
        return data
    rows, counts = survey(layout, data, views=VIEWS, reports=reports)
    for line in counts.lines():
        log.info("%s", line)
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        known = ", ".join(sorted({row.split for row in rows}))
        raise BadRequest(f"There is no split '{split}'.", hint=f"Splits: {known}.")
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
