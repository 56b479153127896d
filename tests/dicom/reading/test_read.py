# SPDX-License-Identifier: Apache-2.0
"""Reading: every accepted kind of file, its warnings, and the picture that other readers show."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.errors import UnsupportedImage
from tests.dicom.conftest import MakeFile
from tests.dicom.factory import KINDS, Spec, build, phantom, save, save_dataset


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
        "import sys, time; start = time.process_time(); import monai_cxr_cf.dicom.reading.read; "
        "print(time.process_time() - start, *sorted({'torch', 'monai', 'highdicom', 'scipy', "
        "'SimpleITK', 'diffusers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    seconds, *loaded = done.stdout.split()
    assert loaded == []
    assert 0 < float(seconds) < 3.0  # of a processor, whoever else uses the machine


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
