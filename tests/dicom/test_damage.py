# SPDX-License-Identifier: Apache-2.0
"""Damaged files, at random: a radiograph or a typed error, never another exception or a guess."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ImplicitVRLittleEndian

from monai_cxr_cf.dicom.read import read_radiograph
from monai_cxr_cf.errors import CxrError
from tests.dicom.factory import Spec, build, save_dataset


@cache
def content(implicit: bool) -> bytes:
    """A good file, in either native encoding."""
    ds = build(Spec(voi="lut", bits=8, sop="SC"))
    if implicit:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    with TemporaryDirectory() as folder:
        return save_dataset(Path(folder) / "a.dcm", ds).read_bytes()


def read(data: bytes) -> None:
    """Read bytes as a file; anything but a radiograph or a typed error fails the test."""
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


@settings(max_examples=250, deadline=None)
@given(st.booleans(), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6))
def test_overwritten_header_bytes(implicit: bool, marks: list[tuple[float, int]]) -> None:
    data = bytearray(content(implicit))
    header = len(data) - 120 * 96
    for where, value in marks:
        data[132 + int(where * (header - 133))] = value
    read(bytes(data))


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.floats(0, 1))
def test_cut_anywhere(implicit: bool, where: float) -> None:
    data = content(implicit)
    read(data[: int(where * len(data))])


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.floats(0, 1), st.binary(min_size=1, max_size=40))
def test_bytes_put_in_between(implicit: bool, where: float, more: bytes) -> None:
    data = content(implicit)
    at = 132 + int(where * (len(data) - 120 * 96 - 132))
    read(data[:at] + more + data[at:])
