# SPDX-License-Identifier: Apache-2.0
"""What the capped child does with an upload: read it by all rules, say only what is harmless."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cxr_cf.anatomy.user_masks import Canvas, canonical_name, read_masks, read_region
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.errors import BadRequest, UnreadableInput

# First bytes -> suffix; nothing else is handed to the image library, whose other formats may
# name further files to open.
MARKS = {
    b"NRRD000": ".nrrd",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"\x1f\x8b": ".nii.gz",
}
DETACHED = re.compile(rb"^\s*data ?file\s*:", re.IGNORECASE | re.MULTILINE)
HEADER = 65_536  # bytes: the fields of an NRRD file end at an empty line, early


def examine(folder: str, reading: Mapping[str, Any], name: str = "source") -> dict[str, Any]:
    """Read a radiograph, and the one file in ``masks`` and ``roi`` where these folders are there.

    Args:
        folder: holds the uploaded files under these names.
        reading: fields of ``ReadOptions``.
        name: of the radiograph in it.

    Returns:
        rows, columns and warnings (code, message) of our own; nothing of the patient.

    Raises:
        UnreadableInput, UnsupportedImage, ComponentMissing, BadRequest: as the readers say.
    """
    home = Path(folder)
    radiograph = read_source(home / name, ReadOptions(**reading))
    for part in ("masks", "roi"):
        if (home / part).is_dir():
            (file,) = (home / part).iterdir()
            _check_mask(file, radiograph, part)
    rows, columns = radiograph.turn.pair(radiograph.shape)  # as the file has them
    notes = [list(note) for note in radiograph.warnings]
    return {"rows": rows, "columns": columns, "warnings": notes}


def mask_name(head: bytes, name: str) -> str:
    """The file name under which an uploaded mask is kept: by its content, not by its sender.

    Args:
        head: its first 348 bytes or more.
        name: what the sender called it; only an organ's name in it is used.

    Raises:
        UnreadableInput: not DICOM, NRRD, NIfTI, PNG or JPEG.
    """
    suffix = next((kind for mark, kind in MARKS.items() if head.startswith(mark)), None)
    if head[128:132] == b"DICM":
        suffix = ".dcm"
    elif head[344:348] == b"n+1\0":
        suffix = ".nii"
    if suffix is None:
        raise UnreadableInput(
            "The mask is neither DICOM SEG nor NRRD, NIfTI, PNG or JPEG.",
            code="mask_format",
            hint="Save it in one of these formats, in one file.",
        )
    stem = re.split(r"[/\\]", name)[-1].partition(".")[0]
    return (canonical_name(stem) or "masks") + suffix


def refuse_detached(file: Path) -> None:
    """An NRRD header may name another file of this machine as its data: refused."""
    with file.open("rb") as stream:
        head = stream.read(HEADER)
    end = re.search(rb"\r?\n\r?\n", head)
    if head.startswith(b"NRRD") and (end is None or DETACHED.search(head[: end.start()])):
        raise BadRequest(
            "The NRRD file keeps its data elsewhere; expected header and data in one file.",
            code="detached_header",
            hint="Save it as .nrrd, not as .nhdr.",
        )


def _check_mask(file: Path, radiograph: Radiograph, part: str) -> None:
    if file.suffix == ".dcm":
        read_segmentation(file, radiograph)
        return
    refuse_detached(file)
    if part == "masks":
        read_masks(file, Canvas.of(radiograph))
    else:
        read_region(file, Canvas.of(radiograph))
