# SPDX-License-Identifier: Apache-2.0
"""The counterfactual as a plain grey PNG: as the DICOM file shows it, and marked as it is.

In: the plan of an output folder. Out: ``png/0001.png`` and on, one per member, on the source's
grid, bright = dense, through the source's own window; 8 bits where the source has at most 8, else
16. The marks are text chunks and, for programs, the IPTC digital source type in an XMP packet.
"""

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

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
COMPOSITE = IPTC + "compositeWithTrainedAlgorithmicMedia"  # drawn into the source's own pixels
WHOLE = IPTC + "trainedAlgorithmicMedia"  # every pixel is the decoder's
TITLE = "SYNTHETIC chest radiograph (counterfactual)"
XMP = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <Iptc4xmpExt:DigitalSourceType>{kind}</Iptc4xmpExt:DigitalSourceType>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
   <dc:description><rdf:Alt>
    <rdf:li xml:lang="x-default">{notice}</rdf:li>
   </rdf:Alt></dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


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
        kind: its digital source type, an address of IPTC's vocabulary.
    """
    marks = PngInfo()
    marks.add_text("Title", TITLE)
    marks.add_text("Warning", NOTICE)
    marks.add_text("Software", "monai-cxr-cf")
    marks.add_itxt("Description", f"{TITLE}. {NOTICE}", lang="en")
    packet = XMP.format(kind=kind, title=TITLE, notice=NOTICE)
    marks.add_itxt("XML:com.adobe.xmp", packet)
    return marks
