# SPDX-License-Identifier: Apache-2.0
"""The structured report: what was edited and what was measured, as Comprehensive SR, TID 1500.

In: an ``OutputPlan`` and the DICOM files already written. Out: ``sr.dcm``, anchored on images; an
anchor on a SEG frame draws two dciodvfy errors (docs/dicom-conformance.md 4.5).
"""

import json
from collections.abc import Mapping
from collections.abc import Sequence as Items
from hashlib import sha256
from pathlib import Path
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.record import FindingRecord, WrittenFile, plain
from monai_cxr_cf.dicom.writing.fileio import load, save
from monai_cxr_cf.dicom.writing.inherit import declare_characters, patient_and_study
from monai_cxr_cf.dicom.writing.marking import (
    MANUFACTURER,
    MODEL,
    equip,
    identify_strictly,
    mark_synthetic,
)
from monai_cxr_cf.dicom.writing.plan import OutputPlan
from monai_cxr_cf.dicom.writing.report import facts
from monai_cxr_cf.dicom.writing.uids import SeriesIds, stable_uid
from monai_cxr_cf.errors import BadRequest


def write_structured_report(
    plan: OutputPlan, files: Items[WrittenFile], folder: Path
) -> WrittenFile:
    """Write ``folder/sr.dcm`` about the counterfactuals among ``files``.

    Args:
        plan: from ``plan_output``.
        files: what was written so far; its DICOM files become the report's evidence.
        folder: the output folder.

    Raises:
        BadRequest: there is no counterfactual to report on.
    """
    if not plan.members:
        raise BadRequest("A structured report needs a counterfactual.", code="nothing_to_report")
    ds = structured_report_dataset(plan, files)
    return save(ds, folder / "sr.dcm", role="sr")


def structured_report_dataset(plan: OutputPlan, files: Items[WrittenFile]) -> Dataset:
    """The SR complete but for file meta."""
    evidence = _evidence(plan, files)
    told = json.dumps(facts(plan), sort_keys=True)
    uids = [str(item.SOPInstanceUID) for item in evidence]
    ids = plan.ids("sr", [sha256("\n".join([told, *uids]).encode()).hexdigest()])
    with withheld():
        ds = ComprehensiveSR(
            evidence=evidence,
            content=_content(plan, ids, evidence)[0],
            series_instance_uid=ids.series_uid,
            series_number=ids.number,
            sop_instance_uid=ids.sop_uids[0],
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
        )
    identify_strictly(ds, plan, ids)
    for element in patient_and_study(plan.header):
        ds.add(element)
    equip(ds, plan)
    mark_synthetic(ds, "counterfactual CXR: report")
    return declare_characters(ds, plan.unicode)


def write_explanation(
    report: Path, path: Path, *, name: str, classifier: tuple[str, str],
    values: Mapping[codes.Concept, float], told: Items[str],
) -> WrittenFile:  # fmt: skip
    """A copy of an edit's ``sr.dcm`` with what a classifier says of the edit; its own instance.

    ``told`` are sentences, such as the verdict; ``classifier`` is its name and digest.
    """
    ds = load(report)
    (place,) = (item for item in ds.ContentSequence if item.ValueType == "CONTAINER")
    images = [
        SourceImageForMeasurementGroup(each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID)
        for item in place.ContentSequence[0].ContentSequence
        for each in item.get("ReferencedSOPSequence", ())
    ]
    words = [str(ds.SOPInstanceUID), name, *classifier, *told, *map(str, values.items())]
    if not "".join(words).isascii():
        ds.decode()
        ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SeriesInstanceUID, ds.SOPInstanceUID = (stable_uid(k, *words) for k in ("series", "report"))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=stable_uid("tracking", *words), identifier=name),
        finding_type=_coded(codes.EDIT),
        algorithm_id=AlgorithmIdentification(*classifier, parameters=list(told)),
        measurements=[_number(concept, value) for concept, value in values.items()],
        source_images=images,
    )
    place.ContentSequence.append(group[0])
    return save(ds, path, role="sr")


def _evidence(plan: OutputPlan, files: Items[WrittenFile]) -> list[Dataset]:
    """The source (unless a raster) and the written images, as far as an SR needs them."""
    header = plan.header
    found = []
    if not plan.is_raster:
        found.append((header.SOPClassUID, header.SOPInstanceUID, header.SeriesInstanceUID))
    found += [(f.sop_class, f.sop_uid, f.series_uid) for f in files if f.sop_uid]
    evidence = []
    for sop_class, sop_uid, series_uid in found:
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = sop_class, sop_uid, series_uid
        ds.StudyInstanceUID = header.StudyInstanceUID
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID"):
            setattr(ds, keyword, None)
        ds.AccessionNumber = ds.StudyDate = ds.StudyTime = ds.ReferringPhysicianName = None
        evidence.append(ds)
    return evidence


