# SPDX-License-Identifier: Apache-2.0
"""Tables of labels (CheXpert, NegBio, CheXbert, radiologists) in, positive names out.

1 is positive, 0 absent, -1 uncertain, blank not mentioned; uncertain counts as nothing unless it is
asked to count as present. A cell of another kind is refused by name.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cxr_cf.data.csv_text import filled
from monai_cxr_cf.errors import UnreadableInput

TOLD = {"drop": "uncertain ones count as nothing", "present": "uncertain ones count as present"}
POSITIVE = frozenset(("1", "1.0", "true"))
DOUBTED = frozenset(("-1", "-1.0"))
KEY = "path_to_image"
KNOWN = POSITIVE | DOUBTED | {"0", "0.0", "-0.0", "false", ""}
# Columns that are read. A fracture may lie anywhere and the rib is ours: no caption is made of it.
NAMES = frozenset(
    ("Airspace Opacity", "Atelectasis", "Cardiomegaly", "Consolidation", "Edema",
     "Enlarged Cardiomediastinum", "Lung Lesion", "Lung Opacity", "No Finding",
     "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices")
)  # fmt: skip


def positive(row: Mapping[str, Any], file: str, uncertain: str = "drop") -> tuple[str, ...]:
    """Names of the positive labels of one row; columns of other names are left aside.

    Args:
        row: cells by column.
        file: for the message.
        uncertain: what -1 is, a key of ``TOLD``.

    Raises:
        UnreadableInput: a cell is of no known kind, or no column is a label.
    """
    found = []
    counted = POSITIVE | DOUBTED if uncertain == "present" else POSITIVE
    if not NAMES & set(row):
        raise UnreadableInput(
            f"{file} has no column of a label; expected {', '.join(sorted(NAMES)[:5])} and so on.",
            hint="Use the labels as published.",
        )
    for name, cell in row.items():
        if name not in NAMES:
            continue
        value = filled("" if cell is None else str(cell)).casefold()
        if value not in KNOWN:
            raise UnreadableInput(
                f"{file} holds '{str(cell)[:20]}' in column {name}; expected 1, 0, -1 or nothing.",
                hint="Use the labels as published.",
            )
        if value in counted:
            found.append(name)
    return tuple(found)


def read_chexbert(path: Path, uncertain: str = "drop") -> dict[str, tuple[str, ...]]:
    """``path_to_image`` -> positive labels, of a file with one JSON object a line."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            if line.strip():
                row = json.loads(line)
                found[str(row[KEY])] = positive(row, path.name, uncertain)
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableInput(
            f"{path.name} is not one JSON object with {KEY} a line.",
            hint="Unpack chexbert_labels.zip again.",
        ) from error
    return found
