# SPDX-License-Identifier: Apache-2.0
"""A presentation state that writes SYNTHETIC over a counterfactual series in any viewer.

In: the written images of one series. Out: one GSPS file; the images themselves keep their pixels.
Sent along whenever results go to an archive, where people meet them without our report.
"""

from collections.abc import Sequence as Files
from copy import deepcopy
from pathlib import Path

from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from monai_cxr_cf import __version__
from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.record import WrittenFile
from monai_cxr_cf.dicom.writing.fileio import clip, load, save
from monai_cxr_cf.dicom.writing.marking import (
    LO,
    MANUFACTURER,
    MODEL,
    mark_synthetic,
    qualify,
)
from monai_cxr_cf.dicom.writing.uids import stable_uid
from monai_cxr_cf.errors import BadRequest

TEXT = "SYNTHETIC - research only, not a real examination"
BOX = (0.02, 0.01, 0.98, 0.06)  # left, top, right, bottom as shares of the displayed area
OFFSET = 4  # after cf, seg, diff and sr
MODALITY_LUT = ("ModalityLUTSequence", "RescaleIntercept", "RescaleSlope", "RescaleType")
VOI = ("VOILUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation",
       "VOILUTFunction")  # fmt: skip


def write_banner(images: Files[Path], folder: Path) -> WrittenFile:
    """Write ``folder/banner.dcm`` for all images of one counterfactual series.

    Raises:
        BadRequest: there is no image, or images of several series.
    """
    with withheld():
        datasets = [load(path) for path in images]
        if len({str(ds.SeriesInstanceUID) for ds in datasets}) != 1:
            raise BadRequest("A banner needs the images of exactly one series.")
        return save(banner_dataset(datasets), folder / "banner.dcm", role="banner")


def banner_dataset(images: Files[Dataset]) -> Dataset:
    """The presentation state complete but for file meta; the same images give the same UIDs."""
    first = images[0]
    words = ("banner", __version__, *(str(ds.SOPInstanceUID) for ds in images))
    carriers = [_carrier(image) for image in images]
    layer = GraphicLayer("BANNER", order=1, description="Synthetic image")
    text = TextObject(TEXT, units="DISPLAY", bounding_box=BOX)
    ds = GrayscaleSoftcopyPresentationState(
        referenced_images=carriers,
        series_instance_uid=stable_uid("series", *words),
        series_number=int(first.get("SeriesNumber") or 0) + OFFSET,
        sop_instance_uid=stable_uid("instance", *words),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=clip(__version__, LO),
        device_serial_number=MANUFACTURER,
        content_label="SYNTHETIC",
        content_description="Banner over a synthetic image",
        graphic_layers=[layer],
        graphic_annotations=[GraphicAnnotation(carriers, layer, text_objects=[text])],
    )
    _inherit(ds, first)
    _display(ds, images)
    mark_synthetic(ds, "counterfactual CXR: banner")
    qualify(ds)
    return ds


def _carrier(image: Dataset) -> Dataset:
    """The image as highdicom may see it: it copies and checks patient values, which its log would
    quote, and refuses tables that are legal; all of that is inherited afterwards."""
    plain = deepcopy(image)
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(plain, keyword, None)
    for keyword in ("SpecificCharacterSet", "PixelData", *MODALITY_LUT, *VOI):
        plain.pop(keyword, None)
    return plain


def _inherit(ds: Dataset, image: Dataset) -> None:
    """Patient, study and dates as the image states them: nothing depends on the day it is made."""
    ds.pop("SpecificCharacterSet", None)
    for keyword in (
        *("SpecificCharacterSet", "PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
        *("StudyID", "AccessionNumber", "StudyDate", "StudyTime", "ReferringPhysicianName"),
        "ContributingEquipmentSequence",  # names us; highdicom's own holds the time of day
        "BodyPartExamined",  # without it an unpaired part counts as paired, and needs a side
    ):
        if keyword in image:
            ds[keyword] = deepcopy(image[keyword])
    date = image.get("ContentDate") or "19700101"
    time = image.get("ContentTime") or "000000"
    ds.PresentationCreationDate, ds.PresentationCreationTime = date, time
    for keyword in ("ContentDate", "ContentTime", "SeriesDate", "SeriesTime",
                    "InstanceCreationDate", "InstanceCreationTime"):  # fmt: skip
        ds.pop(keyword, None)


def _display(ds: Dataset, images: Files[Dataset]) -> None:
    """The image's own look: its modality LUT, its window and its polarity (PS3.3 C.11)."""
    first = images[0]
    for keyword in MODALITY_LUT:
        if keyword in first:
            ds[keyword] = deepcopy(first[keyword])
    item = Dataset()
    for keyword in VOI:
        if keyword in first:
            item[keyword] = deepcopy(first[keyword])
    ds.pop("SoftcopyVOILUTSequence", None)
    if "WindowCenter" in item or "VOILUTSequence" in item:
        ds.SoftcopyVOILUTSequence = Sequence([item])
    inverse = first.PhotometricInterpretation == "MONOCHROME1"
    ds.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
