# SPDX-License-Identifier: Apache-2.0
"""The shards that this process has open, and those it may still open: rows out, lines in."""

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monai_cxr_cf.batch.engines.crew import Task
from monai_cxr_cf.batch.engines.open_shard import OpenShard, has_work
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.store.lease import Lease, take
from monai_cxr_cf.batch.store.results import Line
from monai_cxr_cf.batch.store.run_folder import RunFolder

WAIT_S = 2.0  # before a shard that another process holds is looked at again


class Shelf:
    """Shards by number.

    Args:
        folder: laid out.
        how: the settings.
        numbers: of the shards to do, in this order.
    """

    def __init__(self, folder: RunFolder, how: How, numbers: Iterable[int]) -> None:
        self._folder, self._how = folder, how
        self._todo: deque[int] = deque(numbers)
        self._elsewhere: list[int] = []
        self._open: dict[int, OpenShard] = {}
        self._looked = time.monotonic()
        self.held: dict[int, Lease] = {}

    def take(self, enough: int = 1) -> list[Task]:
        """Rows that share a radiograph, of an open shard or the next; none if there is none now.

        With ``enough`` above 1: further rows of that shard, until there are so many.
        """
        shard = self._waiting()
        tasks: list[Task] = []
        while shard is not None and shard.queue and (not tasks or len(tasks) < enough):
            tasks += shard.take()
            if tasks[-1].alone and len(tasks) > 1:
                shard.back(tasks.pop().row, alone=True)
                break
            if tasks[-1].alone:
                break
        return tasks

    def queued(self, enough: int) -> int:
        """How many lists of rows ``take`` would give; counts no further than ``enough``."""
        found = self._waiting() is not None
        while found and self._many() < enough and self._todo:
            self._next()
        return self._many()

    def over(self) -> bool:
        """Whether nothing is left, here or at another process."""
        return not self._open and not self._todo and not self._elsewhere

    def record(self, task: Task, record: Mapping[str, Any]) -> bool:
        """Take note of a record; whether its row is given up."""
        shard = self._open.get(task.shard)
        if shard is None:  # lost to another process, which does it again
            return False
        shard.settle(task.row, record)
        return bool(shard.due[-1].get("final"))

    def back(self, tasks: Sequence[Task], *, alone: bool = False) -> None:
        """Tasks that were handed out and are not done; ``alone``: one of them killed a worker."""
        for task in reversed(tasks):
            if task.shard in self._open:
                self._open[task.shard].back(task.row, alone=alone)

    def flush(self) -> list[Line]:
        """Write the lines that are due, close finished shards; returns what was written."""
        written: list[Line] = []
        for number, shard in list(self._open.items()):
            if not shard.lease.held():
                self._open.pop(number).results.close()
                self.held.pop(number)
                continue
            if shard.due:
                written += shard.flush()
            if not shard.left:
                self._close(number, whole=True)
        return written

    def close(self) -> None:
        """Give everything back."""
        for number in list(self._open):
            self._close(number)

    def _close(self, number: int, *, whole: bool = False) -> None:
        shard = self._open[number]
        if shard.lease.held():
            shard.close(whole=whole)
        else:
            shard.results.close()
        self._open.pop(number)
        self.held.pop(number, None)

    def _waiting(self) -> OpenShard | None:
        """An open shard with rows that nobody has; the next one is opened if need be."""
        for shard in self._open.values():
            if shard.queue:
                return shard
        if not self._todo and time.monotonic() - self._looked > WAIT_S:
            self._looked = time.monotonic()
            self._todo.extend(self._elsewhere)
            self._elsewhere.clear()
        return self._next()

    def _next(self) -> OpenShard | None:
        """Open the next shard that is free and of which something is left."""
        while self._todo:
            opened = self._opened(self._todo.popleft())
            if opened is not None:
                return opened
        return None

    def _many(self) -> int:
        return sum(len(shard.queue) for shard in self._open.values())

    def _opened(self, number: int) -> OpenShard | None:
        """The shard, if it is free and something of it is left."""
        if not has_work(self._folder, number, self._how):
            return None
        lease = take(self._folder.leases, f"{number:05d}")
        if lease is None:
            self._elsewhere.append(number)
            return None
        self.held[number] = lease
        self._open[number] = shard = OpenShard(self._folder, number, lease, self._how)
        self._how.at("leased")
        if not shard.left:  # another process was quicker, or was stopped before it packed
            self._close(number, whole=True)
            return None
        return shard
