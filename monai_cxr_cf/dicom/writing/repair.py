# SPDX-License-Identifier: Apache-2.0
"""Inherited values that DICOM does not allow: written again legally, or left out and named.

Part of step one of every writer, called by ``inherit``. Real headers hold ages like ``62`` and
numbers of 19 characters; a copy would make an invalid file of a valid one.
"""

from collections.abc import Iterable

from pydicom.config import RAISE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds, validate_value

from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.writing import policy

_STRICT_VRS = ("AS", "CS", "DA", "DS", "DT", "IS", "TM")
_SEXES = ("", "M", "F", "O")


def repair(ds: Dataset, keywords: Iterable[str]) -> list[str]:
    """Make the listed attributes of ``ds`` legal, in place.

    A decimal string that is too long is shortened to 16 characters, a code string is written in
    capitals; what stays illegal is emptied (type 2) or deleted.

    Returns:
        Keywords that lost their value, for a warning; never values.
    """
    lost = []
    with withheld():
        for keyword in keywords:
            if keyword in ds and not _made_legal(ds[keyword]):
                lost.append(keyword)
                if keyword in policy.TYPE_2:
                    setattr(ds, keyword, None)
                else:
                    del ds[keyword]
    return lost


def _made_legal(element: DataElement) -> bool:
    """Whether the element is legal, perhaps after writing it in another way."""
    if element.VR not in _STRICT_VRS or element.value in (None, ""):
        return True
    try:
        if element.VR == "DS":
            values = element.value if element.VM > 1 else [element.value]
            element.value = [format_number_as_ds(float(v)) if len(str(v)) > 16 else v
                             for v in values]  # fmt: skip
        elif element.VR == "CS" and element.VM == 1:
            element.value = str(element.value).strip().upper()
        for value in element.value if element.VM > 1 else [element.value]:
            validate_value(element.VR, str(value), RAISE)
    except (ValueError, TypeError, OverflowError):
        return False
    return element.keyword != "PatientSex" or element.value in _SEXES
