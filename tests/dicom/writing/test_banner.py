# SPDX-License-Identifier: Apache-2.0
"""The banner: a presentation state without errors, the same each time, that hides no window."""

from pathlib import Path

import pytest
from pydicom import dcmread

from monai_cxr_cf.dicom.writing.banner import TEXT, write_banner
from monai_cxr_cf.dicom.writing.write import write_counterfactuals
from monai_cxr_cf.errors import BadRequest
from tests.dicom.factory import KINDS, save
from tests.dicom.peers import dciodvfy_errors
from tests.dicom.written import ALL_KINDS, case_of, plan_of


def image_of(kind: str, folder: Path) -> Path:
    """A counterfactual of a source of this kind."""
    case = case_of(save(folder / f"{kind}.dcm", ALL_KINDS[kind]))
    return write_counterfactuals(plan_of(case), folder / kind)[0].path


@pytest.mark.conformance
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_dciodvfy_finds_no_error(kind: str, tmp_path: Path) -> None:
    assert not dciodvfy_errors(write_banner([image_of(kind, tmp_path)], tmp_path).path)


def test_it_says_synthetic_over_the_image_and_keeps_patient_study_and_window(
    tmp_path: Path,
) -> None:
    path = image_of("cr-mono1-10", tmp_path)
    image, banner = dcmread(path), dcmread(write_banner([path], tmp_path).path)
    note = banner.GraphicAnnotationSequence[0]
    assert note.TextObjectSequence[0].UnformattedTextValue == TEXT
    referenced = note.ReferencedImageSequence[0].ReferencedSOPInstanceUID
    assert referenced == image.SOPInstanceUID
    assert (banner.SyntheticData, banner.PresentationLUTShape) == ("YES", "INVERSE")
    assert banner.SoftcopyVOILUTSequence[0].WindowCenter == image.WindowCenter
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate"):
        assert banner[keyword].value == image[keyword].value


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    path = image_of("dx-mono2-12", tmp_path)
    one, two = (write_banner([path], tmp_path / name).path for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_images_of_two_series_are_refused(tmp_path: Path) -> None:
    images = [image_of(kind, tmp_path) for kind in list(KINDS)[:2]]
    with pytest.raises(BadRequest):
        write_banner(images, tmp_path)
