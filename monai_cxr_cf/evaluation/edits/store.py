# SPDX-License-Identifier: Apache-2.0
"""A folder in, its finished rows out: which of them a run may go on from.

``run.json`` says what the rows were made with; ``rows.jsonl`` holds one row a line. Rows of a trial
are added in one go; whatever an interruption left half done is dropped at the next start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.collection import PLACE
from monai_cxr_cf.evaluation.rows import Row, Rows, write_json

HEADER, ROWS, PICTURES = "run.json", "rows.jsonl", "pictures"
BEFORE = (PLACE, "asked.csv", "ablation", "table2.md")  # what may lie there before the rows do
OTHER = "Name a new --out folder, or remove this one."


def open_rows(folder: Path, header: Mapping[str, Any]) -> Rows:
    """The rows of a folder, which is made if it is not there.

    Args:
        folder: of an earlier run, or a new one.
        header: what all rows depend on; ``weights`` maps a part to its digest.

    Raises:
        BadRequest: the folder is a file, holds rows made with other weights or by another version
            of the protocol, or holds files of others.
    """
    check_folder(folder)
    known = _known_header(folder)
    _same(known, header)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PICTURES).mkdir(exist_ok=True)
    weights = {**known.get("weights", {}), **header["weights"]}
    write_json(folder / HEADER, {**known, **header, "weights": weights})
    return Rows(folder / ROWS)


def check_folder(folder: Path) -> None:
    """BadRequest if rows cannot be added to a folder: it is a file, or holds files of others."""
    if folder.exists() and not folder.is_dir():
        raise BadRequest("--out names a file; expected a folder.", hint="Name a new folder.")
    _known_header(folder)


def finished(rows: Rows, wanted: Mapping[str, tuple[str, str, int]]) -> set[str]:
    """Identities of the wanted trials whose rows are all there; half trials are removed.

    Args:
        rows: of the folder.
        wanted: trial identity -> (key, hash of its configuration, number of seeds).

    Raises:
        BadRequest: rows of a wanted trial were made with another configuration.
    """
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["trial"]] = counts.get(row["trial"], 0) + 1
        if row["trial"] in wanted and row["config"] != wanted[row["trial"]][1]:
            raise BadRequest(
                "The folder holds rows of the same edits under other settings "
                f"({row['config'][:8]}, now {wanted[row['trial']][1][:8]}).",
                code="stale_rows",
                hint=OTHER,
            )
    whole = {i for i, (_, _, seeds) in wanted.items() if counts.get(i, 0) == seeds}
    rows.keep(lambda row: row["trial"] in whole or row["trial"] not in wanted)
    return whole


def read_rows(folder: Path) -> list[Row]:
    """Every whole row of a folder, in the order they came; of a run that is still going, too."""
    return list(Rows(folder / ROWS))


def read_header(folder: Path) -> dict[str, Any]:
    """``run.json``; BadRequest if the folder holds no run."""
    header = _known_header(folder)
    if not header:
        raise BadRequest("The folder holds no run of an evaluation; expected run.json.")
    return header


def _known_header(folder: Path) -> dict[str, Any]:
    """``run.json``; nothing for a new folder, in which at most ``BEFORE`` lies."""
    path = folder / HEADER
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    if folder.is_dir() and any(path.name not in BEFORE for path in folder.iterdir()):
        raise BadRequest(
            "The output folder holds files, but no run of this evaluation.", hint=OTHER
        )
    return {}


def _same(known: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    if known and known.get("protocol") != header["protocol"]:
        raise BadRequest(
            f"The folder holds rows of protocol {known.get('protocol')}; this is protocol "
            f"{header['protocol']}.",
            code="stale_rows",
            hint=OTHER,
        )
    old, new = known.get("weights", {}), header["weights"]
    differing = [name for name in sorted({*old} & {*new}) if old[name] != new[name]]
    if differing:
        raise BadRequest(
            f"The folder holds rows made with other weights: {', '.join(differing)}.",
            code="stale_rows",
            hint=OTHER,
        )
