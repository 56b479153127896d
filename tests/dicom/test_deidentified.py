# SPDX-License-Identifier: Apache-2.0
"""Which marks survive the basic profile of PS3.15 Annex E, at its strictest; the page says so.

``ACTIONS`` is Table E.1-1 for every attribute that we write; what the table does not list stays.
Where it offers a choice (X/Z/D), the harshest is taken.
"""

import re
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from monai_cxr_cf.dicom.marks import MARKS, expected, is_ours, marks_of, role_of
from monai_cxr_cf.dicom.record import Member, OutputOptions
from monai_cxr_cf.dicom.writing.banner import write_banner
from monai_cxr_cf.dicom.writing.plan import plan_output
from tests.dicom.factory import Spec, save
from tests.dicom.written import RECORD, case_of, plan_of, write_everything

ACTIONS = {
    "X": (
        *("ContributionDescription", "DerivationDescription", "ImageComments", "PatientAge"),
        *("PresentationCreationDate", "PresentationCreationTime", "SeriesDescription"),
        *("DeviceSerialNumber", "ReferencedPerformedProcedureStepSequence"),
        *("AcquisitionContextSequence", "AcquisitionDate", "AcquisitionTime"),
        *("ReferencedImageSequence", "SourceImageSequence"),
    ),
    "Z": (
        *("AccessionNumber", "PatientBirthDate", "PatientName", "PatientSex", "StudyID"),
        *("ReferringPhysicianName", "StudyDate", "StudyTime", "ContentCreatorName"),
        *("ContentDate", "ContentTime", "PatientID"),
    ),
    "D": ("ContentSequence", "GraphicAnnotationSequence"),
    "U": (
        *("DimensionOrganizationUID", "FrameOfReferenceUID", "ReferencedSOPInstanceUID"),
        *("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "TrackingUID", "UID"),
    ),
}
OVERLAY_DATA, OVERLAY_COMMENTS = 0x3000, 0x4000  # of any group 60xx: X
OTHER_WRITER = "1.2.826.0.1.3680043.8.498.1"
LOST = {"SeriesDescription", "DerivationDescription", "OverlayData", "SourceImageSequence",
        "ImplementationClassUID"}  # fmt: skip


def deidentified(ds: Dataset) -> Dataset:
    """The dataset after the profile, written by another program."""
    clean = _clean(ds)
    clean.PatientIdentityRemoved = "YES"
    clean.file_meta = ds.file_meta
    clean.file_meta.ImplementationClassUID = OTHER_WRITER
    return clean


def _clean(ds: Dataset) -> Dataset:
    out = Dataset()
    for element in ds:
        overlay = 0x6000 <= element.tag.group <= 0x60FF
        if element.tag.is_private or element.keyword in ACTIONS["X"]:
            continue
        if overlay and element.tag.elem in (OVERLAY_DATA, OVERLAY_COMMENTS):
            continue
        value = element.value
        if element.keyword in ACTIONS["Z"]:
            value = None
        elif element.keyword in ACTIONS["D"]:
            value = Sequence([Dataset()])
        elif element.keyword in ACTIONS["U"]:
            value = f"{OTHER_WRITER}.{abs(hash(str(value)))}"
        elif element.VR == "SQ":
            value = Sequence([_clean(item) for item in value])
        out.add_new(element.tag, element.VR, value)
    return out


@pytest.fixture(params=["sc", "same"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Dataset]:
    """Role -> dataset of every object that we write."""
    case = case_of(save(tmp_path / "source.dcm", Spec()))
    options = OutputOptions(iod=request.param)
    members = [Member(case.member.stored, "severity 1")]
    plan = plan_output(case.radiograph, members, record=RECORD, options=options)
    files = write_everything(plan, case, tmp_path / "out")
    paths = [f.path for f in files if f.sop_uid]
    paths.append(write_banner([f.path for f in files if f.role == "cf"], tmp_path).path)
    found = [dcmread(path) for path in paths]
    assert "severity 1" in found[0].ImageComments
    return {role_of(ds): ds for ds in found}


def test_every_object_is_known_as_ours_and_as_synthetic_afterwards(
    objects: dict[str, Dataset],
) -> None:
    assert set(objects) == {"counterfactual", "difference", "masks", "report", "banner"}
    for role, ds in objects.items():
        wanted = expected(ds)
        assert all(marks_of(ds)[name] for name in wanted)
        after = deidentified(ds)
        left = marks_of(after)
        assert role_of(after) == role
        assert is_ours(left)
        assert {name for name in wanted if not left[name]} == LOST & set(wanted), role
        assert after.get("SyntheticData") == (None if role == "masks" else "YES")


def test_the_patient_is_gone_and_so_is_every_word_of_the_request(
    objects: dict[str, Dataset],
) -> None:
    for role, ds in objects.items():
        text = str(deidentified(ds))
        assert "Phantom^" not in text, role
        assert "moderate left pleural effusion" not in text, role
    before = str(objects["counterfactual"])
    assert "Phantom^" in before
    assert "moderate left pleural effusion" in before


def test_the_page_tells_what_survives(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "dicom-conformance.md").read_text(encoding="utf-8")
    section = page.split("### 7.1")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| (\w+)[^|]*\| (stays|lost)", section, re.MULTILINE))
    assert {name: rows.get(name) for name in MARKS} == {
        name: "lost" if name in LOST else "stays" for name in MARKS
    }
    case = case_of(save(tmp_path / "source.dcm", Spec()))
    files = write_everything(plan_of(case), case, tmp_path / "out")
    left = marks_of(deidentified(dcmread(files[0].path)))
    assert {name for name in MARKS if not left[name]} == LOST
