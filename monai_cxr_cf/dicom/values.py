# SPDX-License-Identifier: Apache-2.0
"""Header attribute -> plain Python value, or a refusal that names the attribute, never its text."""

import math
import re
from collections.abc import Iterable
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID
from pydicom.valuerep import STR_VR

from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage

# Python reads more than DICOM allows: 1_0, nan, digits of other scripts.
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def raw_value(ds: Dataset, keyword: str) -> Any:
    """The attribute's value, None if absent or empty; UnreadableInput if it cannot be parsed."""
    try:
        value = ds.get(keyword)
        return None if hasattr(value, "__len__") and len(value) == 0 else value
    except Exception as error:  # pydicom's converters raise many types on hostile bytes
        raise UnreadableInput(
            f"{keyword} cannot be parsed; expected a value of the type that DICOM gives it.",
            code="bad_value",
            hint="Have the file repaired or exported again.",
        ) from error


def items(ds: Dataset, keyword: str) -> Sequence | tuple[()]:
    """The items of a sequence, none if absent; UnreadableInput if it is no sequence."""
    value = raw_value(ds, keyword)
    if value is None:
        return ()
    if not isinstance(value, Sequence):
        raise UnreadableInput(
            f"{keyword} is not a sequence; expected items.",
            code="bad_value",
            hint="Have the file repaired or exported again.",
        )
    return value


def text(ds: Dataset, keyword: str) -> str:
    """The value as stripped upper-case text; empty if absent."""
    value = raw_value(ds, keyword)
    return "" if value is None else str(value).strip().upper()


def says_yes(ds: Dataset, keyword: str) -> bool:
    """Whether a YES/NO attribute says YES, in any of its values and in the words in use."""
    return any(value.strip().upper() in ("YES", "Y", "TRUE", "1") for value in texts(ds, keyword))


def texts(ds: Dataset, keyword: str) -> list[str]:
    """All values as text, empty if absent."""
    value = raw_value(ds, keyword)
    if value is None:
        return []
    return [str(each) for each in value] if _is_multi(value) else [str(value)]


def uid(ds: Dataset, keyword: str) -> str:
    """A unique identifier, empty if absent; UnreadableInput if the value is of another kind."""
    value = raw_value(ds, keyword)
    if value is not None and not isinstance(value, UID):
        found = f"has {len(value)} values" if _is_multi(value) else "is not stored as a UID"
        raise UnreadableInput(
            f"{keyword} {found}; expected one UID.",
            code="bad_value",
            hint="Have the file repaired or exported again.",
        )
    return str(value or "")


def whole(ds: Dataset, keyword: str, *, default: int | None = None) -> int:
    """A whole number; ``default`` if absent, refused if absent without a default.

    Raises:
        UnsupportedImage: the attribute is missing or not one whole number.
    """
    value = raw_value(ds, keyword)
    if value is None and default is not None:
        return default
    number = finite(value)
    if not number.is_integer():
        found = "missing" if value is None else "not one whole number"
        raise UnsupportedImage(
            f"{keyword} is {found}; an image needs it.",
            code="bad_value",
            hint="Have the file repaired or exported again.",
        )
    return int(number)


def numbers(ds: Dataset, keyword: str, *, hint: str = "") -> tuple[float, ...]:
    """All values of a numeric attribute, empty if absent.

    Args:
        ds: the header.
        keyword: the attribute.
        hint: what to do about a value that is none.

    Raises:
        UnsupportedImage: a value is not a finite number.
    """
    value = raw_value(ds, keyword)
    if value is None:
        return ()
    found = tuple(finite(each) for each in (value if _is_multi(value) else [value]))
    if not all(map(math.isfinite, found)):
        raise UnsupportedImage(
            f"{keyword} is not a finite number.",
            code="not_finite",
            hint=hint or "Have the file repaired or exported again.",
        )
    return found


def finite(value: Any) -> float:
    """A value as a number, by DICOM's grammar where it is text; nan if it is none, or too large."""
    written = getattr(value, "original_string", value)
    if isinstance(written, bytes):
        return math.nan
    if isinstance(written, str):
        written = written.strip(" \0")
        if not _DECIMAL.fullmatch(written):
            return math.nan
    try:
        number = float(written)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _is_multi(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes))


def leave_out_damaged(ds: Dataset) -> list[str]:
    """Delete, at any depth, what pydicom cannot convert; nothing raises on a later look.

    pydicom converts an element when it is first asked for, so damage in one that the reader does
    not need would come up much later, as an exception of any type.

    Returns:
        Keywords of what was deleted, or tags of what has none; never values.
    """
    lost = []
    for tag in list(ds.keys()):
        try:
            element = ds[tag]
            items = _items_of(element)
        except Exception:  # pydicom's converters raise many types on hostile bytes
            del ds[tag]
            lost.append(keyword_for_tag(tag) or str(tag))
            continue
        for item in items:
            lost += leave_out_damaged(item)
    return lost


def _items_of(element: DataElement) -> Iterable[Dataset]:
    """What is nested in a converted element; raises if its value cannot be looked at."""
    if dictionary_has_tag(element.tag) and not _alike(element.VR, dictionary_VR(element.tag)):
        raise ValueError("a value of another kind than DICOM gives the attribute")
    if element.VR == "SQ":
        nested: Iterable[Dataset] = element.value
        return nested
    # pydicom guesses at a value that its VR does not allow; made anew, the guess shows.
    str(DataElement(element.tag, element.VR, element.value).value)  # names are decoded here
    _check_numbers(element)
    return ()


def _check_numbers(element: DataElement) -> None:
    """ValueError if a number is none: a comma, a unit, nan, or 1.5 where a whole one belongs."""
    if element.VR not in ("DS", "IS", "FL", "FD") or element.is_empty:
        return
    found = [finite(v) for v in (element.value if _is_multi(element.value) else [element.value])]
    whole_ones = element.VR != "IS" or all(
        number.is_integer() and -(2**31) <= number < 2**31 for number in found
    )
    if not all(map(math.isfinite, found)) or not whole_ones:
        raise ValueError("not a number")


def _alike(found: str, expected: str) -> bool:
    """Whether a VR is one of ``expected`` ("US or SS"), or as good: text for text, words for words.

    Real files hold LO for SH; a tag or a number where text belongs is damage.
    """
    kinds = (STR_VR, {"OB", "OW", "US", "SS", "UN"}, {"FD", "FL"}, {"UL", "SL", "US", "SS"})
    allowed = expected.split(" or ")
    return any(vr == found or any({vr, found} <= kind for kind in kinds) for vr in allowed)
