# SPDX-License-Identifier: Apache-2.0
"""PixelData before it is decoded: streams made byte by byte; and what a decoder may give back."""

import io
import struct
from typing import Any

import numpy as np
import pytest

from monai_cxr_cf.dicom.reading import decode
from monai_cxr_cf.dicom.reading.decode import read_pixels
from monai_cxr_cf.dicom.reading.matrix import Matrix
from monai_cxr_cf.dicom.reading.payload import check_payload, expect_pixels
from monai_cxr_cf.dicom.reading.transfer import LOSSY_SYNTAXES, SYNTAXES
from monai_cxr_cf.errors import (
    CxrError,
    ResourceExhausted,
    UnreadableInput,
    UnsupportedImage,
)

EXPLICIT, IMPLICIT, BIG = (SYNTAXES["1.2.840.10008.1.2" + end] for end in (".1", "", ".2"))
JPEG, J2K = (SYNTAXES["1.2.840.10008.1.2.4." + end] for end in ("70", "90"))
MATRIX = Matrix(300, 500, 16, 12, False)
SMALL = Matrix(3, 5, 8, 8, False)
TAG = struct.pack("<HH", 0x7FE0, 0x0010)
END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def item(data: bytes, promised: int | None = None) -> bytes:
    """One fragment."""
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(data) if promised is None else promised) + data


def coded(*fragments: bytes, end: bytes = END) -> bytes:
    """Encapsulated PixelData with an empty offset table."""
    return TAG + b"OB\0\0\xff\xff\xff\xff" + item(b"") + b"".join(map(item, fragments)) + end


def jpeg(marker: int = 0xC3, *, before: bytes = b"", rows: int = 300, samples: int = 1) -> bytes:
    """A JPEG of 300 x 500 that is nothing but its frame header."""
    frame = struct.pack(">HBHHB", 11, 12, rows, 500, samples) + b"\1\x11\0"
    return b"\xff\xd8" + before + bytes([0xFF, marker]) + frame + b"\xff\xd9"


def j2k(x0: int = 0, y0: int = 0, *, before: bytes = b"", samples: int = 1) -> bytes:
    """A JPEG 2000 codestream of 300 x 500 that is nothing but its size marker."""
    size = struct.pack(">HH8LH", 41, 0, x0 + 500, y0 + 300, x0, y0, 500, 300, 0, 0, samples)
    return before + b"\xff\x4f\xff\x51" + size + b"\x0b\1\1" + b"\xff\xd9"


def judged(data: bytes, syntax: Any, matrix: Matrix = MATRIX) -> str:
    """The code of the refusal; empty if the payload passes."""
    file = io.BytesIO(b"head" + data)
    file.seek(4)
    try:
        expect_pixels(file, syntax)
        assert file.tell() == 4
        check_payload(file, syntax, matrix)
    except CxrError as error:
        return error.code
    return ""


TABLE = b"\xff\xc4" + struct.pack(">H", 6) + b"abcd"  # a Huffman table, not a frame
APP = b"\xff\xe0" + struct.pack(">H", 4) + b"\xff\xc3"  # a frame marker within another segment


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xCF, 0xF7])
def test_a_frame_of_any_kind_of_jpeg_is_found(marker: int) -> None:
    assert judged(coded(jpeg(marker)), JPEG) == ""
    assert judged(coded(jpeg(marker, rows=301)), JPEG) == "codestream_size"


@pytest.mark.parametrize("before", [TABLE, APP, TABLE + APP, b"\xff", b"\xff\xff\xff",
                                    b"\xff\xcc\0\4ab", b"\xff\xc8\0\2"])  # fmt: skip
def test_segments_before_the_frame_are_stepped_over(before: bytes) -> None:
    assert judged(coded(jpeg(before=before)), JPEG) == ""


@pytest.mark.parametrize("marker", [0xC4, 0xC8, 0xCC, 0xBF, 0xD0])
def test_what_is_no_frame_is_none(marker: int) -> None:
    assert judged(coded(jpeg(marker)), JPEG) == "pixel_data"


