# SPDX-License-Identifier: Apache-2.0
"""Step 4 of the reader: from which side was this image taken?

Header in; the view, and the attribute that says it is lateral, oblique or a decubitus. What is
said of the image (ViewPosition, its code, its orientation) goes before what is said of the series,
and that before what is said of the study.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.reading.view_words import (
    CODES,
    DECUBITUS,
    FRONTAL,
    LATERAL,
    OBLIQUE,
    VIEW_POSITIONS,
    named,
    short_codes,
)
from monai_cxr_cf.dicom.values import items, texts
from monai_cxr_cf.errors import UnreadableInput

_OTHER = (DECUBITUS, OBLIQUE, LATERAL)
_SERIES = (
    "SeriesDescription",
    "ProtocolName",
    "BodyPartExamined",
    "AcquisitionDeviceProcessingDescription",
    "AcquisitionProtocolDescription",
    "PerformedProcedureStepDescription",
)
_SERIES_CODES = ("SeriesDescriptionCodeSequence", "PerformedProtocolCodeSequence")
_STUDY = ("StudyDescription", "RequestedProcedureDescription")
_STUDY_CODES = ("ProcedureCodeSequence", "RequestedProcedureCodeSequence")
_POSTURE = ("PatientOrientationCodeSequence", "PatientOrientationModifierCodeSequence")
_CODE_TEXT = ("CodeMeaning", "CodeValue")


@dataclass(frozen=True)
class Sideways:
    """A view that is not frontal, and where the header says so."""

    kind: str  # lateral, oblique or decubitus
    keyword: str

    @property
    def words(self) -> str:
        """For a sentence: lateral, oblique or a decubitus."""
        return "a decubitus" if self.kind == DECUBITUS else self.kind


def view_of(ds: Dataset) -> str:
    """PA, AP, or what ViewPosition says; empty if the header names no view."""
    stated = [value.strip().upper() for value in texts(ds, "ViewPosition") if value.strip()]
    if stated:
        return stated[0] if len(set(stated)) == 1 else "\\".join(stated)
    for code in _code_values(ds, "ViewCodeSequence"):
        return VIEW_POSITIONS.get(code) or CODES.get(code, "").upper()
    return ""


def sideways(ds: Dataset, *, directions: bool = True) -> Sideways | None:
    """What the header says against a frontal view; None if nothing, or nothing certain.

    ``directions``: whether PatientOrientation counts; the user may have overruled it.
    """
    found = _of_image(ds, directions=directions)
    return found or (None if _stated_frontal(ds) else _of_text(ds))


def words_against(ds: Dataset) -> str:
    """The attribute of series or study whose words speak of another view; empty if there is none.

    Such words do not refuse an image that is frontal by its own attributes: a description often
    names all images of an examination. They count where they leave room for doubt.
    """
    stated = _stated_frontal(ds)
    for keyword, said in _said(ds):
        if said & set(_OTHER) and not (stated and FRONTAL in said):
            return keyword
    return ""


def _of_image(ds: Dataset, *, directions: bool) -> Sideways | None:
    said = set[str]().union(*(named(v, view_position=True) for v in texts(ds, "ViewPosition")))
    for kind in _OTHER:
        if kind in said:
            return Sideways(kind, "ViewPosition")
    said = _of_view_code(ds)
    for kind in _OTHER:
        if kind in said:
            return Sideways(kind, "ViewCodeSequence")
    rows = [value.strip().upper()[:1] for value in texts(ds, "PatientOrientation")]
    if directions and len(rows) == 2 and set(rows) & {"A", "P"} and set(rows) & {"F", "H"}:
        return Sideways(LATERAL, "PatientOrientation")
    for keyword in _POSTURE:
        if any(CODES.get(code) == DECUBITUS for code in _code_values(ds, keyword, nested=True)):
            return Sideways(DECUBITUS, keyword)
    return None


def _of_view_code(ds: Dataset) -> set[str]:
    """By code; a code that is not known counts by its meaning."""
    said = {CODES[code] for code in _code_values(ds, "ViewCodeSequence") if code in CODES}
    return said or set[str]().union(*(named(text) for text in _code_texts(ds, "ViewCodeSequence")))


def _stated_frontal(ds: Dataset) -> bool:
    said = [named(value, view_position=True) for value in texts(ds, "ViewPosition")]
    return any(FRONTAL in each for each in [*said, _of_view_code(ds)])


def _of_text(ds: Dataset) -> Sideways | None:
    """By the first attribute that names one view alone: series before study."""
    for keyword, said in _said(ds):
        if FRONTAL in said:
            return None
        for kind in _OTHER:
            if kind in said:
                return Sideways(kind, keyword)
    return None


def _said(ds: Dataset) -> Iterator[tuple[str, set[str]]]:
    """Attribute by attribute what the words of series and study name."""
    for keyword in _SERIES:
        values = _readable(ds, keyword)
        yield keyword, set[str]().union(*(named(v) | short_codes(v) for v in values))
    for keyword in _SERIES_CODES:
        yield keyword, set[str]().union(*(named(text) for text in _code_texts(ds, keyword)))
    for keyword in _STUDY:
        yield keyword, set[str]().union(*(named(value) for value in _readable(ds, keyword)))
    for keyword in _STUDY_CODES:
        yield keyword, set[str]().union(*(named(text) for text in _code_texts(ds, keyword)))


def _readable(ds: Dataset, keyword: str) -> list[str]:
    """Descriptions are not needed: one that cannot be parsed is left out later, by name."""
    try:
        return texts(ds, keyword)
    except UnreadableInput:
        return []


def _code_values(ds: Dataset, keyword: str, *, nested: bool = False) -> list[str]:
    found = []
    for item in _items(ds, keyword):
        found += [value.strip().upper() for value in _readable(item, "CodeValue")]
        for inner in _POSTURE if nested else ():
            found += _code_values(item, inner)
    return found


def _code_texts(ds: Dataset, keyword: str) -> list[str]:
    return [t for item in _items(ds, keyword) for key in _CODE_TEXT for t in _readable(item, key)]


def _items(ds: Dataset, keyword: str) -> list[Dataset]:
    try:
        return list(items(ds, keyword))
    except UnreadableInput:
        return []
