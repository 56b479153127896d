# SPDX-License-Identifier: Apache-2.0
"""The synthetic marking sheet: every place that says where a file comes from and what it is.

Step two of every writer, after ``inherit``. Viewers drop some places, so all are filled at once
(docs/dicom-conformance.md 4.2); no consumer may rely on one of them alone.
"""

import json
from copy import deepcopy

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.record import Member, RunRecord
from monai_cxr_cf.dicom.writing import policy
from monai_cxr_cf.dicom.writing.fileio import clip
from monai_cxr_cf.dicom.writing.inherit import copy_elements
from monai_cxr_cf.dicom.writing.plan import OutputPlan
from monai_cxr_cf.dicom.writing.uids import SeriesIds

MANUFACTURER = "monai-cxr-cf"
MODEL = "CXR counterfactual"
LO, ST, LT = 64, 1024, 10240  # greatest lengths of these value representations, in characters


def identify(ds: Dataset, plan: OutputPlan, ids: SeriesIds, *, index: int = 0) -> None:
    """Identifiers and dates of instance ``index`` (from 0) of a series of ours."""
    ds.SOPInstanceUID = ids.sop_uids[index]
    ds.SeriesInstanceUID = ids.series_uid
    ds.SeriesNumber = ids.number
    ds.InstanceNumber = index + 1
    date, time = plan.content
    ds.ContentDate, ds.ContentTime = date or None, time or None


def identify_strictly(ds: Dataset, plan: OutputPlan, ids: SeriesIds) -> None:
    """As ``identify`` for SEG and SR, whose content date is type 1: 1970-01-01 if none is known."""
    identify(ds, plan, ids)
    if not ds.ContentDate:
        ds.ContentDate, ds.ContentTime = "19700101", "000000"
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        ds.pop(keyword, None)


def equip(ds: Dataset, plan: OutputPlan) -> None:
    """We are the equipment; the device that took the source becomes a contributor."""
    acquisition = _acquisition(plan)
    for keyword in policy.EQUIPMENT:
        ds.pop(keyword, None)
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MODEL
    ds.SoftwareVersions = clip(plan.record.code_version, LO)
    qualify(ds)
    earlier = deepcopy(list(plan.header.get("ContributingEquipmentSequence") or ()))
    ds.ContributingEquipmentSequence = Sequence([*earlier, *acquisition, _ourselves(plan.record)])


def qualify(ds: Dataset) -> None:
    """Every object of ours is research content (SOP Common, PS3.3 C.12.1)."""
    ds.ContentQualification = "RESEARCH"


def mark_synthetic(ds: Dataset, description: str) -> None:
    """What every object computed from the counterfactual carries."""
    ds.SyntheticData = "YES"
    ds.SeriesDescription = clip(f"SYNTHETIC {description}", LO)
    ds.CodingSchemeIdentificationSequence = Sequence([codes.scheme_item()])


def mark_image(ds: Dataset, plan: OutputPlan, member: Member, concept: codes.Concept) -> None:
    """Image type, derivation in words and as a code, and the source it was derived from."""
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.DerivationDescription = derivation(plan, member)
    ds.DerivationCodeSequence = Sequence([concept.item()])
    if member.label:
        ds.ImageComments = clip(f"SYNTHETIC, research only. {member.label}", LT)
    if not plan.is_raster:
        _refer(ds, plan)


def refer_to(ds: Dataset, sop_class: str, sop_uid: str) -> None:
    """Add an image to SourceImageSequence."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
    item.PurposeOfReferenceCodeSequence = Sequence([codes.SOURCE_IMAGE.item()])
    item.SpatialLocationsPreserved = "YES"
    ds.SourceImageSequence = Sequence([*(ds.get("SourceImageSequence") or ()), item])


def findings_in_words(record: RunRecord) -> str:
    """Such as ``add moderate left pleural effusion; remove cardiomegaly``."""
    return "; ".join(str(finding) for finding in record.findings) or "none"


def derivation(plan: OutputPlan, member: Member) -> str:
    """DerivationDescription: what was asked, where and how strongly; no header value."""
    record = plan.record
    parts = [
        "Synthetic counterfactual image made by a generative model for research only",
        f"Finding: {findings_in_words(record)}",
        f"Region: {record.region or 'none'}",
        f"Strength: {record.strength:g}",
    ]
    if member.label:
        parts.append(member.label)
    if plan.options.burn_in:
        parts.append("SYNTHETIC is burnt into the pixels")
    elif record.metrics.get("outside_max_diff") == 0:
        parts.append("Pixels outside region and band are the source's")
    return clip(". ".join(parts) + ".", ST)


def contribution(record: RunRecord) -> str:
    """A JSON digest of the run that fits an ST value (1024 characters), always valid JSON."""
    digest = {
        "request_sha256": record.request_sha256,
        "seeds": list(record.seeds[:8]),
        "code": record.code_version[:64],
        "weights": {w.role[:16]: w.sha256[:16] for w in record.weights[:8]},
    }
    return json.dumps(digest, sort_keys=True, separators=(",", ":"))


def _refer(ds: Dataset, plan: OutputPlan) -> None:
    header = plan.header
    refer_to(ds, str(header.SOPClassUID), str(header.SOPInstanceUID))
    instance = Dataset()
    instance.ReferencedSOPClassUID = header.SOPClassUID
    instance.ReferencedSOPInstanceUID = header.SOPInstanceUID
    series = Dataset()
    series.SeriesInstanceUID = header.SeriesInstanceUID
    series.ReferencedInstanceSequence = Sequence([instance])
    ds.ReferencedSeriesSequence = Sequence([series])


def _acquisition(plan: OutputPlan) -> list[Dataset]:
    """The source's device, as it describes itself; none for a raster."""
    if plan.is_raster:
        return []
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([codes.ACQUISITION_EQUIPMENT.item()])
    copy_elements(plan.header, item, policy.EQUIPMENT)
    if not item.get("Manufacturer"):
        item.Manufacturer = "unknown"  # type 1 here, often empty in a source
    return [item]


def _ourselves(record: RunRecord) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([codes.SYNTHESIZING_EQUIPMENT.item()])
    item.Manufacturer, item.ManufacturerModelName = MANUFACTURER, MODEL
    item.SoftwareVersions = clip(record.code_version, LO)
    item.ContributionDescription = contribution(record)
    return item
