# SPDX-License-Identifier: Apache-2.0
"""What a PNG of ours says of itself to programs: digitalSourceType, as XMP inside the file.

The terms are IPTC's (https://cv.iptc.org/newscodes/digitalsourcetype/); no date and no version, so
the same picture gives the same bytes.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.record import WrittenFile
from monai_cxr_cf.dicom.turn import EXIF_TAG, exif_of
from monai_cxr_cf.dicom.writing.fileio import written_file
from monai_cxr_cf.dicom.writing.plan import OutputPlan
from monai_cxr_cf.dicom.writing.report import NOTICE
from monai_cxr_cf.errors import UnreadableInput

KEY = "XML:com.adobe.xmp"
TOOL = "monai-cxr-cf"
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"  # a radiograph with a part made by a network
WHOLE = "trainedAlgorithmicMedia"  # every pixel is the decoder's
TITLE = "SYNTHETIC chest radiograph (counterfactual)"
DATA = "dataDrivenMedia"  # a chart
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <xmp:CreatorTool>{tool}</xmp:CreatorTool>
   <Iptc4xmpExt:DigitalSourceType>{terms}{kind}</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>"""


def png_info(kind: str) -> PngInfo:
    """The chunk that goes into a PNG; ``kind`` is COMPOSITE, DATA or empty, which says nothing."""
    info = PngInfo()
    if kind:
        info.add_itxt(KEY, XMP.format(tool=TOOL, terms=TERMS, kind=kind))
    return info


def png_origin(path: Path) -> tuple[str, str]:
    """Creator tool and last part of digitalSourceType of a PNG; empty where it states none.

    Raises:
        UnreadableInput: the PNG is damaged.
    """
    try:
        with Image.open(path) as picture:  # reads what stands before the pixels, and no pixels
            told = str(picture.info.get(KEY, ""))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableInput(
            "The PNG is damaged: its header cannot be read.",
            code="bad_header",
            hint="Make it again.",
        ) from error
    tool = re.search(r"<xmp:CreatorTool>([^<]*)<", told)
    kind = re.search(re.escape(TERMS) + r"([A-Za-z]+)", told)
    return tool.group(1) if tool else "", kind.group(1) if kind else ""


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
