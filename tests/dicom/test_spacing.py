# SPDX-License-Identifier: Apache-2.0
"""Spacing: what GDCM applies and what a millimetre is, each with its origin, none invented."""

from pathlib import Path

import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.spacing import SC_CLASS, display_spacing, read_spacing
from tests.dicom.factory import SOP_CLASSES, Spec, save

IPS, PS, NOMINAL = [0.2, 0.2], [0.18, 0.18], [0.17, 0.17]


def header(sop: str, **values: object) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = SOP_CLASSES[sop]
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


TABLE = [
    ("DX", {"ImagerPixelSpacing": IPS}, IPS, IPS, "ImagerPixelSpacing"),
    (
        "DX",
        {"ImagerPixelSpacing": IPS, "PixelSpacing": PS, "PixelSpacingCalibrationType": "GEOMETRY"},
        IPS,
        PS,
        "PixelSpacing (calibrated)",
    ),
    (
        "CR",
        {"ImagerPixelSpacing": IPS, "PixelSpacing": PS},
        IPS,
        PS,
        "PixelSpacing (differs from ImagerPixelSpacing)",
    ),
    (
        "CR",
        {"ImagerPixelSpacing": IPS, "EstimatedRadiographicMagnificationFactor": 1.25},
        IPS,
        [0.16, 0.16],
        "ImagerPixelSpacing / magnification",
    ),
    ("CR", {"PixelSpacing": PS}, None, PS, "PixelSpacing (calibration not stated)"),
    ("SC", {"PixelSpacing": PS}, PS, PS, "PixelSpacing (calibration not stated)"),
    ("SC", {"PixelSpacing": PS, "NominalScannedPixelSpacing": NOMINAL}, PS, PS, "*"),
    ("SC", {"NominalScannedPixelSpacing": NOMINAL}, NOMINAL, NOMINAL, "*"),
    ("SC", {"ImagerPixelSpacing": IPS}, None, IPS, "ImagerPixelSpacing"),
    ("CR", {}, None, None, "none"),
    ("CR", {"PixelSpacing": [0, 0]}, None, None, "none"),
    ("DX", {"ImagerPixelSpacing": [0.2, 0]}, None, None, "none"),
    ("DX", {"ImagerPixelSpacing": [0.2, -0.2]}, None, None, "none"),
]


@pytest.mark.parametrize(("sop", "values", "display", "physical", "origin"), TABLE)
def test_spacing_follows_the_table(
    sop: str,
    values: dict[str, object],
    display: list[float] | None,
    physical: list[float] | None,
    origin: str,
) -> None:
    spacing = read_spacing(header(sop, **values))
    assert spacing.display == (tuple(display) if display else None)
    assert spacing.physical == (pytest.approx(tuple(physical)) if physical else None)
    assert origin in ("*", spacing.physical_origin)
    assert (spacing.display_origin == "none") == (display is None)


@pytest.mark.parametrize("sop", ["DX", "CR", "SC"])
@pytest.mark.parametrize("spacing", ["plain", "calibrated", "none"])
def test_display_spacing_is_what_simpleitk_applies(sop: str, spacing: str, tmp_path: Path) -> None:
    from pydicom import dcmread

    if (sop, spacing) == ("SC", "calibrated"):
        spacing = "plain"
    path = save(tmp_path / "a.dcm", Spec(sop=sop, spacing=spacing))
    column, row = sitk.ReadImage(str(path)).GetSpacing()[:2]
    expected, _ = display_spacing(dcmread(path))
    assert (row, column) == pytest.approx(expected or (1.0, 1.0))


def test_the_sc_class_is_the_standard_s() -> None:
    assert SOP_CLASSES["SC"] == SC_CLASS


def test_anisotropic_pixels_are_noticed_and_json_holds_the_origins() -> None:
    spacing = read_spacing(header("DX", ImagerPixelSpacing=[0.2, 0.3]))
    assert spacing.anisotropic
    assert spacing.as_dict()["display_origin"] == "ImagerPixelSpacing"
    assert not read_spacing(header("DX", ImagerPixelSpacing=IPS)).anisotropic
    assert not read_spacing(header("CR")).anisotropic
