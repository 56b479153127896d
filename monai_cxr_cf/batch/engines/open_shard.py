# SPDX-License-Identifier: Apache-2.0
"""A shard that this process works on: what is left of it, and the lines that are due."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from monai_cxr_cf.batch.engines.crew import Task
from monai_cxr_cf.batch.how import KILLS, How
from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.rows.shards import chunks
from monai_cxr_cf.batch.store.files import remove, subfolders
from monai_cxr_cf.batch.store.lease import Lease
from monai_cxr_cf.batch.store.packs import is_due, pack
from monai_cxr_cf.batch.store.results import (
    FAILED,
    KILLED,
    History,
    Line,
    Results,
    histories,
    read_lines,
)
from monai_cxr_cf.batch.store.run_folder import RunFolder


def left_of(folder: RunFolder, number: int, how: How) -> tuple[list[Row], dict[int, History]]:
    """The rows of a shard that are to be done, and what is known of them."""
    known = histories(read_lines(folder.results(number)))
    rows = []
    for row in folder.read_plan(number):
        history = known.get(row.number, History())
        if history.settled or (how.only is not None and row.number not in how.only):
            continue
        if history.over and how.retry:
            known[row.number] = History()
        elif history.over:
            continue
        rows.append(row)
    return rows, known


def has_work(folder: RunFolder, number: int, how: How) -> bool:
    """Whether something of a shard is left: rows, or packing them."""
    return bool(left_of(folder, number, how)[0]) or (how.only is None and is_due(folder, number))


class OpenShard:
    """Opened under its lease; ``close`` gives it back."""

    def __init__(self, folder: RunFolder, number: int, lease: Lease, how: How) -> None:
        self.number, self.lease, self._how, self._folder = number, lease, how, folder
        self.results = Results(folder.results(number), how.at)
        rows, self._known = left_of(folder, number, how)
        self.queue: deque[list[Row]] = deque(chunks(rows))
        self.left = len(rows)
        self.due: list[Line] = []
        self._suspects: set[int] = set()  # rows that are done alone
        self._aside = folder.aside(number, lease.epoch)
        for old in subfolders(folder.all_aside):  # of those that held it before
            if old.name.partition(".")[0] == self._aside.name.partition(".")[0]:
                remove(old)

    def take(self) -> list[Task]:
        """The next rows that share a radiograph; one that is suspected comes alone."""
        alone = self._suspects
        return [Task(self.number, r, self._aside, r.number in alone) for r in self.queue.popleft()]

    def back(self, row: Row, *, alone: bool) -> None:
        """A row that was handed out and not done."""
        if alone:
            self._suspects.add(row.number)
        self.queue.appendleft([row])

    def settle(self, row: Row, record: Mapping[str, Any]) -> None:
        """A record becomes a line that is due; a failed row waits for its next attempt."""
        history = self._known.setdefault(row.number, History())
        first = {"state": record["state"], "n": row.number, "id": row.id}
        line: Line = {**first, **record, "t": round(time.time(), 2)}
        history.add(line)
        if record["state"] in (FAILED, KILLED):
            line["attempt"] = history.failed + history.killed
            line["final"] = history.failed >= self._how.attempts or history.killed >= KILLS
            if not line["final"]:
                self._suspects.add(row.number)
                self.queue.append([row])
        self.left -= history.over
        self.due.append(line)

    def flush(self) -> list[Line]:
        """Write what is due; returns it."""
        self._how.at("told")
        self.results.append(self.due)
        written, self.due = self.due, []
        return written

    def close(self, *, whole: bool = False) -> None:
        """Give file, lease and folder back; ``whole``: its last row is over."""
        if whole and self._how.only is None:
            pack(self._folder, self.number)
        self.results.close()
        remove(self._aside)
        self.lease.release()
