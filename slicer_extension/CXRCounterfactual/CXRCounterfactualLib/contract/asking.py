# SPDX-License-Identifier: Apache-2.0
"""What can be asked, before the runner tells its own list, and numbers as people type them. No qt.

A panel in Slicer and a page in the browser offer the same.
"""

import json
from collections.abc import Mapping
from typing import Any

# What the items of a combo box mean, in the order of the .ui file.
MEANT: dict[str, tuple[str | None, ...]] = {
    "directionBox": ("add", "remove"),
    "sideBox": (None, "left", "right", "both"),
    "zoneBox": (
        None, "upper", "mid", "lower", "apical", "costophrenic", "perihilar", "retrocardiac",
        "cardiac_silhouette", "lateral_rim", "lung", "inner_lung", "pleural_base",
    ),
    "presetBox": ("default", "fast", "paper"),
    "levelsByBox": ("blend", "guidance"),
    "iodBox": ("sc", "same"),
}  # fmt: skip
# What the strict reader may let pass (request.schema.json, reading).
ACCEPTED = {
    "burnedInCheck": "allow_burned_in",
    "bodyPartCheck": "allow_body_part",
    "lateralCheck": "allow_lateral",
}
# Before the runner tells its own list; the test of this file compares it with the vocabulary.
FINDINGS = (
    "pleural effusion", "pneumothorax", "cardiomegaly", "pulmonary edema", "consolidation",
    "atelectasis", "pneumonia", "lung opacity", "interstitial opacity", "nodule", "mass",
    "fibrosis", "emphysema", "pleural thickening", "hiatal hernia", "vascular congestion",
    "tuberculosis", "cavity", "bronchiectasis", "calcification", "rib fracture",
)  # fmt: skip
ON_THE_MIDLINE = frozenset({"cardiomegaly", "hiatal hernia"})  # these have no side
DOUBT = "  (unproven)"


def numbers(text: str, kind: type, wanted: str, problems: list[str]) -> tuple[Any, ...]:
    """ "1, 2, 3" as numbers; what is none becomes a problem in words."""
    parts = text.replace(";", ",").replace(",", " ").split()
    try:
        return tuple(kind(part) for part in parts)
    except ValueError:
        problems.append(f"{wanted} with commas between them are expected.")
        return ()


def settings(text: str, problems: list[str]) -> dict[str, Any]:
    """JSON of advanced settings; what is none becomes a problem in words."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        problems.append('Advanced settings: JSON such as {"boost": {"eta": 2}} is expected.')
        return {}
    return dict(found)
