# SPDX-License-Identifier: Apache-2.0
"""Transfer syntaxes: which ones are read, by which decoder, and why the others are refused.

Step 3 of the reader: judged from the file meta group alone, before the data set is touched.
"""

from dataclasses import dataclass
from os import PathLike

from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

from monai_cxr_cf.errors import ComponentMissing, UnreadableInput, UnsupportedImage


@dataclass(frozen=True)
class Syntax:
    """How a file of one transfer syntax is laid out and decoded."""

    uid: str
    name: str
    plugin: str = ""  # pydicom decoder plugin; empty: native pixels
    little_endian: bool = True
    implicit: bool = False
    stream: str = ""  # codestream family: jpeg, j2k or empty

    @property
    def native(self) -> bool:
        """Whether the pixels are stored uncompressed."""
        return not self.plugin


_JPEG = "1.2.840.10008.1.2.4."
SYNTAXES: dict[str, Syntax] = {
    syntax.uid: syntax
    for syntax in (
        Syntax("1.2.840.10008.1.2", "implicit little endian", implicit=True),
        Syntax("1.2.840.10008.1.2.1", "explicit little endian"),
        Syntax("1.2.840.10008.1.2.2", "explicit big endian", little_endian=False),
        Syntax("1.2.840.10008.1.2.5", "RLE", "pydicom"),
        Syntax(_JPEG + "50", "JPEG baseline, 8 bits", "gdcm", stream="jpeg"),
        Syntax(_JPEG + "57", "JPEG lossless", "gdcm", stream="jpeg"),
        Syntax(_JPEG + "70", "JPEG lossless SV1", "gdcm", stream="jpeg"),
        Syntax(_JPEG + "80", "JPEG-LS lossless", "gdcm", stream="jpeg"),
        Syntax(_JPEG + "81", "JPEG-LS near lossless", "gdcm", stream="jpeg"),
        Syntax(_JPEG + "90", "JPEG 2000 lossless", "gdcm", stream="j2k"),
        Syntax(_JPEG + "91", "JPEG 2000", "gdcm", stream="j2k"),
    )
}
LOSSY_SYNTAXES = frozenset(_JPEG + end for end in ("50", "81", "91"))

# Deflated data sets are inflated without a cap: 778 kB cost 2.4 GB (docs/dicom-conformance.md 3.1).
_WHY_NOT = {
    "1.2.840.10008.1.2.1.99": "is deflated and could inflate without bound",
    _JPEG + "51": "is JPEG Extended, whose 12-bit form no decoder of ours reads",
    _JPEG + "201": "is HTJ2K, which no decoder of ours reads",
    _JPEG + "202": "is HTJ2K, which no decoder of ours reads",
    _JPEG + "203": "is HTJ2K, which no decoder of ours reads",
}


def read_syntax(path: "str | PathLike[str]") -> Syntax:
    """The transfer syntax of a Part-10 file, from its file meta group alone.

    Raises:
        UnreadableInput: the file meta group is damaged or names no transfer syntax.
        UnsupportedImage: the transfer syntax is not on the allow-list.
    """
    try:
        uid = str(read_file_meta_info(path).get("TransferSyntaxUID", "") or "")
    except Exception as error:  # pydicom raises many types on hostile bytes
        raise UnreadableInput(
            "The file meta group is damaged; expected a DICOM Part-10 file.",
            code="bad_meta",
            hint="Export the image again.",
        ) from error
    if not uid:
        raise UnreadableInput(
            "The file meta group names no transfer syntax; expected TransferSyntaxUID.",
            code="no_transfer_syntax",
            hint="Export the image again as a DICOM Part-10 file.",
        )
    if uid not in SYNTAXES:
        names = ", ".join(syntax.name for syntax in SYNTAXES.values())
        raise UnsupportedImage(
            f"The transfer syntax {_describe(uid)}; expected one of: {names}.",
            code="transfer_syntax",
            hint="Convert it first, for instance: gdcmconv --raw IN.dcm OUT.dcm",
        )
    return SYNTAXES[uid]


def check_codec(syntax: Syntax) -> None:
    """ComponentMissing if the decoder that this transfer syntax needs is not installed."""
    if syntax.native:
        return
    from pydicom.pixels import get_decoder

    decoder = get_decoder(UID(syntax.uid))
    if syntax.plugin not in decoder.available_plugins:
        raise ComponentMissing(
            f"The image is stored as {syntax.name}; its decoder, python-{syntax.plugin}, "
            "is not installed.",
            code="codec_missing",
            hint=f"Install it: pip install python-{syntax.plugin}",
        )


def _describe(uid: str) -> str:
    if uid in _WHY_NOT:
        return _WHY_NOT[uid]
    known = UID(uid)
    # An unregistered UID is not echoed: it is free text of the file.
    return f"is {known.name}" if known.is_valid and known.name != uid else "is unknown"
