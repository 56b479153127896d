# SPDX-License-Identifier: Apache-2.0
"""The local engine: this process drives worker processes, and alone writes the lines of a shard.

It may be killed at any moment: what counts is on disk. Asked to stop (Ctrl-C, SIGTERM) it writes
the lines of the rows that are finished, drops those that are not, and gives its shards back.
"""

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

from monai_cxr_cf.batch.engines.crew import Task, Worker, hire
from monai_cxr_cf.batch.engines.shelf import Shelf
from monai_cxr_cf.batch.engines.worker import BROKEN, READY, Contract
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.perform import FULL, Work
from monai_cxr_cf.batch.store.files import is_full, remove
from monai_cxr_cf.batch.store.lease import beating
from monai_cxr_cf.batch.store.results import FAILED, KILLED, Line
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.errors import ResourceExhausted

LOOK_S, WEIGH_S = 0.25, 1.0
QUICK_S = 0.2  # rows as quick as this are handed out several at a time:
AHEAD, AHEAD_S = 64, 0.8  # so many, and no more than take so long
STARTS = 3  # workers in a row that may die while loading
INTERRUPTED = "It was asked to stop."
DISK = "The disk is full: make room."
Tell = Callable[[Sequence[Line]], None]
Learn = Callable[[dict[str, str]], None]