def _content(plan: OutputPlan, ids: SeriesIds, evidence: list[Dataset]) -> MeasurementReport:
    device = DeviceObserverIdentifyingAttributes(
        uid=stable_uid("device", MANUFACTURER, plan.record.code_version),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL,
    )
    observer = ObserverContext(
        observer_type=_coded(codes.DEVICE), observer_identifying_attributes=device
    )
    images = _images(plan, evidence)
    groups = [_edit_group(plan, ids, images)]
    for index, finding in enumerate(plan.record.findings, start=1):
        groups.append(_finding_group(plan, ids, index, finding))
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=_coded(codes.CHEST_IMAGING),
        imaging_measurements=groups,
        title=_coded(codes.IMAGING_REPORT),
    )


def _images(plan: OutputPlan, evidence: list[Dataset]) -> list[tuple[str, str]]:
    """(class, instance) of source and counterfactuals, which the report is about."""
    about = {str(plan.header.SOPInstanceUID), *plan.cf.sop_uids}
    return [
        (str(ds.SOPClassUID), str(ds.SOPInstanceUID))
        for ds in evidence
        if str(ds.SOPInstanceUID) in about
    ]


def _edit_group(
    plan: OutputPlan, ids: SeriesIds, images: list[tuple[str, str]]
) -> MeasurementsAndQualitativeEvaluations:
    """The edit as a whole: algorithm with its parameters, strength, change outside."""
    measured = [_number(codes.STRENGTH, plan.record.strength)]
    outside = plan.record.metrics.get("outside_max_diff")
    if outside is not None:
        measured.append(_number(codes.OUTSIDE_MAX, outside))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=stable_uid("tracking", ids.sop_uids[0], "edit"), identifier="Counterfactual edit"
        ),
        finding_type=_coded(codes.EDIT),
        algorithm_id=AlgorithmIdentification(
            name=MODEL,
            version=plan.record.code_version,
            parameters=_parameters(plan),
            family=_coded(codes.ARTIFICIAL_INTELLIGENCE),
            manufacturer=MANUFACTURER,
        ),
        measurements=measured,
        source_images=[SourceImageForMeasurementGroup(*image) for image in images],
    )


def _finding_group(
    plan: OutputPlan, ids: SeriesIds, index: int, finding: FindingRecord
) -> MeasurementsAndQualitativeEvaluations:
    """One finding: its code, what was done to it, and the classifier before and after."""
    kind = codes.Concept(*finding.code) if finding.code else codes.UNCODED_FINDING
    scores = [
        number
        for score in plan.record.scores
        if score.finding in (finding.words, kind.meaning, kind.meaning.lower())
        for number in (_number(codes.BEFORE, score.before), _number(codes.AFTER, score.after))
    ]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=stable_uid("tracking", ids.sop_uids[0], str(index)), identifier=finding.words
        ),
        finding_type=_coded(kind),
        measurements=scores or None,
        qualitative_evaluations=[
            QualitativeEvaluation(
                _coded(codes.DIRECTION), _coded(codes.DIRECTIONS[finding.direction])
            )
        ],
    )


def _parameters(plan: OutputPlan) -> list[str]:
    """Request, seeds, region, weights, verdict and trace, one text each."""
    record = plan.record

    def line(name: str, value: Any) -> str:
        return f"{name}={json.dumps(plain(value), sort_keys=True, ensure_ascii=False)}"

    return [
        f"request={record.request_json}",
        f"request_sha256={record.request_sha256}",
        line("seeds", list(record.seeds)),
        line("region", record.region),
        *(line(f"weights.{weights.role}", vars(weights)) for weights in record.weights),
        *(line("score", vars(score)) for score in record.scores),
        line("verdict", record.verdict),
        line("trace", record.trace),
    ]


def _number(concept: codes.Concept, value: float) -> Measurement:
    """A measurement without unit; six digits fit a DS value (16 characters)."""
    return Measurement(
        name=_coded(concept), value=float(f"{value:.6g}"), unit=_coded(codes.NO_UNITS)
    )


def _coded(concept: codes.Concept) -> CodedConcept:
    return CodedConcept(concept.value, concept.scheme, concept.meaning)
