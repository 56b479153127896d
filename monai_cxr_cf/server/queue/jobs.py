# SPDX-License-Identifier: Apache-2.0
"""What a job is: the words shared by the web process and the worker; no database, no HTTP.

A result is committed, and a job that kills workers given up, as a row of a batch is. The line of
waiting jobs is another thing than a batch's plan, which is written once and never changed: jobs
come at any time, short ones go first, equal ones are joined, any is cancelled, all are forgotten.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

QUEUED, RUNNING, DONE = "queued", "running", "done"
FAILED, CANCELLED, EXPIRED = "failed", "cancelled", "expired"
STATES = (QUEUED, RUNNING, DONE, FAILED, CANCELLED, EXPIRED)
OVER = (DONE, FAILED, CANCELLED, EXPIRED)
EDIT, SEGMENT, AUDIT = "edit", "segment", "audit"
# Finding organs takes a second and somebody looks on; an audit is many edits.
PRIORITY = {EDIT: 0, SEGMENT: 1, AUDIT: -1}
PARTS = ("source", "masks", "roi")
HOME = "audit"  # in the folder of an audit that is not over
REFUSED = "refused"  # in a result: why the job failed although files were made
MEDIA = {
    ".dcm": "application/dicom",
    ".png": "image/png",
    ".json": "application/json",
    ".npz": "application/octet-stream",
    ".html": "text/html",
    ".csv": "text/csv",
}


@dataclass(frozen=True)
class Submission:
    """A checked request and the folder that holds its files ``source``, ``masks``, ``roi``."""

    kind: str  # edit, segment or audit
    request: Mapping[str, Any]  # without paths; the backbone by its published name
    folder: Path  # is moved into the job's own; an audit's ``source`` may be a folder
    digests: Mapping[str, str]  # sha256 of each file by its name

    def key(self) -> str:
        """Equal for equal files and requests, whoever asks."""
        parts = {"kind": self.kind, "request": self.request, "files": self.digests}
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Job:
    """One job as it stands; times are seconds since 1970."""

    id: str
    kind: str
    state: str
    request: Mapping[str, Any] = field(repr=False)
    created: float
    attempts: int = 0
    worker: str | None = None  # slot and name of the one that runs it
    position: int | None = None  # jobs before it and itself; 0 = running, None = over
    stage: str | None = None
    step: int | None = None
    total: int | None = None
    eta_s: float | None = None  # seconds left in the stage
    started: float | None = None
    finished: float | None = None
    expires: float | None = None  # files are removed then
    cancel_asked: bool = False
    error: Mapping[str, str] | None = None
    result: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self.state in OVER


@dataclass(frozen=True)
class ResultFile:
    """One file of a finished job."""

    index: int
    role: str  # cf, diff, seg, sr, preview, trace, report, arrays, view_...
    path: Path  # absolute; never shown to a client
    name: str  # relative to the result folder
    media_type: str
    bytes: int
    sha256: str
    sop_class: str | None = None
    series_uid: str | None = None
    sop_uid: str | None = None
    label: str = ""


def drawn(files: Path) -> dict[str, str]:
    """The uploaded masks and region of a job's ``in/``, as a request names them."""
    folders = (files / part for part in PARTS[1:])
    return {at.name: str(next(at.iterdir())) for at in folders if at.is_dir()}


def result_files(folder: Path, result: Mapping[str, Any]) -> tuple[ResultFile, ...]:
    """The files that a result lists, in its order.

    Args:
        folder: the job's result folder; the paths in ``result`` are relative to it.
        result: as the worker stored it.
    """
    found = []
    for index, entry in enumerate(result.get("files", ())):
        path = folder / entry["path"]
        found.append(
            ResultFile(
                index=index,
                role=entry["role"],
                path=path,
                name=entry["path"],
                media_type=MEDIA.get(path.suffix, "application/octet-stream"),
                bytes=path.stat().st_size,
                sha256=entry["sha256"],
                sop_class=entry.get("sop_class"),
                series_uid=entry.get("series_uid"),
                sop_uid=entry.get("sop_uid"),
                label=entry.get("label") or "",
            )
        )
    return tuple(found)
