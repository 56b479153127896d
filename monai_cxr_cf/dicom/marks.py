# SPDX-License-Identifier: Apache-2.0
"""A DICOM object in, the marks of ours that it still carries out.

The counterpart of ``writing.marking``: archives, viewers and de-identification drop some places
(docs/dicom-conformance.md 4.2 and 7.1), so each is looked at by itself.
"""

from collections.abc import Callable

from pydicom.dataset import Dataset

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.values import items, text, texts
from monai_cxr_cf.dicom.writing.marking import MANUFACTURER, MODEL
from monai_cxr_cf.dicom.writing.overlay import has_overlay
from monai_cxr_cf.dicom.writing.uids import IMPLEMENTATION_UID

ROLES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "masks",
    "1.2.840.10008.5.1.4.1.1.88.33": "report",
    "1.2.840.10008.5.1.4.1.1.11.1": "banner",
}
SC_CLASS = "1.2.840.10008.5.1.4.1.1.7"


def _manufacturer(ds: Dataset) -> bool:
    return text(ds, "Manufacturer") == MANUFACTURER.upper()


def _model(ds: Dataset) -> bool:
    return _manufacturer(ds) and text(ds, "ManufacturerModelName") == MODEL.upper()


def _equipment(ds: Dataset) -> bool:
    return any(
        _manufacturer(item) and _code(item, "PurposeOfReferenceCodeSequence")
        == (codes.SYNTHESIZING_EQUIPMENT.value, codes.SYNTHESIZING_EQUIPMENT.scheme)
        for item in items(ds, "ContributingEquipmentSequence")
    )  # fmt: skip


def _derivation_code(ds: Dataset) -> bool:
    return _code(ds, "DerivationCodeSequence")[1] == codes.PRIVATE_SCHEME


def _scheme(ds: Dataset) -> bool:
    return any(
        text(item, "CodingSchemeDesignator") == codes.PRIVATE_SCHEME
        for item in items(ds, "CodingSchemeIdentificationSequence")
    )


def _source_image(ds: Dataset) -> bool:
    return any(
        _code(item, "PurposeOfReferenceCodeSequence")[0] == codes.SOURCE_IMAGE.value
        for item in items(ds, "SourceImageSequence")
    )


def _implementation(ds: Dataset) -> bool:
    return text(getattr(ds, "file_meta", Dataset()), "ImplementationClassUID") == IMPLEMENTATION_UID


MARKS: dict[str, Callable[[Dataset], bool]] = {
    "SyntheticData": lambda ds: text(ds, "SyntheticData") == "YES",
    "ContentQualification": lambda ds: text(ds, "ContentQualification") == "RESEARCH",
    "ConversionType": lambda ds: text(ds, "ConversionType") == "SYN",
    "ImageType": lambda ds: texts(ds, "ImageType")[:1] == ["DERIVED"],
    "SeriesDescription": lambda ds: text(ds, "SeriesDescription").startswith("SYNTHETIC"),
    "DerivationDescription": lambda ds: "SYNTHETIC COUNTER" in text(ds, "DerivationDescription"),
    "DerivationCodeSequence": _derivation_code,
    "CodingSchemeIdentificationSequence": _scheme,
    "OverlayData": has_overlay,
    "SourceImageSequence": _source_image,
    "Manufacturer": _manufacturer,
    "ManufacturerModelName": _model,
    "ContributingEquipmentSequence": _equipment,
    "ImplementationClassUID": _implementation,
}
# Marks that nobody else writes: one of them, and the object is ours.
OWN = (
    "DerivationCodeSequence", "CodingSchemeIdentificationSequence", "Manufacturer",
    "ContributingEquipmentSequence", "ImplementationClassUID",
)  # fmt: skip
_MAKER = ("ContentQualification", "Manufacturer", "ManufacturerModelName",
          "ContributingEquipmentSequence", "ImplementationClassUID")  # fmt: skip
_MADE = ("SyntheticData", "SeriesDescription", "CodingSchemeIdentificationSequence", *_MAKER)
_IMAGE = (*_MADE, "ImageType", "DerivationDescription", "DerivationCodeSequence")


def role_of(ds: Dataset) -> str:
    """What an object of ours is: counterfactual, difference, masks, report or banner."""
    role = ROLES.get(text(ds, "SOPClassUID"))
    if role is not None:
        return role
    code = _code(ds, "DerivationCodeSequence")
    is_change = code == (codes.SIGNED_DIFFERENCE.value, codes.SIGNED_DIFFERENCE.scheme)
    return "difference" if is_change else "counterfactual"


def expected(ds: Dataset) -> tuple[str, ...]:
    """The marks that a whole object of this kind carries, in the order of ``MARKS``.

    SourceImageSequence is none of them: an output from a PNG has no source to name. Masks of the
    source are not synthetic (docs/dicom-conformance.md 4.2).
    """
    role = role_of(ds)
    wanted = {"masks": _MAKER, "report": _MADE, "banner": _MADE}.get(role, _IMAGE)
    if text(ds, "SOPClassUID") == SC_CLASS:
        wanted = (*wanted, "ConversionType")
    if role == "counterfactual":
        wanted = (*wanted, "OverlayData")
    return tuple(name for name in MARKS if name in wanted)


def marks_of(ds: Dataset) -> dict[str, bool]:
    """Every mark, there or not.

    Raises:
        UnreadableInput: a value cannot be parsed.
    """
    return {name: find(ds) for name, find in MARKS.items()}


def is_ours(marks: dict[str, bool]) -> bool:
    """Whether one mark is left that nobody else writes."""
    return any(marks[name] for name in OWN)


def _code(ds: Dataset, keyword: str) -> tuple[str, str]:
    """Value and scheme of the first code of a sequence; empty if there is none."""
    for item in items(ds, keyword):
        return text(item, "CodeValue"), text(item, "CodingSchemeDesignator")
    return "", ""
