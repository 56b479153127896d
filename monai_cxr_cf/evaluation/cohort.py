# SPDX-License-Identifier: Apache-2.0
"""Any data folder in, the radiographs that an evaluation takes out, and what their labels say.

Nothing depends on a collection's name: labels are read by the vocabulary, so that "Effusion" and
"Pleural Effusion" are one finding, and a table without a column ``split`` is held out as a whole.
"""

from collections.abc import Sequence
from pathlib import Path

from monai_cxr_cf.data.folder import Row, read_index
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.findings import lookup

NOTHING = frozenset(("no finding", "no findings", "normal"))


def held_out(data: Path, split: str, needed: Sequence[str]) -> list[Row]:
    """The rows of one split; all rows of an index that names no split.

    Args:
        data: folder with index.csv.
        split: as ``Row.split`` has it.
        needed: the columns that the evaluation cannot do without.

    Raises:
        UnreadableInput: the index is missing or lacks a column.
        BadRequest: there is no such split.
    """
    rows = read_index(data, needed)
    known = sorted({row.split for row in rows} - {""})
    chosen = [row for row in rows if row.split == split] if known else rows
    if not chosen:
        splits = f"Splits: {', '.join(known)}." if known else "The index has no row."
        raise BadRequest(f"There is no split '{split}'.", hint=splits)
    return chosen


def findings(row: Row) -> frozenset[str]:
    """The findings that a row's labels name, as the vocabulary calls them."""
    found = (lookup(label.replace("_", " ")) for label in row.labels)
    return frozenset(item.name for item in found if item is not None)


def without_findings(row: Row) -> bool:
    """Whether a row is labelled as normal, and nothing else."""
    return bool(row.labels) and all(label.casefold() in NOTHING for label in row.labels)
