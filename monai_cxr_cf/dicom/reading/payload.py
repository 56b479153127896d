# SPDX-License-Identifier: Apache-2.0
"""Step 6 of the reader: find PixelData and compare it with the header's promise, undecoded.

Native pixels must have the promised length; an encapsulated codestream must be whole and announce
the header's matrix, for a decoder allocates what the codestream says.
"""

import struct
from typing import BinaryIO

from monai_cxr_cf.dicom.reading.matrix import Matrix
from monai_cxr_cf.dicom.reading.transfer import Syntax
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage

_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA, _ITEM, _END = 0x7FE00010, 0xFFFEE000, 0xFFFEE0DD
_RETRY = "Export the image again: this copy is damaged."


def expect_pixels(file: BinaryIO, syntax: Syntax) -> None:
    """UnreadableInput unless a PixelData element starts here; the position stays where it is.

    Asked before the matrix is judged: a file that ends within its header lacks Rows, too, but the
    cut is what its owner must hear of.
    """
    start = file.tell()
    _element_length(file, syntax)
    file.seek(start)


def check_payload(file: BinaryIO, syntax: Syntax, matrix: Matrix) -> None:
    """Judge the PixelData element that starts at the file's position, without decoding it.

    Raises:
        UnreadableInput: there is none, it is short, truncated or not in its transfer syntax.
        UnsupportedImage: the codestream holds another image than the header says.
    """
    length = _element_length(file, syntax)
    start = file.tell()
    left = file.seek(0, 2) - start
    file.seek(start)
    if syntax.native:
        _check_native(length, left, matrix)
        return
    if length != _UNDEFINED:
        raise _unreadable(
            f"PixelData is not encapsulated; expected fragments of {syntax.name}.", "pixel_data"
        )
    stream = _fragments(file, left)
    if syntax.stream == "jpeg":
        _check_announced(_jpeg_frame(stream), matrix)
        _check_end(stream, b"\xff\xd9")
    elif syntax.stream == "j2k":
        _check_announced(_j2k_frame(stream), matrix)
        _check_end(stream, b"\xff\xd9")


def _element_length(file: BinaryIO, syntax: Syntax) -> int:
    """Read the element header of PixelData; the file is then at its value."""
    order = "<" if syntax.little_endian else ">"
    head = file.read(8)
    tag = 0
    if len(head) == 8:
        group, element = struct.unpack(order + "HH", head[:4])
        tag = group << 16 | element
    if tag != _PIXEL_DATA:
        found = "The file ends before PixelData" if not head else "The file has no PixelData"
        raise _unreadable(f"{found}; expected the pixels of one image.", "no_pixels")
    if syntax.implicit:
        return int(struct.unpack(order + "L", head[4:])[0])
    tail = file.read(4)
    if len(tail) < 4:
        raise _unreadable("PixelData ends within its own header.", "truncated")
    return int(struct.unpack(order + "L", tail)[0])


def _check_native(length: int, left: int, matrix: Matrix) -> None:
    promised = matrix.nbytes
    found = left if length == _UNDEFINED else min(length, left)
    if length == _UNDEFINED or found < promised:
        raise _unreadable(
            f"PixelData holds {found} bytes; Rows x Columns x {matrix.bits_allocated} bits needs "
            f"{promised}.",
            "short_pixels",
        )
    if length not in (promised, promised + promised % 2):
        raise _unreadable(
            f"PixelData holds {length} bytes; Rows x Columns x {matrix.bits_allocated} bits is "
            f"{promised}.",
            "long_pixels",
        )


def _fragments(file: BinaryIO, left: int) -> bytes:
    """All fragments after the offset table, joined; every item must lie within the file."""
    parts: list[bytes] = []
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise _unreadable("PixelData ends before its sequence delimiter.", "truncated")
        group, element, length = struct.unpack("<HHL", head)
        left -= 8
        tag = group << 16 | element
        if tag == _END:
            break
        if tag != _ITEM or length == _UNDEFINED:
            raise _unreadable("PixelData is not a sequence of fragments.", "pixel_data")
        if length > left:
            raise _unreadable(
                f"A fragment of PixelData promises {length} bytes; the file holds {left}.",
                "truncated",
            )
        parts.append(file.read(length))
        left -= length
    stream = b"".join(parts[1:])  # the first item is the offset table
    if not stream:
        raise _unreadable("PixelData holds no fragment; expected one image.", "no_pixels")
    return stream


def _jpeg_frame(stream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns, samples of the frame header (SOF) of JPEG, JPEG lossless or JPEG-LS."""
    if stream[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 < len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns, samples = struct.unpack(">HHB", stream[at + 5 : at + 10])
            return rows, columns, samples
        at += 2 + int(struct.unpack(">H", stream[at + 2 : at + 4])[0])
    return None


def _j2k_frame(stream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns, samples of the SIZ marker, after the boxes of a JP2 file if there are any."""
    at = stream.find(b"\xff\x4f\xff\x51", 0, 4096)
    if at < 0 or len(stream) < at + 42:
        return None
    x1, y1, x0, y0 = struct.unpack(">4L", stream[at + 8 : at + 24])
    (samples,) = struct.unpack(">H", stream[at + 40 : at + 42])
    return y1 - y0, x1 - x0, samples


def _check_announced(found: tuple[int, int, int] | None, matrix: Matrix) -> None:
    if found is None:
        raise _unreadable("PixelData holds no codestream of its transfer syntax.", "pixel_data")
    if found != (matrix.rows, matrix.columns, 1):
        raise UnsupportedImage(
            f"The codestream holds {found[0]} x {found[1]} pixels of {found[2]} samples; the "
            f"header says {matrix.rows} x {matrix.columns} of 1.",
            code="codestream_size",
            hint=_RETRY,
        )


def _check_end(stream: bytes, marker: bytes) -> None:
    if not stream.rstrip(b"\0").endswith(marker):
        raise _unreadable(
            f"The codestream of {len(stream)} bytes lacks its end marker: it is cut off.",
            "truncated",
        )


def _unreadable(message: str, code: str) -> UnreadableInput:
    return UnreadableInput(message, code=code, hint=_RETRY)
