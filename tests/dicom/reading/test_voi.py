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

from monai_cxr_cf.dicom.radiograph import Voi
from monai_cxr_cf.dicom.reading.lut import apply_lut
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.dicom.reading.voi import window
from monai_cxr_cf.errors import UnsupportedImage
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


def test_percentiles_that_meet_give_way_to_the_full_range(tmp_path: Path) -> None:
    pixels = np.full((120, 96), 500, np.uint16)
    pixels[3, 5], pixels[7, 9] = 100, 900
    radiograph = read_radiograph(save(tmp_path / "a.dcm", Spec(sop="CR", voi="none"), pixels))
    voi = radiograph.voi
    assert (voi.origin, voi.center, voi.width) == ("full range", 500.0, 800.0)
    expected = np.full((120, 96), 0.5)
    expected[3, 5], expected[7, 9] = 0.0, 1.0
    np.testing.assert_allclose(radiograph.pixels, expected, atol=1e-6)
    assert radiograph.full_scale == 800.0


@pytest.mark.parametrize("slope", [0.5, -2.0])
def test_the_robust_window_lies_on_modality_values_whatever_slope_and_sign(
    slope: float, make_file: MakeFile
) -> None:
    spec = Spec(sop="CR", signed=True, slope=slope, intercept=7.0, voi="none")
    radiograph = read_radiograph(make_file(spec))
    ends = np.percentile(radiograph.stored, [0.5, 99.5]) * slope + 7.0
    assert radiograph.voi.center == pytest.approx(ends.mean(), abs=1e-9)
    assert radiograph.voi.width == pytest.approx(abs(ends[1] - ends[0]), abs=1e-9)
    assert (radiograph.voi.modality, radiograph.voi.slope, radiograph.voi.intercept) == (
        "rescale", slope, 7.0)  # fmt: skip
    shown = (radiograph.stored * slope + 7.0 - ends.min()) / abs(ends[1] - ends[0])
    np.testing.assert_allclose(radiograph.pixels, np.clip(shown, 0.0, 1.0), atol=1e-5)
    assert radiograph.full_scale == pytest.approx((ends[1] - ends[0]) / slope * np.sign(slope))


def test_a_lut_item_without_descriptor_or_data_is_refused() -> None:
    ds = Dataset()
    ds.add_new("LUTData", "US", [1, 2])
    with pytest.raises(UnsupportedImage, match="LUTDescriptor"):
        apply_lut(ds, X, name="VOILUTSequence")
    ds.add_new("LUTDescriptor", "US", [2, 0, 8])
    ds.add_new("LUTData", "SS", [-1, 2])
    with pytest.raises(UnsupportedImage, match="LUTData exceeds the 8 bits"):
        apply_lut(ds, X, name="VOILUTSequence")
    del ds.LUTData
    with pytest.raises(UnsupportedImage, match=r"LUTData has [01] entries; the descriptor says 2"):
        apply_lut(ds, X, name="VOILUTSequence")


X = np.array([-60.0, 0.0, 19.0, 20.0, 21.0, 45.0, 90.0])


