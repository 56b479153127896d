# SPDX-License-Identifier: Apache-2.0
"""The job store as the web process uses it: submit, look, cancel, read events and files, expire.

One SQLite file and one folder a job below the data folder. ``line`` holds the worker's side.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sql
from sqlalchemy.engine import Connection, RowMapping
from sqlalchemy.exc import IntegrityError

from monai_cxr_cf.errors import Cancelled, ResourceExhausted
from monai_cxr_cf.server.queue import tables
from monai_cxr_cf.server.queue.jobs import (
    CANCELLED,
    DONE,
    EXPIRED,
    FAILED,
    OVER,
    PRIORITY,
    QUEUED,
    RUNNING,
    Job,
    ResultFile,
    Submission,
    result_files,
)
from monai_cxr_cf.server.queue.rows import change, end, job_of, key_of, row_of, size_of
from monai_cxr_cf.server.queue.tables import events, jobs, workers
from monai_cxr_cf.server.refusals import Busy, Conflict, Gone
from monai_cxr_cf.server.settings import Limits

STALE_S = 60.0  # a worker that was silent for so long is not ready


class Store:
    """Jobs on disk; every method is safe from several threads and processes.

    Args:
        data: the server's data folder; made with mode 0700.
        limits: queue length, storage and age.
    """

    def __init__(self, data: Path, limits: Limits) -> None:
        for folder in (data, data / "jobs", data / "incoming"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data, self.limits = data, limits
        self.reading = tables.reader(data / "jobs.sqlite")
        self.writing = tables.writer(data / "jobs.sqlite")
        tables.prepare(self.writing)

    def close(self) -> None:
        """Close the connections."""
        self.reading.dispose()
        self.writing.dispose()

    def folder(self, job: str) -> Path:
        """Folder of a job that exists: ``in/source``, ``in/masks``, ``in/roi``, ``out/``."""
        return self.data / "jobs" / self.get(job).id

    def same(self, submission: Submission) -> Job | None:
        """The job that waits, runs or is done for an equal submission."""
        key = key_of(submission)
        if key is None:
            return None
        alive = jobs.c.state.in_((QUEUED, RUNNING, DONE))
        query = sql.select(jobs.c.id).where(jobs.c.key == key, alive)
        with self.reading.connect() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else self.get(found)

    def room(self) -> None:
        """Refuse a new job when too many wait or too much is stored.

        Raises:
            Busy: the queue is full.
            ResourceExhausted: sources and results reach the storage limit.
        """
        waiting = sql.select(sql.func.count()).where(jobs.c.state == QUEUED)
        stored = sql.select(sql.func.coalesce(sql.func.sum(jobs.c.bytes), 0))
        with self.reading.connect() as connection:
            count = connection.execute(waiting).scalar_one()
            size = connection.execute(stored).scalar_one()
        if count >= self.limits.queue:
            raise Busy(f"{count} jobs wait; that is the limit.", hint="Try again later.")
        if size >= self.limits.stored_bytes:
            raise ResourceExhausted(
                f"{size / 1e9:.1f} GB are stored; that is the limit.",
                hint="Delete finished jobs, or wait until they expire.",
            )

    def submit(self, submission: Submission) -> tuple[Job, bool]:
        """Queue a submission; its folder becomes the job's.

        Returns:
            The job, and whether it is new; an equal one that waits, runs or is done is not.
        """
        self.room()
        name, now = uuid4().hex, time.time()
        home = self.data / "jobs" / name
        home.mkdir(mode=0o700)
        submission.folder.rename(home / "in")
        row = {
            "id": name,
            "kind": submission.kind,
            "key": key_of(submission),
            "state": QUEUED,
            "priority": PRIORITY[submission.kind],
            "source": submission.digests.get("source"),
            "request": dict(submission.request),
            "bytes": size_of(home),
            "created": now,
            "updated": now,
        }
        try:
            with self.writing.begin() as connection:
                connection.execute(sql.insert(jobs).values(**row))
        except IntegrityError:  # an equal one came a moment earlier
            shutil.rmtree(home, ignore_errors=True)
            earlier = self.same(submission)
            if earlier is None:
                raise
            return earlier, False
        return self.get(name), True

    def get(self, job: str) -> Job:
        """A job by its id; NotFound if there is none."""
        with self.reading.connect() as connection:
            row = row_of(connection, job)
            if row["state"] != QUEUED:
                return job_of(row, self.limits)
            ahead = sql.or_(
                jobs.c.priority > row["priority"],
                sql.and_(jobs.c.priority == row["priority"], jobs.c.seq <= row["seq"]),
            )
            query = sql.select(sql.func.count()).where(jobs.c.state == QUEUED, ahead)
            position = connection.execute(query).scalar_one()
        return replace(job_of(row, self.limits), position=position)

    def list(self, state: str | None = None, *, limit: int = 100, skip: int = 0) -> Sequence[Job]:
        """Jobs, the newest first, perhaps only those in one state."""
        query = sql.select(jobs).order_by(jobs.c.seq.desc()).limit(limit).offset(skip)
        if state is not None:
            query = query.where(jobs.c.state == state)
        order = (jobs.c.priority.desc(), jobs.c.seq)
        waiting = sql.select(jobs.c.id).where(jobs.c.state == QUEUED).order_by(*order)
        with self.reading.connect() as connection:
            rows = connection.execute(query).mappings().all()
            line = connection.execute(waiting).scalars().all()
        places = {name: place for place, name in enumerate(line, 1)}
        found = [job_of(row, self.limits) for row in rows]
        return [replace(j, position=places.get(j.id, j.position)) for j in found]

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        query = sql.select(jobs.c.state, sql.func.count()).group_by(jobs.c.state)
        with self.reading.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def cancel(self, job: str) -> Job:
        """Stop a job: at once if it waits, at its next step if it runs.

        A job that is over loses its files now instead of at its age limit.
        """
        with self.writing.begin() as connection:
            row = row_of(connection, job)
            if row["state"] in OVER:
                self._expire(connection, row)
            elif row["state"] == RUNNING:
                change(connection, row["seq"], {"cancel_asked": True})
            else:
                end(connection, row["seq"], CANCELLED, Cancelled().as_dict())
        return self.get(job)

    def events(self, job: str, after: int = 0) -> tuple[str, ...]:
        """JSON lines of a job, those numbered above ``after``; NotFound if there is no job."""
        with self.reading.connect() as connection:
            row = row_of(connection, job)
            query = sql.select(events.c.n, events.c.line).where(
                events.c.job == row["seq"], events.c.n > after
            )
            found = connection.execute(query.order_by(events.c.n)).all()
        return tuple(f'{{"n": {n}, {line[1:]}' for n, line in found)

    def files(self, job: str) -> tuple[ResultFile, ...]:
        """Files of a finished job; Gone when it expired, Conflict when it has none.

        A refused ``segment`` job has the masks that a person may correct.
        """
        found = self.get(job)
        if found.state == EXPIRED:
            raise Gone("The files of this job were removed.", hint="Submit the request again.")
        if found.state not in (DONE, FAILED) or found.result is None:
            raise Conflict(
                f"The job is {found.state}; expected done.", hint="Files exist when it is done."
            )
        return result_files(self.data / "jobs" / found.id / "out", found.result)

    def expire(self) -> int:
        """Remove the files of jobs past their age, and the records of long expired ones."""
        now = time.time()
        old = sql.select(jobs).where(
            jobs.c.state.in_((DONE, FAILED, CANCELLED)), jobs.c.finished < now - self.limits.age_s
        )
        forgotten = sql.delete(jobs).where(
            jobs.c.state == EXPIRED, jobs.c.updated < now - self.limits.forget_s
        )
        with self.writing.begin() as connection:
            rows = connection.execute(old).mappings().all()
            for row in rows:
                self._expire(connection, row)
            connection.execute(forgotten)
        return len(rows)

    def sweep(self) -> None:
        """Remove what a killed server left: half received uploads, folders without a job."""
        with self.reading.connect() as connection:
            known = set(connection.execute(sql.select(jobs.c.id)).scalars())
        left = [*(self.data / "incoming").iterdir()]
        left += [f for f in (self.data / "jobs").iterdir() if f.name not in known]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)

    def worker(self) -> dict[str, Any] | None:
        """Facts of a worker that lives: device, versions; None while there is none."""
        with self.reading.connect() as connection:
            rows = connection.execute(sql.select(workers)).mappings().all()
        for row in rows:
            if row["ready"] and time.time() - row["beat"] <= STALE_S:
                return dict(row["facts"])
        return None

    def no_worker(self, slot: int | None = None) -> None:
        """Forget the worker of a slot that is gone; None: all of them."""
        gone = sql.delete(workers)
        with self.writing.begin() as connection:
            connection.execute(gone if slot is None else gone.where(workers.c.id == slot))

    def _expire(self, connection: Connection, row: RowMapping) -> None:
        """Files first: after a crash in between the record still says where they were."""
        shutil.rmtree(self.data / "jobs" / row["id"], ignore_errors=True)
        connection.execute(sql.delete(events).where(events.c.job == row["seq"]))
        blank: dict[str, Any] = {
            "state": EXPIRED,
            "request": {},
            "source": None,
            "result": None,
            "bytes": 0,
            "key": None,
        }
        change(connection, row["seq"], blank)
