# SPDX-License-Identifier: Apache-2.0
"""Inherited values that DICOM does not allow: written again legally, or left out and named.

Part of step one of every writer, called by ``inherit``. Real headers hold ages like ``62`` and
numbers of 19 characters; a copy would make an invalid file of a valid one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import STR_VR

from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.writing import policy
from monai_cxr_cf.dicom.writing.legal import IDENTIFIERS, LENGTHS, legal

_CHARACTERS = BaseTag(0x00080005)  # settled when the file was read
_EMPTIED = (*policy.TYPE_2, "PatientOrientation", "SeriesNumber", "InstanceNumber")
_ONE_TEXT = ("LO", "SH", "PN", "UC")
_NEEDED = {
    "OtherPatientIDsSequence": ("PatientID", "TypeOfPatientID"),
    "ContributingEquipmentSequence": ("PurposeOfReferenceCodeSequence", "Manufacturer"),
}
_CONTEXT = (
    "MappingResource", "MappingResourceUID", "MappingResourceName", "ContextGroupVersion",
    "ContextGroupExtensionFlag", "ContextGroupLocalVersion", "ContextGroupExtensionCreatorUID",
    "ContextIdentifier", "ContextUID",
)  # fmt: skip
_CODED = ("CodeMeaning",)
_CODE_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")


@dataclass
class Repairs:
    """What was done: keywords, each once, in the order of the header; never values."""

    lost: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)

    def note(self, kind: list[str], keyword: str) -> None:
        """Add a keyword to one of the two lists."""
        if keyword not in kind:
            kind.append(keyword)


def repair(ds: Dataset, wanted: Callable[[str], bool] = lambda keyword: True) -> Repairs:
    """Make attributes of ``ds`` legal, in place, nested items included.

    What says the same in a legal way is written so (a date with points, a code in small letters,
    a decimal string that is too long); what stays illegal is emptied (type 2, 2C) or deleted. A
    nested item that loses a value, or lacks one that it needs, goes as a whole.

    Args:
        ds: a copy of a header, decoded, without private elements.
        wanted: whether to look at an attribute of this keyword.
    """
    done = Repairs()
    with withheld():
        for element in list(ds):
            if element.tag != _CHARACTERS and wanted(element.keyword):
                _repair_one(ds, element, done)
    return done


def _repair_one(ds: Dataset, element: DataElement, done: Repairs) -> None:
    if element.VR == "SQ":
        _repair_items(ds, element, done)
        return
    known = dictionary_has_tag(element.tag)
    vr = dictionary_VR(element.tag) if known else element.VR
    if vr not in STR_VR or element.is_empty:
        if not _bytes_fit(element, known):
            _lose(ds, element, done)
        return
    values = _as_text(element)
    vm = dictionary_VM(element.tag) if known else "1-n"
    if vm == "1" and len(values) > 1 and vr in _ONE_TEXT and element.keyword not in IDENTIFIERS:
        values = [" ".join(filter(None, values))]  # a backslash in a text that has one value
    found = [legal(vr, element.keyword, value) for value in values]
    if not any(found) and None not in found:
        found = [""]  # nothing but separators
    if len(found) > 1 and "" in found and vr not in (*LENGTHS, "CS", "PN"):
        found.append(None)  # a gap among dates, numbers or identifiers
    if any(value is None for value in found) or not _as_many(len(found), vm):
        _lose(ds, element, done)
        return
    changed = found != [value.strip(" \0") for value in _as_text(element)]
    if changed and vr != "DS":  # 16 characters of a number say enough
        done.note(done.rewritten, element.keyword or str(element.tag))
    if changed or vr != element.VR:
        ds[element.tag] = DataElement(element.tag, vr, found if len(found) > 1 else found[0])


def _as_text(element: DataElement) -> list[str]:
    """Every value as it is written; number classes keep the text that they came from."""
    value = element.value
    many = value if element.VM > 1 or isinstance(value, list) else [value]
    if element.VR == "PN":
        return [str(each) for each in many]
    return [str(getattr(each, "original_string", each)) for each in many]


def _bytes_fit(element: DataElement, known: bool) -> bool:
    """Whether a number or byte value has the number of values that its attribute takes."""
    if element.is_empty or not known or element.VR in ("OB", "OW", "OD", "OF", "OL", "OV", "UN"):
        return True
    return _as_many(element.VM, dictionary_VM(element.tag))


def _as_many(count: int, vm: str) -> bool:
    """Whether ``count`` values suit a multiplicity such as 1, 1-3, 2-2n or 1-n or 1."""
    for part in vm.split(" or "):
        least, _, most = part.partition("-")
        step = re.match(r"\d+", most) if most.endswith("n") else None
        if not most and count == int(least):
            return True
        if most.endswith("n") and count >= int(least):
            if count % (int(step[0]) if step else 1) == 0:
                return True
        elif most.isdigit() and int(least) <= count <= int(most):
            return True
    return False


def _lose(ds: Dataset, element: DataElement, done: Repairs) -> None:
    done.note(done.lost, element.keyword or str(element.tag))
    if element.keyword in _EMPTIED:
        ds[element.tag] = DataElement(element.tag, dictionary_VR(element.tag), None)
    else:
        del ds[element.tag]


def _repair_items(ds: Dataset, element: DataElement, done: Repairs) -> None:
    kept = []
    for item in element.value:
        inside = repair(item)
        for keyword in inside.rewritten:
            done.note(done.rewritten, f"{element.keyword}.{keyword}")
        if inside.lost or not _complete(item, element.keyword):
            for keyword in inside.lost or [""]:
                done.note(done.lost, f"{element.keyword}.{keyword}".rstrip("."))
        else:
            _without_stray_context(item)
            kept.append(item)
    if len(kept) < len(element.value):
        if kept:
            ds[element.tag] = DataElement(element.tag, "SQ", Sequence(kept))
        else:
            del ds[element.tag]


def _without_stray_context(item: Dataset) -> None:
    """The context group of a code: whole, or not at all (PS3.3 table 8.8-1)."""
    needed = ("ContextIdentifier", "MappingResource", "ContextGroupVersion")
    if not all(item.get(keyword) for keyword in needed):
        for keyword in _CONTEXT:
            item.pop(keyword, None)


def _complete(item: Dataset, keyword: str) -> bool:
    """Whether an item has what makes it one; a code has value, scheme and meaning."""
    needed = _NEEDED.get(keyword, ())
    codes = [name for name in _CODE_VALUES if item.get(name)]
    if codes or keyword.endswith("CodeSequence") or "CodeMeaning" in item:
        needed = (*needed, *_CODED)
        if not codes or (codes[0] != "URNCodeValue" and not item.get("CodingSchemeDesignator")):
            return False
    return all(item.get(name) for name in needed)