def test_codestreams_must_hold_one_image_of_one_sample() -> None:
    assert judged(coded(jpeg(samples=3)), JPEG) == "codestream_size"
    assert judged(coded(jpeg()), JPEG, Matrix(500, 300, 16, 12, False)) == "codestream_size"
    assert judged(coded(j2k()), J2K) == ""
    assert judged(coded(j2k(7, 11)), J2K) == ""  # an image offset is no part of the size
    assert judged(coded(j2k(before=b"jp2 boxes" * 9)), J2K) == ""
    assert judged(coded(j2k(before=b"\0" * 4093)), J2K) == "pixel_data"
    assert judged(coded(j2k(samples=3)), J2K) == "codestream_size"
    assert judged(coded(j2k()), J2K, Matrix(500, 300, 16, 12, False)) == "codestream_size"
    assert judged(coded(j2k()[:41]), J2K) == "pixel_data"
    assert judged(coded(b"x" + jpeg()), JPEG) == "pixel_data"


def test_fragments_are_joined_and_may_end_in_zeros() -> None:
    stream = jpeg()
    assert judged(coded(stream[:9], stream[9:] + b"\0\0"), JPEG) == ""
    assert judged(coded(stream[:-1]), JPEG) == "truncated"
    assert judged(coded(j2k()[:-2]), J2K) == "truncated"
    assert judged(coded(), JPEG) == "no_pixels"
    assert judged(coded(b"anything"), SYNTAXES["1.2.840.10008.1.2.5"]) == ""  # RLE has no header


def test_an_item_must_lie_within_the_file() -> None:
    head, stream = TAG + b"OB\0\0\xff\xff\xff\xff" + item(b""), jpeg()
    assert judged(head + item(stream), JPEG) == "truncated"  # no delimiter
    assert judged(head + item(stream) + END[:7], JPEG) == "truncated"
    assert judged(head + item(stream, len(stream) + 1), JPEG) == "truncated"
    assert judged(head + item(stream, 0xFFFFFFFF) + END, JPEG) == "pixel_data"
    assert judged(head + TAG + b"\0\0\0\0" + END, JPEG) == "pixel_data"
    assert judged(TAG + b"OB\0\0\x0a\0\0\0" + stream, JPEG) == "pixel_data"


def test_a_fragment_that_promises_too_much_is_told_what_is_left() -> None:
    head = TAG + b"OB\0\0\xff\xff\xff\xff" + item(b"")
    file = io.BytesIO(head + item(b"first part") + item(b"rest", 5))
    with pytest.raises(UnreadableInput, match=r"promises 5 bytes; the file holds 4\."):
        check_payload(file, JPEG, MATRIX)


def test_a_stream_must_begin_as_a_jpeg() -> None:
    assert judged(coded(b"\xff\xd9" + jpeg()[2:]), JPEG) == "pixel_data"


def test_the_offset_table_is_no_part_of_the_stream() -> None:
    head = TAG + b"OB\0\0\xff\xff\xff\xff" + item(b"\0\0\0\0")
    assert judged(head + item(jpeg()) + END, JPEG) == ""


def test_pixels_are_expected_without_being_read() -> None:
    with pytest.raises(UnreadableInput) as caught:
        expect_pixels(io.BytesIO(b""), EXPLICIT)
    assert caught.value.code == "no_pixels"


@pytest.mark.parametrize(
    ("promised", "held", "code"),
    [
        (15, 15, ""), (16, 16, ""), (16, 15, ""), (15, 14, "short_pixels"),
        (14, 15, "short_pixels"), (17, 17, "long_pixels"), (18, 18, "long_pixels"),
        (0xFFFFFFFF, 15, "short_pixels"),
    ],
)  # fmt: skip
def test_native_pixels_have_the_length_of_the_matrix_or_one_byte_more_to_be_even(
    promised: int, held: int, code: str
) -> None:
    length = struct.pack("<L", promised)
    assert judged(TAG + b"OW\0\0" + length + b"x" * held, EXPLICIT, SMALL) == code
    assert judged(TAG + length + b"x" * held, IMPLICIT, SMALL) == code
    big = b"\x7f\xe0\0\x10OW\0\0" + length[::-1]
    assert judged(big + b"x" * held, BIG, SMALL) == code


def test_even_pixels_need_no_pad_byte() -> None:
    even = Matrix(2, 3, 16, 12, True)
    for promised, code in ((11, "short_pixels"), (12, ""), (13, "long_pixels")):
        data = TAG + b"OW\0\0" + struct.pack("<L", promised) + b"x" * promised
        assert judged(data, EXPLICIT, even) == code