class Local:
    """One run of the local engine.

    Args:
        folder: laid out.
        work: what is done with a row.
        how: the settings.
        tell: called with new lines that are on disk, a few times a second, perhaps with none.
        learn: called with the digests of models; raises if one is not what it was.
    """

    def __init__(
        self, folder: RunFolder, work: Work, how: How, *, tell: Tell, learn: Learn
    ) -> None:
        self._folder, self._how, self._tell, self._learn = folder, how, tell, learn
        self._contract = Contract(work, folder.path, how.threads, how.at)
        self._workers: list[Worker] = []
        self._pace, self._weighed, self._looked = 1.0, 0.0, 0.0
        self._starts = self._hired = self._rows = self._failures = 0
        self._stopped = ""

    def run(self, numbers: Iterable[int], *, stay: bool = False) -> str:
        """Do the rows of these shards; returns why it stopped before the end, or "".

        With ``stay`` idle workers wait for the next run.

        Raises:
            CxrError: a worker could not load what it needs, or its weights are others.
        """
        self._stopped, self._shelf = "", Shelf(self._folder, self._how, numbers)
        with self._listening(), beating(self._shelf.held):
            try:
                while not self._stopped and not self._shelf.over():
                    self._feed()
                    self._hear()
                    self._look()
                    self._feed()  # they work while the lines are synced
                    self._flush()
            except OSError as error:
                if not is_full(error):
                    raise
                self._stopped = DISK
            finally:
                self._end(stay=stay and not self._stopped and self._shelf.over())
        return self._stopped

    def _feed(self) -> None:
        """Give idle workers rows; hire where rows wait and nobody is free."""
        quick = self._pace < QUICK_S
        for worker in self._workers:
            if worker.ready and not worker.tasks:
                tasks = self._shelf.take(self._many() if quick else 1)
                if not tasks:
                    break
                worker.give(tasks, together=quick)
        free = sum(not worker.tasks for worker in self._workers)
        room = self._how.workers - len(self._workers)
        for _ in range(min(room, self._shelf.queued(room + free) - free) if room else 0):
            self._hired += 1
            self._workers.append(hire(self._contract, self._hired))

    def _many(self) -> int:
        """Rows that are handed out at a time where they are quick."""
        return max(1, min(AHEAD, round(AHEAD_S / max(self._pace, 1e-4))))

    def _hear(self) -> None:
        """Wait for records, not for long; take them all."""
        ready = wait([worker.pipe for worker in self._workers], LOOK_S)
        if not self._workers:
            time.sleep(LOOK_S)
        for worker in [w for w in self._workers if w.pipe in ready]:
            for kind, told in worker.heard():
                if kind == BROKEN:
                    raise told
                if kind == READY:
                    worker.ready, worker.since, self._starts = True, time.monotonic(), 0
                    self._learn(told)
                else:
                    self._record(worker.answered(), told)

    def _record(self, task: Task, record: dict[str, Any]) -> None:
        """A row has ended, one way or the other."""
        if record["state"] == FULL:
            self._shelf.back([task])
            self._stopped = DISK
            return
        if record.get("weights"):
            self._learn(record["weights"])
        self._pace += (record.get("seconds", 1.0) - self._pace) / 8
        self._rows += 1
        self._failures += self._shelf.record(task, record)
        if not self._stopped and self._how.too_many(self._failures, self._rows):
            self._stopped = f"{self._failures} of {self._rows} rows failed."

    def _look(self) -> None:
        """Find workers that are dead, slow or too large."""
        now = time.monotonic()
        weigh = now - self._weighed > WEIGH_S
        if weigh:
            self._weighed = now
        for worker in list(self._workers):
            if worker.over:
                self._bury(worker)
            elif worker.seconds() > self._how.timeout:
                self._dismiss(worker, "row_time", f"It took more than {self._how.timeout:g} s.")
            elif weigh and self._how.memory and worker.memory() > self._how.memory:
                limit = f"{self._how.memory / 1e9:g} GB"
                self._dismiss(worker, "row_memory", f"It took more than {limit} of memory.")

    def _bury(self, worker: Worker) -> None:
        """A worker died by itself: the row it had in hand is suspected."""
        how = worker.died_of()
        if not worker.ready:
            self._starts += 1
            if self._starts >= STARTS:
                raise ResourceExhausted(
                    f"{STARTS} workers ended while they loaded; the last one {how}.",
                    hint="Try fewer --workers.",
                )
        self._part(worker, {"state": KILLED, "code": "killed", "message": f"The worker {how}."})

    def _dismiss(self, worker: Worker, code: str, message: str) -> None:
        """End a worker that reached a limit, unless its row has just been finished."""
        worker.process.kill()
        worker.process.join()
        for _, told in worker.heard():
            self._record(worker.answered(), told)
            code = ""
        self._part(worker, {"state": FAILED, "code": code, "message": message} if code else None)

    def _part(self, worker: Worker, record: dict[str, Any] | None) -> None:
        """Take the tasks of a worker that is gone; the one it had in hand gets the record.

        Of several that it did as one nobody knows which it was: each is done again, alone.
        """
        self._workers.remove(worker)
        worker.end()
        if not worker.tasks:
            return
        remove(worker.aside())
        unknown = worker.together and len(worker.tasks) > 1
        if record is not None and not unknown:
            seconds = round(time.monotonic() - worker.since, 3)
            self._record(worker.tasks.popleft(), {**record, "seconds": seconds})
        self._shelf.back(list(worker.tasks), alone=unknown and record is not None)

    def _flush(self) -> None:
        """Write what is due, and tell."""
        written = self._shelf.flush()
        if written or time.monotonic() - self._looked > LOOK_S:
            self._looked = time.monotonic()
            self._tell(written)

    def _end(self, *, stay: bool) -> None:
        """Write what is finished, drop what is not; workers without a row may stay."""
        for worker in [w for w in self._workers if w.tasks or not stay]:
            self._workers.remove(worker)
            worker.end()
        if self._stopped != DISK:
            self._flush()
        self._shelf.close()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Within the block SIGTERM and Ctrl-C ask to stop, and interrupt nothing."""

        def stop(number: int, frame: Any) -> None:
            self._stopped = INTERRUPTED

        try:
            before = [(n, signal.signal(n, stop)) for n in (signal.SIGINT, signal.SIGTERM)]
        except ValueError:  # not the main thread: nobody interrupts it
            before = []
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)
