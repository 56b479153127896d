# SPDX-License-Identifier: Apache-2.0
"""What a PNG of ours says of itself to programs: digitalSourceType, as XMP inside the file.

The terms are IPTC's (https://cv.iptc.org/newscodes/digitalsourcetype/); no date and no version, so
the same picture gives the same bytes.
"""

import re
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from monai_cxr_cf.errors import UnreadableInput

KEY = "XML:com.adobe.xmp"
TOOL = "monai-cxr-cf"
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"  # a radiograph with a part made by a network
WHOLE = "trainedAlgorithmicMedia"  # every pixel is the decoder's
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