def test_a_file_that_ends_before_or_within_pixeldata_is_told_so() -> None:
    assert judged(b"", EXPLICIT) == judged(TAG[:3], EXPLICIT) == "no_pixels"
    assert judged(b"\x10\0\x10\0PN\2\0ab", EXPLICIT) == "no_pixels"
    assert judged(TAG + b"OW\0\0\1\0\0", EXPLICIT) == "truncated"


def decoded(monkeypatch: pytest.MonkeyPatch, values: Any, matrix: Matrix, plugin: str) -> Any:
    """What becomes of an array that a decoder gives, or of an error that it raises."""

    def give(path: str, *, plugin: str) -> Any:
        if isinstance(values, BaseException):
            raise values
        return np.asarray(values)

    monkeypatch.setattr(decode, "decode_pixels", give)
    return read_pixels("x", matrix, plugin=plugin)


def test_native_bits_above_bits_stored_are_dropped_and_the_sign_is_extended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.array([[0x0801, 0x07FF, 0xF000]], np.uint16)
    plain, notes = decoded(monkeypatch, values, Matrix(1, 3, 16, 12, False), "")
    assert (plain.tolist(), plain.dtype) == ([[0x801, 0x7FF, 0]], np.uint16)
    assert [code for code, _ in notes] == ["unused_bits"]
    signed, notes = decoded(monkeypatch, values, Matrix(1, 3, 16, 12, True), "")
    assert (signed.tolist(), signed.dtype) == ([[-2047, 2047, 0]], np.int16)
    clean = np.array([[-2048, 2047, 0]], np.int16)
    kept, notes = decoded(monkeypatch, clean, Matrix(1, 3, 16, 12, True), "")
    assert (kept.tolist(), notes) == (clean.tolist(), [])


@pytest.mark.parametrize(("values", "ok"), [
    ([[-2048, 2047]], True), ([[-2049, 0]], False), ([[0, 2048]], False),
])  # fmt: skip
def test_a_codestream_must_keep_to_its_bits(
    values: list[list[int]], ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = Matrix(1, 2, 16, 12, True)
    if ok:
        found, notes = decoded(monkeypatch, np.array(values), matrix, "gdcm")
        assert (found.tolist(), found.dtype, notes) == (values, np.int16, [])
        return
    with pytest.raises(UnsupportedImage) as caught:
        decoded(monkeypatch, np.array(values), matrix, "gdcm")
    assert caught.value.code == "decoded_range"


def test_a_decoder_that_fails_or_gives_another_kind_of_image_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrix = Matrix(2, 1, 16, 12, False)
    for values in ([[1, 2]], [[[1], [2]]], [[1.0], [2.0]]):
        with pytest.raises(UnsupportedImage) as caught:
            decoded(monkeypatch, values, matrix, "gdcm")
        assert caught.value.code == "decoded_shape"
    with pytest.raises(UnreadableInput) as broken:
        decoded(monkeypatch, RuntimeError("bytes"), matrix, "gdcm")
    assert broken.value.code == "undecodable"
    with pytest.raises(ResourceExhausted):
        decoded(monkeypatch, MemoryError(), matrix, "gdcm")


def test_the_table_of_transfer_syntaxes() -> None:
    """PS3.5 A and PS3.6 A: end of the UID -> decoder, family, byte order, VR, loss."""
    rows = {uid.removeprefix("1.2.840.10008.1.2"): (s.plugin, s.stream, s.little_endian,
            s.implicit, uid in LOSSY_SYNTAXES, s.native)
            for uid, s in SYNTAXES.items()}  # fmt: skip
    jpegs = {f".4.{n}": ("gdcm", "jpeg", True, False, n in (50, 81), False)
             for n in (50, 57, 70, 80, 81)}  # fmt: skip
    assert rows == {
        "": ("", "", True, True, False, True),
        ".1": ("", "", True, False, False, True),
        ".2": ("", "", False, False, False, True),
        ".5": ("pydicom", "", True, False, False, False),
        **jpegs,
        ".4.90": ("gdcm", "j2k", True, False, False, False),
        ".4.91": ("gdcm", "j2k", True, False, True, False),
    }
    assert len(LOSSY_SYNTAXES) == 3
