# SPDX-License-Identifier: Apache-2.0
"""Rows of the queue as jobs, and the few changes that both sides of it make."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, RowMapping

from monai_cxr_cf.server.queue.jobs import EXPIRED, RUNNING, Job, Submission
from monai_cxr_cf.server.queue.tables import events, jobs
from monai_cxr_cf.server.refusals import NotFound
from monai_cxr_cf.server.settings import Limits


def job_of(row: RowMapping, limits: Limits) -> Job:
    """A row as a job; the place of one that waits is not known here."""
    plain = {name: row[name] for name in _PLAIN}
    finished = row["finished"]
    kept = finished is not None and row["state"] != EXPIRED
    return Job(
        **plain,
        position=0 if row["state"] == RUNNING else None,
        expires=finished + limits.age_s if kept else None,
    )


_PLAIN = (
    *(
        "id",
        "kind",
        "state",
        "request",
        "created",
        "attempts",
        "worker",
        "stage",
        "step",
        "total",
        "eta_s",
    ),
    *("started", "finished", "cancel_asked", "error", "result"),
)


def end(connection: Connection, seq: int, state: str, error: Mapping[str, str]) -> None:
    """Close a job that did not succeed; its last event says why."""
    add_event(connection, seq, {"event": "error", **error})
    values = {"state": state, "error": dict(error), "finished": time.time(), "worker": None}
    change(connection, seq, values | {"eta_s": None})


def add_event(connection: Connection, seq: int, event: Mapping[str, Any]) -> None:
    """Append one event under the next number."""
    highest = sql.select(sql.func.coalesce(sql.func.max(events.c.n), 0) + 1)
    n = connection.execute(highest.where(events.c.job == seq)).scalar_one()
    line = json.dumps(dict(event), ensure_ascii=True)
    connection.execute(sql.insert(events).values(job=seq, n=n, line=line))


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def key_of(submission: Submission) -> str | None:
    """What makes two submissions equal; None where a fresh copy is asked for: never."""
    return None if submission.request.get("uids") == "random" else submission.key()


def row_of(connection: Connection, job: str) -> RowMapping:
    """The row of a job; NotFound if there is none."""
    row = connection.execute(sql.select(jobs).where(jobs.c.id == job)).mappings().first()
    if row is None:
        raise NotFound("There is no job of that id.", hint="GET /v1/jobs lists them.")
    return row


def change(connection: Connection, seq: int, values: Mapping[str, Any]) -> None:
    """Set columns of a job."""
    changed = {**values, "updated": time.time()}
    connection.execute(sql.update(jobs).where(jobs.c.seq == seq).values(**changed))