@pytest.mark.parametrize(
    ("function", "width", "expected"),
    [
        ("LINEAR", 101.0, [0.0, 0.305, 0.495, 0.505, 0.515, 0.755, 1.0]),
        ("LINEAR", 1.0, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
        ("LINEAR_EXACT", 100.0, [0.0, 0.3, 0.49, 0.5, 0.51, 0.75, 1.0]),
        ("LINEAR_EXACT", 1.0, [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0]),
        ("SIGMOID", 100.0, [0.039166, 0.310026, 0.490001, 0.5, 0.509999, 0.731059, 0.942676]),
    ],
)
def test_window_functions_have_the_values_of_the_standard(
    function: str, width: float, expected: list[float]
) -> None:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3 around a centre of 20, worked out by hand."""
    voi = Voi(function, "window 1 of 1", 20.0, width, "none", 1.0, 0.0)
    np.testing.assert_allclose(window(X, voi), expected, atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_a_window_may_lie_around_zero(function: str) -> None:
    voi = Voi(function, "window 1 of 1", 0.0, 4.0, "none", 1.0, 0.0)
    assert window(np.zeros(1), voi) == 0.5


@pytest.mark.parametrize(("signed", "low", "high"), [(False, 0, 4095), (True, -2048, 2047)])
def test_the_display_has_one_entry_for_each_stored_value(
    signed: bool, low: int, high: int, make_file: MakeFile
) -> None:
    display = read_radiograph(make_file(Spec(sop="CR", signed=signed, slope=1.0))).display
    assert (display.low, display.high, len(display.table)) == (low, high, 4096)


def test_a_threshold_falls_between_two_values() -> None:
    voi = Voi("LINEAR", "window 1 of 1", 20.5, 1.0, "none", 1.0, 0.0)
    np.testing.assert_array_equal(window(np.array([19.0, 20.0, 21.0]), voi), [0.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("spec", "full_scale"),
    [
        (Spec(sop="CR").with_(WindowCenter=2000, WindowWidth=401), 400.0),
        (Spec(sop="CR", slope=-4.0).with_(WindowCenter=-8000, WindowWidth=401), -100.0),
        (Spec(sop="CR", photometric="MONOCHROME1").with_(WindowCenter=2000, WindowWidth=401),
         -400.0),
        (Spec(sop="CR", voi="exact").with_(WindowCenter=2000, WindowWidth=400), 400.0),
        (Spec(sop="CR", voi="exact").with_(WindowCenter=2000, WindowWidth=0.5), 0.5),
        (Spec(sop="CR").with_(WindowCenter=2000, WindowWidth=1), None),
        (Spec(sop="CR", voi="sigmoid"), None),
        (Spec(voi="lut"), None),
    ],
)  # fmt: skip
def test_full_scale_is_what_one_unit_of_the_display_is_in_stored_values(
    spec: Spec, full_scale: float | None, make_file: MakeFile
) -> None:
    assert read_radiograph(make_file(spec)).full_scale == full_scale


def test_slope_and_intercept_stand_in_for_each_other(make_file: MakeFile) -> None:
    spec = Spec(sop="CR").with_(WindowCenter=1000, WindowWidth=2001)
    plain = read_radiograph(make_file(spec))
    assert (plain.voi.modality, plain.voi.slope, plain.voi.intercept) == ("none", 1.0, 0.0)
    shifted = read_radiograph(make_file(spec.with_(RescaleIntercept=-50, WindowCenter=950)))
    assert (shifted.voi.modality, shifted.voi.slope, shifted.voi.intercept) == (
        "rescale", 1.0, -50.0)  # fmt: skip
    np.testing.assert_allclose(shifted.pixels, plain.pixels, atol=1e-6)
    doubled = read_radiograph(make_file(spec.with_(RescaleSlope=2, WindowCenter=1999.5,
                                                   WindowWidth=4001)))  # fmt: skip
    assert (doubled.voi.modality, doubled.voi.slope, doubled.voi.intercept) == (
        "rescale", 2.0, 0.0)  # fmt: skip
    np.testing.assert_allclose(doubled.pixels, plain.pixels, atol=1e-6)


def test_the_words_of_a_display_say_which_of_several_was_used(make_file: MakeFile) -> None:
    two = Sequence([_table(np.arange(4096), 12, "US"), _table(np.arange(4096)[::-1], 12, "US")])
    spec = Spec(voi="none").with_(VOILUTSequence=two)
    radiograph = read_radiograph(make_file(spec))
    assert radiograph.voi.origin == "VOI LUT 1 of 2"
    assert (radiograph.voi.center, radiograph.voi.width) == (None, None)
    assert "several_windows" in [code for code, _ in radiograph.warnings]
    np.testing.assert_allclose(radiograph.pixels, radiograph.stored / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (([4, 0, 7], [0, 1, 2, 3]), "8 to 16 bits"),
        (([4, 0, 17], [0, 1, 2, 3]), "8 to 16 bits"),
        (([4, 0], [0, 1, 2, 3]), "8 to 16 bits"),
        (([4, 0, 8], [0, 1, 2, 256]), "exceeds the 8 bits"),
        (([4, 0, 8], [0, 1, 2]), "has 3 entries; the descriptor says 4"),
        (([4, 0, 8], [0, 1, 2, 3, 0, 0]), "has 6 entries; the descriptor says 4"),
    ],
)
def test_a_lut_item_that_contradicts_itself_is_refused(
    item: tuple[list[int], list[int]], found: str
) -> None:
    ds = Dataset()
    ds.add_new("LUTDescriptor", "US", item[0])
    ds.add_new("LUTData", "US", item[1])
    with pytest.raises(UnsupportedImage, match=found) as caught:
        apply_lut(ds, X, name="VOILUTSequence")
    assert "--ignore-voi" in caught.value.hint
    with pytest.raises(UnsupportedImage, match="ModalityLUTSequence") as caught:
        apply_lut(ds, X, name="ModalityLUTSequence")
    assert "--ignore-voi" not in caught.value.hint


@pytest.mark.parametrize("bits", [8, 16])
def test_a_lut_takes_the_nearest_entry_and_its_ends_beyond_them(bits: int) -> None:
    ds = Dataset()
    top = (1 << bits) - 1
    ds.add_new("LUTDescriptor", "US", [4, 10, bits])
    ds.add_new("LUTData", "US", [5, 7, 60, top, 9])  # the fifth is a pad entry
    x = np.array([-3.0, 10.0, 10.4, 10.6, 12.0, 13.0, 14.0, 900.0])
    found = [5, 5, 5, 7, 60, top, top, top]
    np.testing.assert_array_equal(apply_lut(ds, x, name="VOILUTSequence"), found)
    shown = apply_lut(ds, x, name="VOILUTSequence", normalise=True)
    np.testing.assert_allclose(shown, np.array(found) / top, rtol=1e-12)


@pytest.mark.parametrize(("data", "entries"), [
    (bytes([1, 2, 3, 9]), [1, 2, 3, 9]),  # packed
    (bytes([1, 2, 3, 9, 0]), [1, 2, 3, 9]),  # packed with a pad byte
    (bytes([1, 0, 2, 0, 3, 0, 9, 0]), [1, 2, 3, 9]),  # a word for each
    (bytes([7, 0]), [7]),  # a single entry: a word, not a byte and its pad
])  # fmt: skip
def test_8_bit_entries_come_packed_or_as_words(data: bytes, entries: list[int]) -> None:
    ds = Dataset()
    ds.add_new("LUTDescriptor", "US", [len(entries), 0, 8])
    ds.add_new("LUTData", "OW", data)
    x = np.arange(float(len(entries)))
    np.testing.assert_array_equal(apply_lut(ds, x, name="VOILUTSequence"), entries)
