# SPDX-License-Identifier: Apache-2.0
"""The worker's side of the job store: take the next job, tell its steps, finish or give it back.

Only one worker lives in each slot (``worker`` holds a file lock), so a job that is marked running
in its slot when a worker starts is one whose worker died.
"""

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql

from monai_cxr_cf.batch.how import KILLS
from monai_cxr_cf.errors import CxrError
from monai_cxr_cf.server.queue.jobs import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    REFUSED,
    RUNNING,
)
from monai_cxr_cf.server.queue.rows import add_event, change, end, size_of
from monai_cxr_cf.server.queue.store import Store
from monai_cxr_cf.server.queue.tables import jobs, workers

DIED = CxrError(
    "The worker process died while it ran this job, twice: most likely memory ran out.",
    code="worker_crashed",
    hint="Try the preset 'fast', fewer seeds or a smaller image.",
)


class Line:
    """What one worker does to the store.

    Args:
        store: the jobs on disk.
        token: names this worker process.
        slot: 0 to ``slots`` - 1; two workers that live have two slots.
        slots: how many workers the server keeps.
    """

    def __init__(self, store: Store, token: str, *, slot: int = 0, slots: int = 1) -> None:
        self._store, self._slot, self._slots = store, slot, slots
        self._token = f"{slot}:{token}"

    def recover(self) -> int:
        """Queue again what a dead worker was running, at its old place; fail it the second time.

        Slot 0 also looks after slots that are no more.

        Returns:
            How many jobs were found.
        """
        with self._store.writing.begin() as connection:
            running = sql.select(jobs).where(jobs.c.state == RUNNING)
            found = connection.execute(running).mappings().all()
            rows = [row for row in found if self._mine(slot_of(row["worker"]))]
            for row in rows:
                if row["cancel_asked"]:
                    end(connection, row["seq"], CANCELLED, _cancelled())
                elif row["attempts"] >= KILLS:
                    end(connection, row["seq"], FAILED, DIED.as_dict())
                else:
                    told = "The worker process died; the job starts again."
                    facts = {"event": "warning", "code": "restarted", "message": told}
                    add_event(connection, row["seq"], facts)
                    _back(connection, row["seq"], attempts=row["attempts"])
        return len(rows)

    def _mine(self, slot: int) -> bool:
        return slot == self._slot or (self._slot == 0 and slot >= self._slots)

    def take(self) -> dict[str, Any] | None:
        """The next job, now marked running; None if none waits.

        A job on a radiograph that another worker is at goes behind its equals: once that worker
        is free, it has most of the work done already.
        """
        other = jobs.alias()
        at_it = (
            sql.exists()
            .where(other.c.state == RUNNING, other.c.source == jobs.c.source)
            .correlate(jobs)
        )
        order = (jobs.c.priority.desc(), at_it, jobs.c.seq)
        first = sql.select(jobs.c.seq).where(jobs.c.state == QUEUED).order_by(*order).limit(1)
        taken = sql.update(jobs).where(jobs.c.seq == first.scalar_subquery()).returning(*jobs.c)
        # Look before writing: an idle worker must not take the write lock five times a second.
        with self._store.reading.connect() as connection:
            if connection.execute(first).scalar() is None:
                return None
        with self._store.writing.begin() as connection:
            now = time.time()  # under the lock: no job starts before it was submitted
            values = {"state": RUNNING, "worker": self._token, "started": now, "updated": now}
            query = taken.values(**values, attempts=jobs.c.attempts + 1)
            row = connection.execute(query).mappings().first()
        return None if row is None else {str(name): value for name, value in row.items()}

    def tell(self, seq: int, event: Mapping[str, Any]) -> None:
        """One event of a job; a progress event is also its state."""
        with self._store.writing.begin() as connection:
            add_event(connection, seq, event)
            if event["event"] == "progress":
                values = {name: event[name] for name in ("stage", "step", "total", "eta_s")}
                values["updated"] = time.time()
                connection.execute(sql.update(jobs).where(jobs.c.seq == seq).values(**values))

    def asked_to_stop(self, seq: int) -> bool:
        """Whether the caller cancelled the job."""
        query = sql.select(jobs.c.cancel_asked).where(jobs.c.seq == seq)
        with self._store.reading.connect() as connection:
            return bool(connection.execute(query).scalar())

    def done(self, seq: int, result: Mapping[str, Any]) -> None:
        """The job succeeded; its files lie in its result folder.

        One whose result holds a refusal failed, yet its files are listed: masks to correct.
        """
        if refusal := result.get(REFUSED):
            self._refused(seq, result, refusal)
            return
        query = sql.select(jobs.c.id).where(jobs.c.seq == seq)
        with self._store.writing.begin() as connection:
            name = connection.execute(query).scalar_one()
            for file in result["files"]:
                if file["role"] == "preview":
                    facts = {"event": "preview", "path": file["path"], "step": None}
                    add_event(connection, seq, facts)
            add_event(connection, seq, {"event": "result", **result})
            values = {"state": DONE, "result": dict(result), "finished": time.time()}
            values |= {"bytes": size_of(self._store.data / "jobs" / name), "eta_s": None}
            values |= {"updated": time.time(), "worker": None}
            connection.execute(sql.update(jobs).where(jobs.c.seq == seq).values(**values))

    def _refused(self, seq: int, result: Mapping[str, Any], refusal: Mapping[str, str]) -> None:
        query = sql.select(jobs.c.id).where(jobs.c.seq == seq)
        kept = {name: value for name, value in result.items() if name != REFUSED}
        with self._store.writing.begin() as connection:
            name = connection.execute(query).scalar_one()
            size = size_of(self._store.data / "jobs" / name)
            end(connection, seq, FAILED, refusal)
            change(connection, seq, {"result": kept, "bytes": size})

    def failed(self, seq: int, error: CxrError) -> None:
        """The job ended early: cancelled, refused or broken."""
        state = CANCELLED if error.code == "cancelled" else FAILED
        with self._store.writing.begin() as connection:
            end(connection, seq, state, error.as_dict())

    def give_back(self, seq: int) -> None:
        """Queue a job again that a shutdown interrupted; the attempt does not count."""
        with self._store.writing.begin() as connection:
            query = sql.select(jobs.c.attempts).where(jobs.c.seq == seq)
            attempts = connection.execute(query).scalar_one()
            _back(connection, seq, attempts=attempts - 1)

    def beat(self, *, ready: bool, facts: Mapping[str, Any]) -> None:
        """Say that this worker lives."""
        values = {"token": self._token, "beat": time.time(), "ready": ready, "facts": dict(facts)}
        with self._store.writing.begin() as connection:
            connection.execute(sql.delete(workers).where(workers.c.id == self._slot))
            connection.execute(sql.insert(workers).values(id=self._slot, **values))


def slot_of(worker: str | None) -> int:
    """The slot of the worker that a running job names; 0 where it names none."""
    slot = (worker or "").partition(":")[0]
    return int(slot) if slot.isdecimal() else 0


def _back(connection: sql.Connection, seq: int, *, attempts: int) -> None:
    blank = dict.fromkeys(("worker", "stage", "step", "total", "eta_s", "started"))
    values = {**blank, "state": QUEUED, "attempts": attempts, "updated": time.time()}
    connection.execute(sql.update(jobs).where(jobs.c.seq == seq).values(**values))


def _cancelled() -> dict[str, str]:
    return CxrError("The run was cancelled.", code="cancelled").as_dict()
