# SPDX-License-Identifier: Apache-2.0
"""What tables say of a projection in, PA or AP out, or why an image is left out."""

import re

from monai_cxr_cf.data.csv_text import filled

# Beside PA or AP these say how the patient was, not that the projection is another.
HARMLESS = frozenset(
    ("ERECT", "UPRIGHT", "STANDING", "SUPINE", "SITTING", "SEMI", "SEMIERECT", "PORTABLE",
     "MOBILE", "VIEW", "CHEST", "FRONTAL")
)  # fmt: skip
CODES = {"POSTERO ANTERIOR": "PA", "ANTERO POSTERIOR": "AP", "POSTEROANTERIOR": "PA",
         "ANTEROPOSTERIOR": "AP"}  # fmt: skip
OTHER = re.compile(r"\b(LAT|LATERAL|OBL|OBLIQUES?|DECUB\w*|LORDOTIC|SWIMMERS?|AXIAL)\b")


def projection(position: str) -> str:
    """PA or AP; another view as it is written, in capitals; "" if the cell says nothing."""
    words = re.split(r"[^A-Z]+", filled(position).upper())
    words = [word for word in words if word]
    rest = [word for word in words if word not in HARMLESS]
    return rest[0] if len(rest) == 1 and rest[0] in ("PA", "AP") else " ".join(words)


def told_projection(code: str, procedure: str) -> str:
    """PA or AP from a view code's meaning, else from the text of a procedure; "" if unclear.

    "CHEST (PORTABLE AP)" and "CHEST PA" speak of one image; "CHEST (PA AND LAT)" of two.
    """
    meaning = re.sub(r"[^A-Z]+", " ", filled(code).upper()).strip()
    if meaning:
        return CODES.get(meaning, meaning)
    text = filled(procedure).upper()
    words = set(re.findall(r"[A-Z]+", text))
    found = {"PA", "AP"} & words
    if OTHER.search(text) or len(found) == 2:
        return ""
    return found.pop() if found else "AP" if "PORTABLE" in words else ""


def why_not(view: str, views: tuple[str, ...]) -> str:
    """The reason to leave an image of this view out; "" if it is one of ``views``."""
    if view in views:
        return ""
    if not view:
        return "without a view"
    return f"{view} (not asked for)" if view in ("PA", "AP") else "of another view"
