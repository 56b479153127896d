# SPDX-License-Identifier: Apache-2.0
"""Part-10 files with values that no library would write: bytes put into a header as they are."""

import struct
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.dicom.factory import Spec, build, save_dataset

_LONG = ("OB", "OW", "UN", "UT", "UC", "UR", "SQ")


def save_raw(
    path: Path, spec: Spec, values: dict[str, bytes], vrs: dict[str, str] | None = None
) -> Path:
    """Write ``build(spec)`` with the bytes of ``values``, padded, under the attributes' own VR.

    Args:
        path: of the new file.
        spec: the file otherwise.
        values: keyword -> bytes; ``Sequence.Keyword`` puts the attribute into the first item.
        vrs: other value representations than the dictionary's, by the same names.
    """
    ds, exchanges = build(spec), []
    for number, (name, value) in enumerate(values.items()):
        sequence, _, keyword = name.rpartition(".")
        vr = (vrs or {}).get(name) or dictionary_VR(tag_for_keyword(keyword)).split(" or ")[0]
        padded = value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
        exchanges.append(_stand_in(_holder(ds, sequence), keyword, vr, padded, number))
    data = save_dataset(path, ds).read_bytes()
    for found, instead in exchanges:
        assert data.count(found) == 1, found
        data = data.replace(found, instead)
    path.write_bytes(data)
    return path


def _holder(ds: Dataset, sequence: str) -> Dataset:
    if not sequence:
        return ds
    if not ds.get(sequence):
        setattr(ds, sequence, Sequence([Dataset()]))
    item: Dataset = ds[sequence].value[0]
    return item


def _stand_in(ds: Dataset, keyword: str, vr: str, value: bytes, number: int) -> tuple[bytes, bytes]:
    """Set a text that can be written, as long as the value and its header; what becomes of it."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if vr in _LONG:
        instead = head + vr.encode() + b"\0\0" + struct.pack("<L", len(value)) + value
    else:
        instead = head + vr.encode() + struct.pack("<H", len(value)) + value
    room = len(instead) - 8
    mark = f"~{number:03d}~"  # tells apart equal attributes in two places
    text = (mark + "~" * room)[:room] if room >= len(mark) else "~" * room
    ds.add_new(tag, "ST", text)
    return head + b"ST" + struct.pack("<H", room) + text.encode(), instead
