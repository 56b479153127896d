# SPDX-License-Identifier: Apache-2.0
"""Damaged files, at random: a radiograph or a typed error, never another exception or a guess."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.uid import ImplicitVRLittleEndian

from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.dicom.record import Member, OutputOptions
from monai_cxr_cf.dicom.writing.plan import IODS, plan_output
from monai_cxr_cf.dicom.writing.write import write_counterfactuals
from monai_cxr_cf.errors import CxrError
from tests.dicom.factory import Spec, build, save_dataset
from tests.dicom.written import RECORD
from tests.fuzz import examples

VOI_LUT = b"\x28\x00\x10\x30SQ"
BODY_PART = b"\x18\x00\x15\x00CS"
SPACING = b"\x28\x00\x30\x00DS"


@cache
def content(implicit: bool) -> bytes:
    """A good file, in either native encoding."""
    ds = build(Spec(voi="lut", bits=8, sop="SC"))
    if implicit:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    with TemporaryDirectory() as folder:
        return save_dataset(Path(folder) / "a.dcm", ds).read_bytes()


def read(data: bytes) -> None:
    """Read bytes as a file and write them again; anything but that or a typed error fails."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.dcm"
        path.write_bytes(data)
        try:
            radiograph = read_radiograph(path)
        except CxrError:
            return
    assert np.isfinite(radiograph.pixels).all()
    unchanged = radiograph.to_stored(np.zeros(radiograph.shape))
    np.testing.assert_array_equal(unchanged, radiograph.stored)
    for iod in IODS:
        plan = plan_output(
            radiograph, [Member(unchanged)], record=RECORD, options=OutputOptions(iod=iod)
        )
        with TemporaryDirectory() as folder:
            write_counterfactuals(plan, Path(folder))


def spot(words: bytes, offset: int) -> float:
    """Where ``test_overwritten_header_bytes`` hits the byte ``offset`` after ``words``."""
    data = content(False)
    at = data.index(words) + offset
    return (at - 132 + 0.5) / (len(data) - 120 * 96 - 133)


@settings(max_examples=examples(250), deadline=None)
@example(False, [(spot(VOI_LUT, 5), 0)])  # VR "S" and a zero byte
@example(False, [(spot(SPACING, 4), 0)])
@example(False, [(spot(BODY_PART, 4), ord("D")), (spot(BODY_PART, 5), ord("S"))])
@given(st.booleans(), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6))
def test_overwritten_header_bytes(implicit: bool, marks: list[tuple[float, int]]) -> None:
    data = bytearray(content(implicit))
    header = len(data) - 120 * 96
    for where, value in marks:
        data[132 + int(where * (header - 133))] = value
    read(bytes(data))


@settings(max_examples=examples(60), deadline=None)
@given(st.booleans(), st.floats(0, 1))
def test_cut_anywhere(implicit: bool, where: float) -> None:
    data = content(implicit)
    read(data[: int(where * len(data))])


@settings(max_examples=examples(60), deadline=None)
@given(st.booleans(), st.floats(0, 1), st.binary(min_size=1, max_size=40))
def test_bytes_put_in_between(implicit: bool, where: float, more: bytes) -> None:
    data = content(implicit)
    at = 132 + int(where * (len(data) - 120 * 96 - 132))
    read(data[:at] + more + data[at:])


@cache
def places() -> list[int]:
    """Where each element of the good explicit file begins, nested ones included."""
    data = content(False)
    starts, at = [], data.index(b"\x08\x00\x05\x00CS")
    while at < len(data) - 120 * 96 - 12:
        starts.append(at)
        long = data[at + 4 : at + 6] in (b"SQ", b"OW", b"OB", b"UN", b"UT")
        if data[at : at + 4] == b"\xfe\xff\x00\xe0" or data[at + 4 : at + 6] == b"SQ":
            at += 8 if data[at : at + 2] == b"\xfe\xff" else 12  # into the item
        elif long:
            at += 12 + int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            at += 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    return starts


VRS = [
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OW", "PN"),
    *("SH", "SL", "SQ", "SS", "ST", "TM", "UI", "UL", "UN", "US", "UT", "XX"),
]


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(VRS), st.binary(max_size=8))
def test_another_vr_and_value(which: int, vr: str, value: bytes) -> None:
    """An element of the header with another VR, and the first bytes of its value overwritten."""
    data = bytearray(content(False))
    at = places()[which % len(places())]
    data[at + 4 : at + 6] = vr.encode()
    room = min(len(value), int.from_bytes(data[at + 6 : at + 8], "little"))
    data[at + 8 : at + 8 + room] = value[:room]
    read(bytes(data))
