# SPDX-License-Identifier: Apache-2.0
"""Radiographs and findings in, the manifest of an audit out: every edit beside its sham.

Rows of ``cxr-cf batch``, so an audit resumes as a batch does and its edits are kept for the next
classifier.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from monai_cxr_cf.audit.cohort import Chosen
from monai_cxr_cf.audit.measuring.trial import Asked
from monai_cxr_cf.batch.rows.manifest import file_sha256
from monai_cxr_cf.batch.store.files import save_text
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.parse import parse_prompt

LEVELS = (0.25, 0.5, 0.75, 1.0)
ARMS = ("edit", "sham")


@dataclass(frozen=True)
class Edits:
    """What is asked of every radiograph, and how."""

    asked: tuple[Asked, ...]
    levels: tuple[float, ...] = LEVELS
    sampled: bool = False  # every level sampled anew; else latents of one edit are blended
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.asked:
            raise BadRequest("No finding is named.", hint='Such as --finding "left effusion".')
        if list(self.levels) != sorted(set(self.levels)) or self.levels[-1:] != (1.0,):
            raise BadRequest("The levels must rise and end with 1.", hint="Such as 0.25,0.5,1.")
        if self.levels[0] <= 0 or not 0 <= self.seed < 2**63:
            raise BadRequest("Levels lie above 0, and a seed is a number from 0 to 2^63 - 1.")


def asked_from(texts: Sequence[str]) -> tuple[Asked, ...]:
    """Findings as a user names them; "both" of a sided one becomes its two sides.

    Raises:
        BadRequest: words that are no finding, or several in one text.
    """
    found: dict[Asked, None] = {}
    for text in texts:
        items = parse_prompt(text).findings
        if len({(item.finding, item.direction) for item in items}) != 1:
            raise BadRequest(f"'{text[:60]}' names several findings; expected one a --finding.")
        for item in items:
            sides = ("left", "right") if item.side == "both" else (item.side,)
            direction = "remove" if item.direction == "remove" else "add"
            found |= {Asked(item.finding, side, direction): None for side in sides}
    return tuple(found)


def rows_of(chosen: Sequence[Chosen], edits: Edits) -> list[dict[str, Any]]:
    """The rows: a finding is added where it is not known to be, removed where it may be."""
    found = []
    for radiograph in chosen:
        digest = file_sha256(Path(radiograph.path))[:16]
        for asked in edits.asked:
            there = radiograph.shows(asked.finding)
            if there is (asked.direction == "add"):
                continue
            found += [_row(radiograph, asked, edits, digest, arm) for arm in ARMS]
    if not found:
        raise BadRequest(
            "No radiograph is left to edit: the labels say that all show the findings to be added, "
            "or none those to be removed.",
            hint="Take other findings or radiographs.",
        )
    return found


def _row(radiograph: Chosen, asked: Asked, edits: Edits, digest: str, arm: str) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "path": radiograph.path,
        "patient": radiograph.patient,
        "finding": asked.finding,
        "direction": asked.direction,
        "levels": list(edits.levels),
        "levels_by": "guidance" if edits.sampled else "blend",
        "seeds": [edits.seed],
        "sham": arm == "sham",
        "picture": radiograph.id,
        "file": digest,  # another file is another edit
    }
    if asked.side:
        cells["side"] = asked.side
    if radiograph.reading.allow_raster:
        cells["reading.allow_raster"] = True
    told = {name: value for name, value in cells.items() if name != "sham"}
    cells["trial"] = sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    return {"id": f"{cells['trial']}-{arm}", **cells}


def check_grown(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """BadRequest if a manifest that was begun asks for edits that these rows do not."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    old, new = {json.loads(line)["id"] for line in lines}, {row["id"] for row in rows}
    if old - new:
        raise BadRequest(
            f"--out holds an audit, and {len(old - new)} of its {len(old)} edits are not asked for "
            "now: other radiographs, findings, levels or seed.",
            hint="Take a new --out, or ask for what it holds, and more if you like.",
        )


def write_manifest(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The rows as JSON lines; the same rows give the same bytes."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        save_text(path, text)
