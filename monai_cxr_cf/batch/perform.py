# SPDX-License-Identifier: Apache-2.0
"""Rows in, a record each out: the one function that every engine calls.

A row is known by its key. If its folder is there and whole, it is taken as it is; else it is built
aside, synced and renamed into place. An error becomes a record, too: refused (the row's own fault,
final), failed (worth another attempt), or full (the disk; the run must stop). Several quick rows at
once share the waiting for the disk.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from monai_cxr_cf.batch.points import Hook, unwatched
from monai_cxr_cf.batch.rows.columns import Row, in_fields
from monai_cxr_cf.batch.store.files import is_full, place, remove
from monai_cxr_cf.batch.store.results import DONE, FAILED, REFUSED
from monai_cxr_cf.errors import BadRequest, CxrError, UnreadableInput, UnsupportedImage
from monai_cxr_cf.runs.failures import typed

FULL = "full"  # a state that is never written: the run stops
OWN_FAULT = (BadRequest, UnreadableInput, UnsupportedImage)
PASSING = ("no_file", "not_in_store")  # what was there when the rows were checked may come back
Record = dict[str, Any]


class Work(Protocol):
    """What is done with a row; one object goes to every worker process, so it is picklable."""

    def load(self) -> Any:
        """What all rows share, loaded once a process."""

    def weights(self, parts: Any, row: Row | None) -> Mapping[str, str]:
        """Model -> digest: those that a row uses; of what was loaded, without one."""

    def key(self, parts: Any, row: Row) -> str:
        """64 hex digits over all that the row's bytes depend on."""

    def build(self, parts: Any, row: Row, folder: Path) -> None:
        """Write the row's files into a folder, which is not there yet."""

    def facts(self, folder: Path) -> Mapping[str, Any]:
        """What the record says of a whole folder; UnreadableInput if it is not whole."""


class Places(Protocol):
    """Where finished rows lie: the folder of a batch, or another's."""

    def row(self, key: str) -> Path:
        """The place of a row."""


@dataclass(frozen=True)
class Desk:
    """Where a worker builds and what it uses."""

    work: Work
    parts: Any
    folder: Places
    at: Hook = unwatched


def perform(desk: Desk, rows: Sequence[Row], aside: Path) -> list[Record]:
    """Do rows, a record each; never raises.

    Args:
        desk: what to do, with what, where.
        rows: of one shard.
        aside: a folder of this worker's own.
    """
    drafts = [_attempt(desk, row, aside) for row in rows]
    built = [draft for draft in drafts if draft.built]
    try:
        if built:
            place([(aside / draft.key, draft.final) for draft in built], desk.at)
        for draft in built:
            draft.record |= desk.work.facts(draft.final)
    except Exception as error:
        for draft in built:
            draft.record = _ended(error)
            remove(aside / draft.key)
    return [_signed(draft) for draft in drafts]


@dataclass
class _Draft:
    """A record in the making."""

    row: Row
    record: Record
    seconds: float
    key: str = ""
    final: Path = Path()
    built: bool = False  # aside, and not yet in its place


def _attempt(desk: Desk, row: Row, aside: Path) -> _Draft:
    """Find a row in its place, or build it aside."""
    work, parts, at, began = desk.work, desk.parts, desk.at, time.monotonic()
    key, final, built = "", Path(), False
    try:
        at("begun")
        key = work.key(parts, row)
        final = desk.folder.row(key)
        record: Record = {"state": DONE, "key": key, "weights": dict(work.weights(parts, row))}
        facts = known(work, final)
        if facts is not None:
            record |= {**facts, "adopted": True}
        else:
            remove(final)  # what did not verify
            remove(aside / key)
            aside.mkdir(parents=True, exist_ok=True)
            at("building")
            work.build(parts, row, aside / key)
            at("built")
            built = True
    except Exception as error:
        record = _ended(error)
        if key:
            remove(aside / key)
    return _Draft(row, record, time.monotonic() - began, key, final, built)


def _signed(draft: _Draft) -> Record:
    row = draft.row
    return {**draft.record, "n": row.number, "id": row.id, "seconds": round(draft.seconds, 3)}


def known(work: Work, final: Path) -> Mapping[str, Any] | None:
    """The facts of a row that is in its place and whole; None otherwise."""
    if not final.is_dir():
        return None
    try:
        return work.facts(final)
    except UnreadableInput:
        return None


def _ended(raised: Exception) -> Record:
    if is_full(raised):
        return {"state": FULL}
    error: CxrError = typed(raised)
    final = isinstance(error, OWN_FAULT) and error.code not in PASSING
    words = in_fields(str(error)) if final else error.message
    return {"state": REFUSED if final else FAILED, "code": error.code, "message": words}
