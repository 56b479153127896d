# SPDX-License-Identifier: Apache-2.0
"""Numbers that are none, anywhere in a header: absent with a warning, or refused by name.

What a picture needs is refused; all else is left out and named, and the files that are made from
it are whole. Nothing comes up later than reading.
"""

from pathlib import Path

import pytest

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_radiograph
from monai_cxr_cf.dicom.record import OutputOptions
from monai_cxr_cf.dicom.values import finite
from monai_cxr_cf.errors import CxrError
from tests.dicom.factory import Spec
from tests.dicom.rawfile import save_raw
from tests.dicom.written import case_of, plan_of, write_everything

CR = Spec(sop="CR")
NO_NUMBERS = [
    b"1,5", b"about 3", b"3 mm", b"3.0.1", b"--3", b"0x10", b"1_000", b"nan", b"inf", b"-INF",
    b"1e400", b"N/A", b"3/4", b"1:2", b"1.5\\x", b"\xb2", "٣".encode(), b"1;5", b"1e", b".",
]  # fmt: skip
NOT_NEEDED = [
    "PatientWeight", "PatientSize", "KVP", "Exposure", "ExposureTime", "XRayTubeCurrent",
    "DistanceSourceToDetector", "DistanceSourceToPatient", "SeriesNumber", "InstanceNumber",
    "AcquisitionNumber", "PixelAspectRatio", "LossyImageCompressionRatio", "FocalSpots",
    "Sensitivity", "RelativeXRayExposure", "EntranceDoseInmGy", "ImagesInAcquisition",
    "NumberOfStudyRelatedInstances", "DetectorTemperature",
    "ExposureDoseSequence.FilterThicknessMinimum", "PatientSizeCodeSequence.NumericValue",
    "RequestAttributesSequence.NumberOfFrames", "ContributingEquipmentSequence.SpatialResolution",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(NO_NUMBERS)))
def test_a_number_that_nobody_needs_is_left_out_and_named(number: int, tmp_path: Path) -> None:
    values = {name: NO_NUMBERS[(number + i) % 20] for i, name in enumerate(NOT_NEEDED)}
    path = save_raw(tmp_path / "a.dcm", CR, values)
    told = dict(read_radiograph(path).warnings)["damaged_attributes"]
    named = told.removeprefix("Left out, as they cannot be parsed: ").rstrip(".").split(", ")
    assert sorted(named) == sorted(name.rpartition(".")[2] for name in NOT_NEEDED)
    case = case_of(path)
    for iod in ("sc", "same"):
        files = write_everything(plan_of(case, OutputOptions(iod=iod)), case, tmp_path / iod)
        assert len(files) == 5


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing"])
@pytest.mark.parametrize(
    "value",
    [
        *(b"0,2\\0,2", b"0.2mm\\0.2mm", b"0.2x0.2", b"nan\\nan", b"0.2", b"0.2\\", b"0.2\\0.2\\1"),
        *(b"0\\0", b"-0.2\\-0.2", b"1e30\\1e30", b"1e-30\\1e-30", b"0_2\\0_2", b"\\", b"0.2\\0"),
        *(b"inf\\inf", b"0.2\\n/a"),
    ],
)
def test_a_spacing_that_is_none_is_no_spacing_and_named(
    keyword: str, value: bytes, tmp_path: Path
) -> None:
    spec = Spec(sop="CR", spacing="none")
    radiograph = read_radiograph(save_raw(tmp_path / "a.dcm", spec, {keyword: value}))
    assert (radiograph.spacing.physical, radiograph.spacing.display) == (None, None)
    told = dict(radiograph.warnings)
    assert "no_spacing" in told
    assert keyword in told.get("unusable_spacing", "") + told.get("damaged_attributes", "")


