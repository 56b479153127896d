# SPDX-License-Identifier: Apache-2.0
"""Step 4 of the reader: is this the header of a real frontal chest radiograph?

Header in, refusal out, or the warnings for what was let pass by permission.
"""

import re

from pydicom.dataset import Dataset
from pydicom.uid import UID

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.view import sideways
from monai_cxr_cf.dicom.values import items, says_yes, text, texts, uid
from monai_cxr_cf.errors import UnsupportedImage

Note = tuple[str, str]  # (code, message) of a warning
SYNTHETIC: Note = ("synthetic", "The source is itself synthetic.")

CR, DX, SC = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
)
_DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_UID_FORM = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")  # PS3.5 9.1
_CHEST_WORDS = ("CHEST", "THORAX", "TORAX", "LUNG", "HEART")
_NO_PART = frozenset({"", "UNKNOWN", "OTHER", "NONE", "UNSPECIFIED", "N/A"})
# Only these are repeated in messages: the attribute is free text in practice.
_KNOWN_PARTS = frozenset(
    {
        *("ABDOMEN", "ANKLE", "ARM", "BREAST", "CSPINE", "ELBOW", "EXTREMITY", "FEMUR", "FOOT"),
        *("FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "KNEE", "LEG", "LSPINE", "NECK", "PELVIS"),
        *("RIB", "SHOULDER", "SKULL", "SPINE", "TSPINE", "WRIST"),
    }
)
# CID 4031 entries that show the lungs: SNOMED CT, then the older SRT identifiers.
_CHEST_CODES = frozenset(
    {
        *("816094009", "51185008", "43799004", "39607008", "72410000", "80891009"),
        *("416550000", "416319003", "417437006", "416152001", "416775004"),
        *("T-D3000", "T-D3200", "T-28000", "T-D3300", "T-32000"),
        *("R-FAB55", "R-FAB54", "R-FAB52", "R-FAB53", "R-FAB56"),
    }
)


def check_identity(ds: Dataset, options: ReadOptions) -> list[Note]:
    """Refuse what is not an editable chest radiograph; say what was let pass.

    Raises:
        UnsupportedImage: SOP class, UIDs, body part, view, burned-in text or synthetic origin.
    """
    _check_class(ds)
    check_uids(ds)
    notes = [
        _check_body_part(ds, options),
        _check_view(ds, options),
        _check_burned_in(ds, options),
        _check_synthetic(ds, options),
    ]
    return [note for note in notes if note is not None]


def check_uids(ds: Dataset) -> None:
    """UnsupportedImage if study, series or instance has no identifier, or a malformed one."""
    for keyword in _UIDS:
        value = uid(ds, keyword)
        if not value:
            raise UnsupportedImage(
                f"{keyword} is missing; without it the result cannot refer to its source.",
                code="missing_uid",
                hint="Export the image again from the archive.",
            )
        if len(value) > 64 or not _UID_FORM.fullmatch(value):
            raise UnsupportedImage(
                f"{keyword} ({len(value)} characters) is not a UID; expected at most 64 digits "
                "and dots, no part empty or with a leading zero.",
                code="invalid_uid",
                hint="Export the image again from the archive.",
            )


def names_body_part(ds: Dataset) -> bool:
    """Whether BodyPartExamined names a part at all."""
    return text(ds, "BodyPartExamined") not in _NO_PART


def first_code(ds: Dataset, keyword: str) -> str:
    """CodeValue of the first item of a code sequence; empty if there is none."""
    found = items(ds, keyword)
    return text(found[0], "CodeValue") if found else ""


def _check_class(ds: Dataset) -> None:
    found = uid(ds, "SOPClassUID")
    if found in (CR, DX, SC):
        return
    known = UID(found)
    name = known.name if known.is_valid and known.name != found else "unknown or missing"
    hint = "Choose a single-frame chest radiograph."
    if found == _DX_FOR_PROCESSING:
        hint = "Export the image FOR PRESENTATION: raw detector data has no agreed contrast."
    raise UnsupportedImage(
        f"The SOP class is {name}; expected Computed Radiography, Digital X-Ray for presentation "
        "or single-frame Secondary Capture.",
        code="sop_class",
        hint=hint,
    )


def _check_body_part(ds: Dataset, options: ReadOptions) -> Note | None:
    part = text(ds, "BodyPartExamined")
    if names_body_part(ds):
        if any(word in part for word in _CHEST_WORDS):
            return None
        shown = part if part in _KNOWN_PARTS else "another part"
        found = f"BodyPartExamined is {shown}"
    else:
        code = first_code(ds, "AnatomicRegionSequence")
        if not code or code in _CHEST_CODES:
            return None
        found = "AnatomicRegionSequence names another part than the chest"
    if options.allow_body_part:
        return "body_part", f"{found}; edited by permission."
    raise UnsupportedImage(
        f"{found}; expected CHEST.",
        code="body_part",
        hint="If it does show a chest, pass --allow-body-part.",
    )


def _check_view(ds: Dataset, options: ReadOptions) -> Note | None:
    found = sideways(ds, directions=options.orientation is None)
    if found is None:
        return None
    if options.allow_lateral:
        return (
            "lateral",
            f"The view is {found.words}; organs and regions are made for frontal views.",
        )
    raise UnsupportedImage(
        f"The view is {found.words} by {found.keyword}; expected a frontal view (PA or AP).",
        code="lateral",
        hint="Choose the frontal image of the study, or pass --allow-lateral.",
    )


def _check_burned_in(ds: Dataset, options: ReadOptions) -> Note | None:
    if not says_yes(ds, "BurnedInAnnotation"):
        return None
    if options.allow_burned_in:
        return "burned_in", "BurnedInAnnotation is YES: the result keeps the burned-in text."
    raise UnsupportedImage(
        "BurnedInAnnotation is YES: the pixels may show patient data; expected NO or absent.",
        code="burned_in",
        hint="Use a copy without text, or pass --allow-burned-in.",
    )


def _check_synthetic(ds: Dataset, options: ReadOptions) -> Note | None:
    converted = [value.strip().upper() for value in texts(ds, "ConversionType")]
    synthetic = says_yes(ds, "SyntheticData") or "SYN" in converted
    if not synthetic:
        return None
    if options.allow_synthetic:
        return SYNTHETIC
    raise UnsupportedImage(
        "The source is marked synthetic (SyntheticData YES or ConversionType SYN); expected a "
        "real radiograph.",
        code="synthetic",
        hint="Edit the original instead, or pass --allow-synthetic.",
    )
