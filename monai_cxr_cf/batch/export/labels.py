# SPDX-License-Identifier: Apache-2.0
"""The labels of a source and an edit in, the labels of the counterfactual out; and its split."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.findings import get, lookup
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.request import FindingEdit

NORMAL = ("no finding", "normal")
SHARES = {"train": 0.8, "judge": 0.1, "test": 0.1}
TAKEN = {"val": "judge", "valid": "judge", "validate": "judge", "validation": "judge"}


def asked(row: Row) -> tuple[FindingEdit, ...]:
    """The findings of a row's edit."""
    edit = row.edit
    return edit.findings or parse_prompt(edit.prompt).findings


def of_source(row: Row) -> tuple[str, ...] | None:
    """The column ``labels`` ("Edema|Cardiomegaly"); None where the manifest has none."""
    told = row.more.get("labels")
    if told is None:
        return None
    return tuple(part.strip() for part in str(told).split("|") if part.strip())


def after(source: Sequence[str], edits: Iterable[FindingEdit]) -> tuple[str, ...]:
    """The source's labels with what was added, without what was removed, each once.

    A label is the same as a finding if the vocabulary says so, however it is spelled.
    """
    found = list(source)
    for edit in edits:
        name = get(edit.finding).name
        same = [label for label in found if _name(label) == name]
        if edit.direction == "remove":
            found = [label for label in found if label not in same]
        elif edit.direction == "add" and not same:
            found.append(name)
        if edit.direction == "add":
            found = [label for label in found if label.casefold() not in NORMAL]
    return tuple(found)


def moved(edits: Iterable[FindingEdit]) -> bool:
    """Whether an outline of an organ may have moved: the source's mask does not fit then."""
    return any(get(edit.finding).organs for edit in edits)


def split_of(row: Row, shares: Mapping[str, float]) -> str:
    """The row's ``group`` if it has one, else by its patient: all of one patient in one split."""
    if row.group:
        return TAKEN.get(row.group.casefold(), row.group)
    digest = sha256(f"split {row.patient or row.path}".encode()).digest()
    place, low = int.from_bytes(digest[:8], "big") / 2**64, 0.0
    for name, share in shares.items():
        low += share
        if place < low:
            return name
    return list(shares)[-1]


def shares_from(text: str) -> dict[str, float]:
    """``train=0.8,judge=0.1,test=0.1``; BadRequest if they do not add up to 1."""
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, share = part.partition("=")
        try:
            found[name.strip()] = float(share)
        except ValueError:
            found = {}
            break
    if (
        not found
        or any(share < 0 for share in found.values())
        or abs(sum(found.values()) - 1) > 1e-6
    ):
        raise BadRequest("--splits must be shares that add up to 1.",
                         hint="Such as train=0.8,judge=0.1,test=0.1.")  # fmt: skip
    return found


def _name(label: str) -> str:
    found = lookup(label.replace("_", " "))
    return found.name if found else label
