# SPDX-License-Identifier: Apache-2.0
"""Warnings of the reader: legal files that a reader of the result should know about; padding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_cxr_cf.dicom.read import ReadOptions, read_radiograph
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