NEEDED: dict[str, tuple[dict[str, bytes], str]] = {
    "frames in words": ({"NumberOfFrames": b"one"}, "NumberOfFrames is not one whole number"),
    "frames and a half": ({"NumberOfFrames": b"1.5"}, "NumberOfFrames"),
    "two frame counts": ({"NumberOfFrames": b"1\\1"}, "NumberOfFrames is not one whole number"),
    "slope with a comma": ({"RescaleSlope": b"1,0", "RescaleIntercept": b"0"}, "RescaleSlope is"),
    "slope nan": ({"RescaleSlope": b"nan", "RescaleIntercept": b"0"}, "RescaleSlope is not a fin"),
    "slope with a digit group": ({"RescaleSlope": b"1_0", "RescaleIntercept": b"0"}, "RescaleSl"),
    "two slopes": ({"RescaleSlope": b"1\\2", "RescaleIntercept": b"0"}, "RescaleSlope has 2 val"),
    "huge slope": ({"RescaleSlope": b"1e30", "RescaleIntercept": b"0"}, "RescaleSlope is too l"),
    "intercept in words": ({"RescaleSlope": b"1", "RescaleIntercept": b"none"}, "RescaleIntercept"),
    "two intercepts": ({"RescaleSlope": b"1", "RescaleIntercept": b"0\\1"}, "RescaleIntercept has"),
    "centre with a comma": ({"WindowCenter": b"2048,5"}, "WindowCenter is not a finite number"),
    "centre with a unit": ({"WindowCenter": b"40 HU"}, "WindowCenter is not a finite number"),
    "width auto": ({"WindowWidth": b"auto"}, "WindowWidth is not a finite number"),
    "width infinite": ({"WindowWidth": b"inf"}, "WindowWidth is not a finite number"),
    "second width missing": ({"WindowWidth": b"4096\\"}, "WindowWidth is not a finite number"),
    "huge width": ({"WindowWidth": b"1e20"}, "WindowCenter or WindowWidth is beyond"),
    "more centres than widths": ({"WindowCenter": b"1\\2"}, "WindowCenter has 2 values"),
}
BINARY: dict[str, tuple[dict[str, bytes], dict[str, str], str]] = {
    "rows of three bytes": ({"Rows": b"\x78\x00\x00\x00"}, {}, "Rows is not one whole number"),
    "rows as a double": ({"Rows": b"\0\0\0\0\0\0\xf8\x7f"}, {"Rows": "FD"}, "Rows is not one"),
    "rows in words": ({"Rows": b"many"}, {"Rows": "LO"}, "Rows is not one whole number"),
    "no bits": ({"BitsAllocated": b""}, {}, "BitsAllocated is missing"),
    "bits and a half": ({"BitsStored": b"11.5"}, {"BitsStored": "DS"}, "BitsStored is not one"),
    "padding of one byte": ({"PixelPaddingValue": b"\0\0\0\0\0\0"}, {}, "PixelPaddingValue"),
}


@pytest.mark.parametrize("kind", [*NEEDED, *BINARY])
def test_a_number_that_the_picture_needs_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    values, vrs, words = (
        (*NEEDED[kind][:1], {}, NEEDED[kind][1]) if kind in NEEDED else BINARY[kind]
    )
    path = save_raw(tmp_path / "a.dcm", CR, values, vrs)
    with pytest.raises(CxrError) as refused:
        read_radiograph(path)
    assert words in refused.value.message
    assert refused.value.exit_code == 2
    if "Window" in words:
        assert "--ignore-voi" in str(refused.value)
        ours = read_radiograph(path, options=ReadOptions(ignore_voi=True))
        assert ours.voi.origin.startswith("percentile")


@pytest.mark.parametrize(
    "value", [b"0.143999993801117", b"1.44E-1", b"+.2", b" 0.2", b"0.2 ", b"00.2", b"2.E-1"]
)
def test_a_number_in_an_odd_but_legal_form_is_read(value: bytes, tmp_path: Path) -> None:
    path = save_raw(tmp_path / "a.dcm", CR, {"ImagerPixelSpacing": value + b"\\" + value})
    radiograph = read_radiograph(path)
    assert radiograph.spacing.physical == (float(value), float(value))
    assert "damaged_attributes" not in dict(radiograph.warnings)


def test_text_is_a_number_by_the_grammar_of_dicom_alone() -> None:
    for text, number in (("1", 1.0), (" -2.5e1 ", -25.0), (".5", 0.5), ("7.\0", 7.0), (3, 3.0)):
        assert finite(text) == number
    for text in ("", "1_0", "nan", "infinity", "0x1", "1,0", "٣", b"1", None, [1.0], "1e999"):
        assert finite(text) != finite(text), text  # nan
