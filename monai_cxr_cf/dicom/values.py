# SPDX-License-Identifier: Apache-2.0
"""Header attribute -> plain Python value, or a refusal that names the attribute, never its text."""

import math
from typing import Any

from pydicom.dataset import Dataset

from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage


def raw_value(ds: Dataset, keyword: str) -> Any:
    """The attribute's value, None if absent or empty; UnreadableInput if it cannot be parsed."""
    try:
        value = ds.get(keyword)
    except Exception as error:  # pydicom's converters raise many types on hostile bytes
        raise UnreadableInput(
            f"{keyword} cannot be parsed; expected a value of the type that DICOM gives it.",
            code="bad_value",
            hint="Have the file repaired or exported again.",
        ) from error
    if value is None or (hasattr(value, "__len__") and len(value) == 0):
        return None
    return value


def text(ds: Dataset, keyword: str) -> str:
    """The value as stripped upper-case text; empty if absent."""
    value = raw_value(ds, keyword)
    return "" if value is None else str(value).strip().upper()


def whole(ds: Dataset, keyword: str, *, default: int | None = None) -> int:
    """A whole number; ``default`` if absent, refused if absent without a default.

    Raises:
        UnsupportedImage: the attribute is missing or not one whole number.
    """
    value = raw_value(ds, keyword)
    if value is None and default is not None:
        return default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        found = "missing" if value is None else "not one whole number"
        raise UnsupportedImage(
            f"{keyword} is {found}; an image needs it.",
            code="bad_value",
            hint="Have the file repaired or exported again.",
        ) from error


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """All values of a numeric attribute, empty if absent.

    Raises:
        UnsupportedImage: a value is not a finite number.
    """
    value = raw_value(ds, keyword)
    if value is None:
        return ()
    try:
        many = value if isinstance(value, (list, tuple)) or _is_multi(value) else [value]
        found = tuple(float(each) for each in many)
    except (TypeError, ValueError):
        found = (math.nan,)
    if not all(math.isfinite(each) for each in found):
        raise UnsupportedImage(
            f"{keyword} is not a finite number.",
            code="not_finite",
            hint="Have the file repaired or exported again.",
        )
    return found


def _is_multi(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes))
