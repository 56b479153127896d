# SPDX-License-Identifier: Apache-2.0
"""Warnings of the reader: legal files that a reader of the result should know about; padding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.reading.matrix import Matrix, check_padding
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.errors import UnsupportedImage
from tests.dicom.conftest import MakeFile
from tests.dicom.factory import Spec, build, code, save, save_dataset


def codes(path: Path, **options: Any) -> list[str]:
    """The codes of the warnings that reading gives."""
    return [each for each, _ in read_radiograph(path, options=ReadOptions(**options)).warnings]


WARNED: dict[str, tuple[Spec, str]] = {
    "no view": (Spec().with_(ViewPosition=None, ViewCodeSequence=None), "no_view_position"),
    "AP": (Spec().with_(ViewPosition="AP"), "view_ap"),
    "AP by code": (
        Spec(sop="CR").with_(
            ViewPosition=None, ViewCodeSequence=code("399348003", "SCT", "antero-posterior")
        ),
        "view_ap",
    ),
    "lordotic": (Spec().with_(ViewPosition="LORDOTIC"), "view_unusual"),
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
    spec, warning = WARNED[name]
    assert warning in codes(make_file(spec))


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


def test_a_window_that_shows_the_image_as_one_grey_is_refused_beside_padding_too(
    make_file: MakeFile,
) -> None:
    """Padding is shown as 0 and counts in nothing: white everywhere else is still one grey."""
    spec = Spec(sop="CR", padding=True).with_(WindowCenter=-900, WindowWidth=100)
    with pytest.raises(UnsupportedImage) as caught:
        read_radiograph(make_file(spec))
    assert caught.value.code == "constant_display"


def test_one_value_beside_padding_is_no_image(tmp_path: Path) -> None:
    pixels = np.full((120, 96), 700, np.uint16)
    pixels[:, :4] = 0
    with pytest.raises(UnsupportedImage) as caught:
        read_radiograph(save(tmp_path / "a.dcm", Spec(sop="CR", padding=True), pixels))
    assert caught.value.code == "constant_image"
    assert "the same everywhere" in caught.value.message


def test_the_share_of_padding_is_told(make_file: MakeFile) -> None:
    radiograph = read_radiograph(make_file(Spec(sop="CR", padding=True, columns=80)))
    assert ("padding", "5.0 % of the pixels are padding, never edited.") in radiograph.warnings


@pytest.mark.parametrize(
    ("value", "limit", "signed", "expected"),
    [
        (5, None, False, (5, 5)),
        (9, 5, False, (5, 9)),
        (5, 9, False, (5, 9)),
        (65535, None, True, (-1, -1)),  # written as unsigned
        (32768, None, True, (-32768, -32768)),
        (32767, None, True, (32767, 32767)),
        (0, 65534, True, (-2, 0)),
        (-1, None, False, (65535, 65535)),  # written as signed
        (0, None, False, (0, 0)),
    ],
)
def test_padding_is_read_as_the_pixels_are(
    value: int, limit: int | None, signed: bool, expected: tuple[int, int]
) -> None:
    ds = Dataset()
    vr = "SS" if value < 0 else "US"
    ds.add_new(0x00280120, vr, value)
    if limit is not None:
        ds.add_new(0x00280121, "US", limit)
    assert check_padding(ds, Matrix(8, 8, 16, 16, signed)) == expected
    assert check_padding(Dataset(), Matrix(8, 8, 16, 16, signed)) is None


def test_a_limit_alone_is_no_padding() -> None:
    ds = Dataset()
    ds.add_new(0x00280121, "US", 9)
    assert check_padding(ds, Matrix(8, 8, 16, 16, False)) is None


def test_a_padding_range_holds_its_two_ends(tmp_path: Path) -> None:
    ramp = np.arange(120 * 96, dtype=np.uint16).reshape(120, 96) % 4096
    spec = Spec(sop="CR").with_(PixelPaddingValue=1400, PixelPaddingRangeLimit=1500)
    radiograph = read_radiograph(save(tmp_path / "a.dcm", spec, ramp))
    np.testing.assert_array_equal(radiograph.valid, (ramp < 1400) | (ramp > 1500))
