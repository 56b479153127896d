# SPDX-License-Identifier: Apache-2.0
"""Masks as a DICOM Segmentation that dcmqi, hence Slicer, opens.

In: an ``OutputPlan`` and named HxW masks on the source's grid. Out: ``seg.dcm``, BINARY, one frame
per mask, referring to the source image (docs/dicom-conformance.md 4.4). ``seg_read`` reads back.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation as HighdicomSegmentation
from highdicom.seg import SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.record import WrittenFile
from monai_cxr_cf.dicom.spacing import SC_CLASS
from monai_cxr_cf.dicom.writing.fileio import clip, save
from monai_cxr_cf.dicom.writing.inherit import copy_elements, declare_characters, patient_and_study
from monai_cxr_cf.dicom.writing.marking import LO, MANUFACTURER, MODEL, equip, identify_strictly
from monai_cxr_cf.dicom.writing.plan import OutputPlan, mask_digests
from monai_cxr_cf.dicom.writing.uids import SeriesIds, frame_of_reference, stable_uid
from monai_cxr_cf.errors import BadRequest

Masks = Mapping[str, NDArray[np.bool_]]
NOT_CALIBRATED = "Display carrier, not calibrated"


def write_segmentation(plan: OutputPlan, masks: Masks, folder: Path) -> WrittenFile:
    """Write ``folder/seg.dcm`` with one segment per mask; overlaps are kept, empty masks left out.

    Args:
        plan: from ``plan_output``; its members may be empty (masks alone).
        masks: names of ``codes.SEGMENTS`` -> HxW bool on the source's grid.
        folder: the output folder.

    Raises:
        BadRequest: an unknown name, another shape, or nothing but empty masks.
    """
    ds = segmentation_dataset(plan, masks)
    return save(ds, folder / "seg.dcm", role="seg")


def segmentation_dataset(plan: OutputPlan, masks: Masks) -> Dataset:
    """The SEG complete but for file meta."""
    kept = _checked(plan, masks)
    ids = plan.ids("seg", mask_digests(kept), _reference_uid(plan))
    ds = _encode(plan, kept, ids)
    identify_strictly(ds, plan, ids)
    _repeatable_dimensions(ds, ids)
    _inherit(ds, plan)
    equip(ds, plan)
    ds.ContentCreatorName = None  # type 2
    ds.DeviceSerialNumber = MANUFACTURER  # type 1 here; the software has no serial number
    ds.SeriesDescription = "Masks of source CXR and edit region"
    if plan.is_raster and not plan.members:
        _unlink(ds)
    return declare_characters(ds, plan.unicode or _several_character_sets(ds))


def _checked(plan: OutputPlan, masks: Masks) -> dict[str, NDArray[np.bool_]]:
    unknown = sorted(set(masks) - set(codes.SEGMENTS))
    if unknown:
        raise BadRequest(
            f"Masks have no code: {', '.join(unknown)}.",
            code="mask_name",
            hint=f"Known names: {', '.join(codes.SEGMENTS)}.",
        )
    for name, mask in masks.items():
        if mask.shape != plan.radiograph.shape or mask.dtype != np.bool_:
            raise BadRequest(
                f"Mask {name} is {mask.dtype} {mask.shape}; expected bool "
                f"{plan.radiograph.shape} (rows, columns).",
                code="mask_shape",
            )
    kept = {name: masks[name] for name in codes.SEGMENTS if name in masks and masks[name].any()}
    if not kept:
        raise BadRequest("Every mask is empty; a segmentation needs one that is not.")
    return kept


def _encode(
    plan: OutputPlan, masks: dict[str, NDArray[np.bool_]], ids: SeriesIds
) -> HighdicomSegmentation:
    """The SEG by highdicom, from a carrier without patient data (its log would quote it)."""
    stack = np.stack([mask.view(np.uint8) for mask in masks.values()], axis=-1)[np.newaxis]
    calibrated = plan.radiograph.spacing.display is not None and not plan.is_raster
    with withheld():
        return HighdicomSegmentation(
            source_images=[_carrier(plan)],
            pixel_array=stack,
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _description(number, name, plan) for number, name in enumerate(masks, start=1)
            ],
            series_instance_uid=ids.series_uid,
            series_number=ids.number,
            sop_instance_uid=ids.sop_uids[0],
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL,
            software_versions=clip(plan.record.code_version, LO),
            device_serial_number=MANUFACTURER,
            content_label="CXR_MASKS",
            content_description="Masks of source CXR" if calibrated else NOT_CALIBRATED,
            omit_empty_frames=False,
        )


def _carrier(plan: OutputPlan) -> Dataset:
    """A stand-in of the referenced image that carries a plane, so that dcmqi accepts the SEG.

    The plane says that rows run to the patient's left and columns to posterior, which is not how a
    radiograph lies: it only puts mask and image on one grid. Nothing may read anatomy from it.
    """
    ds = Dataset()
    header = plan.header
    ds.SOPClassUID, ds.SOPInstanceUID = SC_CLASS, _reference_uid(plan)
    ds.SeriesInstanceUID = header.SeriesInstanceUID
    if plan.is_raster and plan.members:
        ds.SeriesInstanceUID = plan.cf.series_uid
    elif not plan.is_raster:
        ds.SOPClassUID = header.SOPClassUID
    ds.StudyInstanceUID = header.StudyInstanceUID
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID"):
        setattr(ds, keyword, None)
    ds.AccessionNumber = ds.StudyDate = ds.StudyTime = ds.ReferringPhysicianName = None
    ds.Modality, ds.InstanceNumber = "OT", 1
    ds.Rows, ds.Columns = plan.radiograph.shape
    ds.FrameOfReferenceUID = frame_of_reference(plan.radiograph.source_sop_uid)
    ds.ImagePositionPatient = [0, 0, 0]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = list(plan.radiograph.spacing.display or (1.0, 1.0))
    ds.SliceThickness = 1
    return ds


def _reference_uid(plan: OutputPlan) -> str:
    """The image that the masks lie on: the source; for a raster the first counterfactual."""
    if plan.is_raster and plan.members:
        return plan.cf.sop_uids[0]
    return str(plan.header.SOPInstanceUID)


def _description(number: int, name: str, plan: OutputPlan) -> SegmentDescription:
    segment = codes.SEGMENTS[name]
    algorithm = _algorithm(plan, name)
    description = SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=_coded(segment.category),
        segmented_property_type=_coded(segment.type),
        algorithm_type="AUTOMATIC" if algorithm else "MANUAL",
        algorithm_identification=algorithm,
        tracking_id=segment.label,
        tracking_uid=plan.ids("seg", [name], "tracking").sop_uids[0],
        display_color=CIELabColor.from_rgb(*segment.rgb),
    )
    if segment.modifier is not None:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = Sequence([segment.modifier.item()])
    return description


def _algorithm(plan: OutputPlan, name: str) -> AlgorithmIdentificationSequence | None:
    """Who drew a mask: the region is ours, an organ the segmenter's; None if the user's."""
    if name in plan.record.masks.get("from_user", ()):
        return None
    drawn = [w.name for w in plan.record.weights if w.role == "segmenter" and name[:5] != "edit_"]
    return AlgorithmIdentificationSequence(
        name=clip(drawn[0] if drawn else "Edit region", LO),
        version=clip(plan.record.code_version, LO),
        family=_coded(codes.ARTIFICIAL_INTELLIGENCE),
    )


def _coded(concept: codes.Concept) -> CodedConcept:
    """A fresh object each time: a shared one would give both lungs the last side."""
    return CodedConcept(concept.value, concept.scheme, concept.meaning)


def _inherit(ds: Dataset, plan: OutputPlan) -> None:
    """Patient and study from the source; view attributes that viewers show."""
    for element in patient_and_study(plan.header):
        ds.add(element)
    copy_elements(plan.header, ds, ("PatientOrientation", "BodyPartExamined"))
    if not ds.get("BodyPartExamined"):
        ds.BodyPartExamined = "CHEST"
    ds.pop("PositionReferenceIndicator", None)
    ds.PositionReferenceIndicator = None


def _several_character_sets(ds: Dataset) -> bool:
    """Whether text switches between sets; what OHIF reads a SEG with (dcmjs) then refuses it."""
    return not isinstance(ds.get("SpecificCharacterSet") or "", str)


def _repeatable_dimensions(ds: Dataset, ids: SeriesIds) -> None:
    """highdicom draws the identifier of the dimensions at random."""
    uid = stable_uid("dimensions", ids.sop_uids[0])
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def _unlink(ds: Dataset) -> None:
    """Masks of a raster alone refer to nothing: there is no DICOM image to refer to."""
    ds.pop("ReferencedSeriesSequence", None)
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.pop("DerivationImageSequence", None)
