# SPDX-License-Identifier: Apache-2.0
"""A series in, its members as plain grey PNGs out: displayed values on the source's own pixels."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from monai_cxr_cf.dicom.png_origin import COMPOSITE, TOOL, WHOLE, png_info
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.record import WrittenFile
from monai_cxr_cf.dicom.turn import EXIF_TAG, exif_of
from monai_cxr_cf.dicom.writing.fileio import written_file
from monai_cxr_cf.dicom.writing.plan import OutputPlan
from monai_cxr_cf.dicom.writing.report import NOTICE

TITLE = "SYNTHETIC chest radiograph (counterfactual)"


def write_plain(plan: OutputPlan, folder: Path, *, whole: bool) -> list[WrittenFile]:
    """Write the members of the series under ``folder``, in order.

    Args:
        plan: from ``plan_output``.
        folder: the output folder.
        whole: the picture is the decoder's everywhere, not only inside region and band.
    """
    marks = marks_of(WHOLE if whole else COMPOSITE)
    (folder / "png").mkdir()
    files = []
    for number, member in enumerate(plan.members, 1):
        path = folder / "png" / f"{number:04d}.png"
        grey = _grey(plan.radiograph, member.stored)
        Image.fromarray(grey).save(path, "PNG", pnginfo=marks, **exif(plan.radiograph))
        files.append(written_file("png", path, label=member.label))
    return files


def _grey(radiograph: Radiograph, stored: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    deep = radiograph.bits_stored > 8
    top = np.float64(65535 if deep else 255)
    values = np.rint(radiograph.rendered(stored) * top)
    return values.astype(np.uint16 if deep else np.uint8)


def exif(radiograph: Radiograph) -> dict[str, Any]:
    """The orientation of a PNG or JPEG source, so that viewers show a picture as they show it."""
    if not radiograph.exif:
        return {}
    found = Image.Exif()
    found[EXIF_TAG] = exif_of(radiograph.exif)
    return {"exif": found}


def marks_of(kind: str) -> PngInfo:
    """The text chunks of a synthetic picture.

    Args:
        kind: its digital source type, a term of IPTC's vocabulary.
    """
    marks = png_info(kind)
    marks.add_text("Title", TITLE)
    marks.add_text("Warning", NOTICE)
    marks.add_text("Software", TOOL)
    marks.add_itxt("Description", f"{TITLE}. {NOTICE}", lang="en")
    return marks
