# SPDX-License-Identifier: Apache-2.0
"""The structured report holds request, seeds, weights, trace, change outside and scores."""

from pathlib import Path

import highdicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.writing.plan import plan_output
from monai_cxr_cf.dicom.writing.sr import write_structured_report
from monai_cxr_cf.errors import BadRequest
from tests.dicom.factory import Spec, save
from tests.dicom.written import RECORD, Case, case_of, plan_of, record_with, write_everything


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """An edit of a 12-bit DX."""
    return case_of(save(tmp_path / "source.dcm", Spec()))


def report_of(case: Case, folder: Path, record: object = RECORD) -> Dataset:
    """The SR as read back."""
    write_everything(plan_of(case, record=record), case, folder)  # type: ignore[arg-type]
    return dcmread(folder / "sr.dcm")


def texts(ds: Dataset) -> str:
    """All text values of the content tree."""
    return "\n".join(e.value for e in ds.iterall() if e.keyword == "TextValue")


def numbers(ds: Dataset) -> dict[str, float]:
    """Meaning -> value of every numeric item."""
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for element in ds.iterall()
        if element.keyword == "ContentSequence"
        for item in element.value
        if item.ValueType == "NUM"
    }


def test_report_tells_the_whole_run(case: Case, tmp_path: Path) -> None:
    ds = report_of(case, tmp_path)
    told = texts(ds)
    for part in (RECORD.request_json, RECORD.request_sha256, "a" * 64, "CC-BY-NC-4.0",
                 '"energy": 1.5', RECORD.region, "seeds=[7]", '"accepted": true'):  # fmt: skip
        assert part in told
    assert numbers(ds) == {
        codes.STRENGTH.meaning: 0.7, codes.OUTSIDE_MAX.meaning: 0.0,
        codes.BEFORE.meaning: 0.1, codes.AFTER.meaning: 0.83,
    }  # fmt: skip
    assert "12.5" not in told, "wall time does not repeat and stays in report.json"


def test_report_is_tid_1500_and_its_groups_are_found_by_highdicom(
    case: Case, tmp_path: Path
) -> None:
    report_of(case, tmp_path)
    sr = highdicom.sr.srread(tmp_path / "sr.dcm")
    groups = sr.content.get_image_measurement_groups()
    assert [g.finding_type.meaning for g in groups] == [
        codes.EDIT.meaning, "Pleural effusion", codes.UNCODED_FINDING.meaning
    ]  # fmt: skip
    done = [g.get_qualitative_evaluations()[0].value.meaning for g in groups[1:]]
    assert done == ["Added", "Removed"]
    strength = highdicom.sr.CodedConcept(*codes.STRENGTH)
    assert groups[0].get_measurements(strength)[0].value == 0.7


def test_report_points_at_source_counterfactual_difference_and_masks(
    case: Case, tmp_path: Path
) -> None:
    files = write_everything(plan_of(case), case, tmp_path)
    ds = dcmread(tmp_path / "sr.dcm")
    held = {
        instance.ReferencedSOPInstanceUID
        for keyword in ("CurrentRequestedProcedureEvidenceSequence",
                        "PertinentOtherEvidenceSequence")
        for study in ds.get(keyword, [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }  # fmt: skip
    images = {f.sop_uid for f in files if f.role in ("cf", "diff", "seg")}
    assert held == {case.radiograph.source_sop_uid, *images}


def test_report_is_marked_synthetic_and_keeps_patient_and_study(case: Case, tmp_path: Path) -> None:
    ds = report_of(case, tmp_path)
    assert ds.SyntheticData == "YES"
    assert ds.SeriesDescription.startswith("SYNTHETIC")
    assert ds.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == codes.PRIVATE_SCHEME
    assert (ds.PatientID, ds.StudyInstanceUID) == (
        "PH-0001", case.radiograph.header.StudyInstanceUID
    )  # fmt: skip
    assert (ds.ContentDate, ds.VerificationFlag) == ("20200102", "UNVERIFIED")


def test_another_trace_makes_another_report(case: Case, tmp_path: Path) -> None:
    one = report_of(case, tmp_path / "one")
    two = report_of(case, tmp_path / "two", record_with(trace={"F": 41.0}))
    assert one.SOPInstanceUID != two.SOPInstanceUID
    three = report_of(case, tmp_path / "three", record_with(run={"seconds": 99}))
    assert one.SOPInstanceUID == three.SOPInstanceUID


def test_words_beyond_ascii_survive(case: Case, tmp_path: Path) -> None:
    ds = report_of(case, tmp_path, record_with(request_json='{"prompt":"derrame – izquierdo"}'))
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert "derrame – izquierdo" in texts(ds)


def test_masks_alone_have_nothing_to_report(case: Case, tmp_path: Path) -> None:
    plan = plan_output(case.radiograph, (), record=RECORD)
    with pytest.raises(BadRequest, match="needs a counterfactual"):
        write_structured_report(plan, [], tmp_path)
