# SPDX-License-Identifier: Apache-2.0
"""Reading: every accepted kind of file, its warnings, and the picture that other readers show."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from monai_cxr_cf.dicom.read import ReadOptions, read_radiograph
from monai_cxr_cf.errors import UnsupportedImage
from tests.dicom.conftest import MakeFile
from tests.dicom.factory import KINDS, Spec, build, phantom, save, save_dataset


def codes(path: Path, **options: Any) -> list[str]:
    """The codes of the warnings that reading gives."""
    return [code for code, _ in read_radiograph(path, options=ReadOptions(**options)).warnings]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_upright_and_bright_where_dense(kind: str, make_file: MakeFile) -> None:
    spec = KINDS[kind]
    radiograph = read_radiograph(make_file(spec))
    shown = phantom(spec.rows, spec.columns, spec.seed)[radiograph.valid]
    assert radiograph.pixels.dtype == np.float32
    assert radiograph.pixels.shape == radiograph.shape == (spec.rows, spec.columns)
    assert 0.0 <= radiograph.pixels.min() < radiograph.pixels.max() <= 1.0
    assert np.corrcoef(radiograph.pixels[radiograph.valid], shown)[0, 1] > 0.97
    assert radiograph.polarity == spec.photometric
    assert (radiograph.bits_stored, radiograph.signed) == (spec.bits, spec.signed)


@pytest.mark.parametrize("kind", KINDS)
def test_stored_values_are_the_file_s_own(kind: str, make_file: MakeFile) -> None:
    path = make_file(KINDS[kind])
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.stored, dcmread(path).pixel_array)
    assert radiograph.header is not None
    assert "PixelData" not in radiograph.header
    assert radiograph.source_sop_uid == dcmread(path).SOPInstanceUID


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_equals_highdicom_s_where_it_accepts_the_file(
    kind: str, make_file: MakeFile
) -> None:
    path = make_file(KINDS[kind])
    if KINDS[kind].voi == "none":  # highdicom has no window to apply; ours is our own
        with pytest.raises(RuntimeError):
            highdicom.imread(path).get_frame(1, apply_voi_transform=True)
        return
    radiograph = read_radiograph(path)
    theirs = highdicom.imread(path).get_frame(
        1, apply_voi_transform=True, apply_presentation_lut=True, voi_output_range=(0.0, 1.0)
    )
    valid = radiograph.valid
    np.testing.assert_allclose(radiograph.pixels[valid], theirs[valid], atol=2e-4)


@pytest.mark.parametrize("kind", ["dx-mono2-12-lut", "cr-mono2-12-sigmoid", "cr-mono2-16-signed"])
def test_the_voi_equals_pydicom_s(kind: str, make_file: MakeFile) -> None:
    path = make_file(KINDS[kind])
    ds = dcmread(path)
    theirs = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds).astype(np.float64)
    ours = read_radiograph(path).pixels.astype(np.float64)
    slope, offset = np.polyfit(theirs.ravel(), ours.ravel(), 1)
    np.testing.assert_allclose(theirs * slope + offset, ours, atol=2e-4)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_all_depths_are_accepted(bits: int, signed: bool, make_file: MakeFile) -> None:
    radiograph = read_radiograph(make_file(Spec(sop="CR", bits=bits, signed=signed, slope=1.0)))
    assert (radiograph.bits_stored, radiograph.signed) == (bits, signed)
    assert radiograph.stored.dtype.itemsize == (1 if bits == 8 else 2)


def test_8_bits_stored_in_16_allocated_are_accepted(tmp_path: Path) -> None:
    pixels = read_radiograph(save(tmp_path / "a.dcm", Spec(sop="SC", bits=8))).stored
    wide = read_radiograph(save(tmp_path / "b.dcm", Spec(sop="SC", bits=8), pixels.astype("u2")))
    assert wide.stored.dtype == np.uint16
    np.testing.assert_array_equal(wide.stored, pixels)


def test_odd_numbers_of_bytes_are_padded_not_refused(make_file: MakeFile) -> None:
    radiograph = read_radiograph(make_file(Spec(sop="SC", bits=8, rows=101, columns=67)))
    assert radiograph.shape == (101, 67)


def test_private_tags_foreign_names_and_paths_with_spaces_are_accepted(tmp_path: Path) -> None:
    ds = build()
    ds.PatientName = "山田^太郎=やまだ"
    inner = Dataset()
    inner.add_new(0x00090010, "LO", "MAKER")
    inner.add_new(0x00091001, "LO", "deep")
    ds.add_new(0x00110010, "LO", "MAKER")
    ds.add_new(0x00111001, "SQ", Sequence([inner]))
    folder = tmp_path / "a folder, größer"
    folder.mkdir()
    radiograph = read_radiograph(save_dataset(folder / "an image.dcm", ds))
    assert radiograph.header is not None
    assert str(radiograph.header.PatientName).startswith("山田")
    assert radiograph.header[0x00111001].value[0][0x00091001].value == "deep"


WARNED: dict[str, tuple[Spec, str]] = {
    "no view": (Spec().with_(ViewPosition=None, ViewCodeSequence=None), "no_view_position"),
    "AP": (Spec().with_(ViewPosition="AP"), "view_ap"),
    "AP by code": (
        Spec(sop="CR").with_(ViewPosition=None, ViewCodeSequence=build().AnatomicRegionSequence),
        "no_view_position",
    ),
    "oblique": (Spec().with_(ViewPosition="LAO"), "view_unusual"),
    "no spacing": (Spec(sop="CR", spacing="none"), "no_spacing"),
    "zero spacing": (Spec(sop="CR", spacing="zero"), "no_spacing"),
    "several windows": (Spec(voi="two"), "several_windows"),
    "no VOI": (Spec(voi="none"), "no_voi"),
    "padding": (Spec(sop="CR", padding=True), "padding"),
    "lossy": (Spec().with_(LossyImageCompression="01"), "lossy_source"),
    "MONOCHROME1": (Spec(photometric="MONOCHROME1"), "monochrome1"),
    "aspect": (Spec(rows=200, columns=100), "aspect"),
    "no body part": (Spec(sop="CR").with_(BodyPartExamined=None), "no_body_part"),
    "body part unknown": (Spec(sop="CR").with_(BodyPartExamined="UNKNOWN"), "no_body_part"),
    "anisotropic": (Spec(spacing="anisotropic"), "anisotropic_pixels"),
    "scanned film": (Spec(sop="SC"), "sc_source"),
    "missing attributes": (Spec().with_(PatientID=None), "missing_attributes"),
    "empty type 1": (Spec().with_(Modality=""), "missing_attributes"),
    "mirrored": (Spec().with_(PatientOrientation=["R", "F"]), "orientation"),
}


@pytest.mark.parametrize("name", WARNED)
def test_read_with_a_warning(name: str, make_file: MakeFile) -> None:
    spec, code = WARNED[name]
    assert code in codes(make_file(spec))


def test_a_plain_file_draws_no_warning(make_file: MakeFile) -> None:
    assert codes(make_file()) == []


def test_overlays_are_ignored_with_a_warning(tmp_path: Path) -> None:
    ds = build()
    ds.add_new(0x60000010, "US", ds.Rows)
    ds.add_new(0x60000011, "US", ds.Columns)
    ds.add_new(0x60003000, "OW", b"\xff" * (120 * 96 // 8))
    path = save_dataset(tmp_path / "a.dcm", ds)
    assert codes(path) == ["overlays"]
    plain = read_radiograph(save(tmp_path / "b.dcm"))
    assert read_radiograph(path).sha256 == plain.sha256


def test_padding_is_not_valid_not_shown_and_not_counted(make_file: MakeFile) -> None:
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        spec = Spec(sop="CR", photometric=photometric, padding=True, voi="none")
        radiograph = read_radiograph(make_file(spec))
        assert not radiograph.valid[:, :4].any()
        assert radiograph.valid[:, 4:].all()
        assert (radiograph.pixels[:, :4] == 0.0).all()
        inner = radiograph.pixels[:, 4:]
        assert inner.min() == 0.0
        assert inner.max() == 1.0


def test_a_padding_range_counts_whole(make_file: MakeFile) -> None:
    spec = Spec(sop="CR", padding=True).with_(PixelPaddingRangeLimit=400)
    radiograph = read_radiograph(make_file(spec))
    assert radiograph.padding == (0, 400)
    np.testing.assert_array_equal(radiograph.valid, radiograph.stored > 400)


def test_a_signed_padding_value_written_as_unsigned_is_understood(tmp_path: Path) -> None:
    ds = build(Spec(sop="CR", bits=12, signed=True, padding=True, slope=1.0))
    del ds.PixelPaddingValue
    ds.add_new(0x00280120, "US", 65536 - 2048)
    radiograph = read_radiograph(save_dataset(tmp_path / "a.dcm", ds))
    assert radiograph.padding == (-2048, -2048)
    assert not radiograph.valid[:, :4].any()


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


def test_arrays_cannot_be_written_to(make_file: MakeFile) -> None:
    radiograph = read_radiograph(make_file())
    for array in (radiograph.pixels, radiograph.valid, radiograph.stored):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 0


def test_the_header_holds_no_path(make_file: MakeFile) -> None:
    radiograph = read_radiograph(make_file(name="DOE_JANE.dcm"))
    assert "DOE_JANE" not in repr(vars(radiograph.header))


def test_reading_leaves_no_file(make_file: MakeFile, nothing_left: Callable[[], None]) -> None:
    path = make_file()
    nothing_left()
    assert read_radiograph(path).shape == (120, 96)


def test_the_reader_imports_fast_and_light() -> None:
    script = (
        "import sys, time; start = time.perf_counter(); import monai_cxr_cf.dicom.read; "
        "print(time.perf_counter() - start, *sorted({'torch', 'monai', 'highdicom', 'scipy', "
        "'SimpleITK', 'diffusers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    seconds, *loaded = done.stdout.split()
    assert loaded == []
    assert float(seconds) < 5.0  # typically 0.5; a loaded machine may need longer


def test_real_radiographs_read_the_same_from_both_encodings(shared: Path) -> None:
    folder = shared / "data" / "dicom"
    native = read_radiograph(folder / "RG1_UNCR.dcm")
    coded = read_radiograph(folder / "RG1_J2KR.dcm")
    assert native.sha256 == coded.sha256
    assert native.shape == (1955, 1841)
    assert native.polarity == "MONOCHROME1"
    assert native.spacing.physical is None  # the file holds 0\0
    theirs = highdicom.imread(folder / "RG1_UNCR.dcm").get_frame(
        1, apply_voi_transform=True, apply_presentation_lut=True, voi_output_range=(0.0, 1.0)
    )
    np.testing.assert_allclose(native.pixels, theirs, atol=1e-4)


def test_a_real_extremity_is_refused(shared: Path) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        read_radiograph(shared / "data" / "dicom" / "RG3_J2KR.dcm")
    assert caught.value.code == "body_part"


def test_a_real_baseline_jpeg_is_read(shared: Path) -> None:
    radiograph = read_radiograph(shared / "data" / "dicom" / "SIIM_PA_JPEG.dcm")
    assert radiograph.shape == (1024, 1024)
    assert {"sc_source", "lossy_source", "no_voi"} <= {code for code, _ in radiograph.warnings}
    assert radiograph.spacing.display == (0.168, 0.168)
