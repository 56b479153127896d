# SPDX-License-Identifier: Apache-2.0
"""Polarity, windows and lookup tables: what the picture shows, beside pydicom and the formulas."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from monai_cxr_cf.dicom.read import ReadOptions, read_radiograph
from tests.dicom.conftest import MakeFile
from tests.dicom.factory import KINDS, Spec, save


@pytest.mark.parametrize("kind", ["dx-mono2-12-lut", "cr-mono2-12-sigmoid", "cr-mono2-16-signed"])
def test_the_voi_equals_pydicom_s(kind: str, make_file: MakeFile) -> None:
    path = make_file(KINDS[kind])
    ds = dcmread(path)
    theirs = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds).astype(np.float64)
    ours = read_radiograph(path).pixels.astype(np.float64)
    slope, offset = np.polyfit(theirs.ravel(), ours.ravel(), 1)
    np.testing.assert_allclose(theirs * slope + offset, ours, atol=2e-4)


def test_monochrome1_with_inverse_is_one_single_inversion(tmp_path: Path) -> None:
    plain = read_radiograph(save(tmp_path / "plain.dcm", Spec(bits=14)))
    negative = np.uint16(16383) - plain.stored
    spec = Spec(bits=14, photometric="MONOCHROME1")
    inverse = read_radiograph(save(tmp_path / "inverse.dcm", spec, negative))
    assert inverse.header is not None
    assert inverse.header.PresentationLUTShape == "INVERSE"
    np.testing.assert_allclose(inverse.pixels, plain.pixels, atol=1e-4)


def test_polarity_overrules_the_header(make_file: MakeFile) -> None:
    path = make_file(Spec(sop="CR", photometric="MONOCHROME1"))
    right = read_radiograph(path)
    wrong = read_radiograph(path, options=ReadOptions(polarity="mono2"))
    assert wrong.polarity == "MONOCHROME2"
    np.testing.assert_allclose(wrong.pixels, 1.0 - right.pixels, atol=1e-6)


def test_no_window_gives_a_robust_one_recorded_as_ours(make_file: MakeFile) -> None:
    radiograph = read_radiograph(make_file(Spec(voi="none")))
    assert radiograph.voi.origin == "percentile 0.5-99.5"
    assert radiograph.voi.function == "LINEAR_EXACT"
    low, high = np.percentile(radiograph.stored, [0.5, 99.5])
    assert (radiograph.voi.center, radiograph.voi.width) == ((low + high) / 2, high - low)
    assert radiograph.full_scale == high - low


def test_a_window_of_width_1_is_a_threshold(make_file: MakeFile) -> None:
    radiograph = read_radiograph(make_file(Spec().with_(WindowCenter=2000, WindowWidth=1)))
    np.testing.assert_array_equal(radiograph.pixels, radiograph.stored > 1999)


def test_the_first_window_is_used_and_a_lut_wins_over_windows(make_file: MakeFile) -> None:
    first = read_radiograph(make_file(Spec(voi="two")))
    assert first.voi.origin == "window 1 of 2"
    np.testing.assert_array_equal(first.pixels, read_radiograph(make_file(Spec())).pixels)
    both = Spec(voi="lut").with_(WindowCenter=100, WindowWidth=50)
    assert read_radiograph(make_file(both)).voi.function == "LUT"


def _table(entries: "np.ndarray[Any, Any]", bits: int, vr: str, first: int = 0) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 65536, first, bits])
    value = entries.tolist() if vr == "US" else entries.astype("<u2").tobytes()
    item.add_new("LUTData", vr, value)
    return item


@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_lut_of_any_depth_is_looked_up(bits: int, vr: str, make_file: MakeFile) -> None:
    entries = np.rint(np.linspace(0, (1 << bits) - 1, 3000) ** 1.0).astype(np.int64)
    spec = Spec(voi="none").with_(VOILUTSequence=Sequence([_table(entries, bits, vr, first=500)]))
    radiograph = read_radiograph(make_file(spec))
    index = np.clip(radiograph.stored.astype(int) - 500, 0, 2999)
    np.testing.assert_allclose(radiograph.pixels, entries[index] / ((1 << bits) - 1), atol=1e-6)


def test_packed_8_bit_lut_entries_are_looked_up(make_file: MakeFile) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4095, 0, 8])
    entries = (np.arange(4095) * 255 // 4094).astype(np.uint8)
    item.add_new("LUTData", "OW", entries.tobytes() + b"\0")
    radiograph = read_radiograph(make_file(Spec(voi="none").with_(VOILUTSequence=Sequence([item]))))
    index = np.minimum(radiograph.stored, 4094)
    np.testing.assert_allclose(radiograph.pixels, entries[index] / 255.0, atol=1e-6)


def test_a_falling_lut_inverts_and_a_modality_lut_excludes_the_slope(make_file: MakeFile) -> None:
    falling = np.arange(4095, -1, -1)
    item = _table(falling, 12, "US")
    item.ModalityLUTType = "US"
    spec = Spec(sop="CR", slope=7.0).with_(
        ModalityLUTSequence=Sequence([item]), WindowCenter=2048, WindowWidth=4096
    )
    radiograph = read_radiograph(make_file(spec))
    assert radiograph.voi.modality == "LUT"
    plain = read_radiograph(make_file(Spec(sop="CR").with_(WindowCenter=2048, WindowWidth=4096)))
    np.testing.assert_allclose(radiograph.pixels, 1.0 - plain.pixels, atol=1e-3)
