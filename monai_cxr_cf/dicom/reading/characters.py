# SPDX-License-Identifier: Apache-2.0
"""SpecificCharacterSet that is missing, unknown or untrue -> text that can be read, and a warning.

In: a header as parsed, its text still bytes. pydicom reads what it cannot decode as replacement
characters, and bytes that nobody declared as Latin-1: names would change without a word.
"""

import re
from collections.abc import Iterator

from pydicom.charset import convert_encodings, decode_bytes, default_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS, PersonName

UTF8 = "ISO_IR 192"
_TAG = BaseTag(0x00080005)
_ALONE = frozenset({"ISO_IR 192", "GB18030", "GBK"})
_ONE_BYTE = frozenset({"", "ISO_IR 6", "ISO_IR 13"}) | {
    f"ISO_IR {number}" for number in (100, 101, 109, 110, 126, 127, 138, 144, 148, 166)
}
_EXTENSIONS = frozenset(
    f"ISO 2022 IR {number}"
    for number in (*(6, 13, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166),)
)
_TEXT = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
_CANDIDATES = (("utf_8", "UTF-8"), ("cp1252", "Windows Latin-1"), ("latin_1", "Latin-1"))
_CONTROLS = re.compile("[\x80-\x9f\ufffd]")  # what Latin-1 makes of other sets; replacements


def settle_characters(header: Dataset) -> tuple[str, str] | None:
    """Make the text of ``header`` readable, in place; a warning if its declaration was not right.

    Then the header declares ISO_IR 192, and so does all that is made from it.
    """
    told = [settle_characters(item) for item in _items(header, own=True)]
    stated, pieces = _stated(header), list(_pieces(header))
    legal, encodings = declared_legally(stated), _declared_encodings(stated)
    readable = all(_fits(data, encodings, vr) for vr, data in pieces)
    if legal and readable:
        return next(filter(None, told), None)
    name = "declared"
    if not readable:
        encodings, name = next(
            ([encoding], name)
            for encoding, name in _CANDIDATES
            if encoding == "latin_1" or all(_fits(data, [encoding], vr) for vr, data in pieces)
        )
    _declare(header, encodings)
    found = "unknown" if not legal else "not that of the text" if any(stated) else "missing"
    how = f"text is read as {name} and" if pieces else "text is"
    return "character_set", f"SpecificCharacterSet is {found}: {how} written as UTF-8."


def declared_legally(values: list[str]) -> bool:
    """Whether these values of SpecificCharacterSet are defined terms, combined as allowed."""
    if len(values) < 2:
        return all(value in _ALONE | _ONE_BYTE | _EXTENSIONS for value in values)
    first, *others = values
    return first in _EXTENSIONS | {""} and all(value in _EXTENSIONS for value in others)


def _stated(header: Dataset) -> list[str]:
    element = header.get_item(_TAG)
    value = b"" if element is None else element.value or b""
    if isinstance(value, bytes):
        return [part.strip(" \0") for part in value.decode("latin_1").split("\\")]
    return [str(part).strip() for part in ([value] if isinstance(value, str) else value)]


def _declared_encodings(values: list[str]) -> list[str]:
    """Python's names of the stated sets; ASCII where nothing, or nothing known, is stated.

    Small slips in a term (ISO-IR 100) are known to pydicom; for an unknown one it takes Latin-1.
    """
    try:
        encodings = convert_encodings(list(values)) if any(values) else ["ascii"]
    except (LookupError, ValueError):
        return ["ascii"]
    known = declared_legally(values) or encodings != [default_encoding] * len(encodings)
    if not known or encodings[0] == default_encoding:  # of which pydicom makes Latin-1
        encodings = ["ascii", *(encodings[1:] if known else ())]
    return encodings


def _items(ds: Dataset, *, own: bool) -> Iterator[Dataset]:
    """Nested items with a character set of their own, or those that share the data set's."""
    for tag in list(ds.keys()):
        element = ds.get_item(tag)
        if element is not None and _vr(element) == "SQ":
            yield from (item for item in items_of(ds, tag) if (_TAG in item) == own)


def items_of(ds: Dataset, tag: BaseTag) -> list[Dataset]:
    """The items of a sequence; none of a damaged one, which is left out later, by name."""
    try:
        return list(ds[tag].value)
    except Exception:  # pydicom's converters raise many types on hostile bytes
        return []


def _vr(element: DataElement | RawDataElement) -> str:
    """The value representation; from the dictionary where the file does not state it."""
    if element.VR:
        return str(element.VR)
    return dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else ""


def _pieces(ds: Dataset) -> Iterator[tuple[str, bytes]]:
    """VR and bytes of every text that is not plain ASCII, nested items included."""
    for element in ds.elements():
        if not isinstance(element, RawDataElement) or not element.value:
            continue
        vr = _vr(element)
        if vr in _TEXT and not _plain(element.value):
            yield vr, element.value
    for item in _items(ds, own=False):
        yield from _pieces(item)


def _plain(data: bytes) -> bool:
    return data.isascii() and b"\x1b" not in data


def _fits(data: bytes, encodings: list[str], vr: str) -> bool:
    delimiters = PN_DELIMS if vr == "PN" else TEXT_VR_DELIMS
    try:
        return not _CONTROLS.search(decode_bytes(data, encodings, delimiters))
    except (LookupError, ValueError):
        return False


def _declare(ds: Dataset, encodings: list[str], *, top: bool = True) -> None:
    """Let the text be decoded by ``encodings`` and be written as UTF-8, nested items too."""
    implicit, little_endian = ds.original_encoding
    ds.set_original_encoding(implicit, little_endian, encodings)
    if top:
        ds.SpecificCharacterSet = UTF8
        # pydicom notes the declared set as that of the bytes; they are what they were.
        ds.set_original_encoding(implicit, little_endian, encodings)
    for element in list(ds.elements()):
        if _vr(element) == "PN":
            _settle_name(ds, element.tag)
    for item in _items(ds, own=False):
        _declare(item, encodings, top=False)


def _settle_name(ds: Dataset, tag: BaseTag) -> None:
    """pydicom keeps the bytes of a name and decodes them by what is declared: exchange them."""
    try:
        element = ds[tag]
        if element.value is not None:
            element.value = (
                [_in_utf8(str(name)) for name in element.value]
                if element.VM > 1
                else _in_utf8(str(element.value))
            )
    except Exception:  # damaged: left out later, by name
        return


def _in_utf8(name: str) -> PersonName:
    return PersonName(name, ["utf_8"], name.encode("utf_8", "replace"))
