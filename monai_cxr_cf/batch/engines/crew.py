# SPDX-License-Identifier: Apache-2.0
"""The worker processes of the local engine, seen from the driver: start, hand out, limit, end."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.engines.worker import ROWS, Contract, serve
from monai_cxr_cf.batch.rows.columns import Row


@dataclass(frozen=True)
class Task:
    """A row of a shard."""

    shard: int
    row: Row
    aside: Path  # where the holder of the shard builds
    alone: bool = False  # suspected of killing workers


@dataclass
class Worker:
    """One process and what it has in hand; the first task is the one it works on."""

    process: BaseProcess
    pipe: Connection
    number: int
    tasks: deque[Task] = field(default_factory=deque)
    together: bool = False  # the tasks are done as one; else the first one is in work
    ready: bool = False
    since: float = 0.0  # when the first task was begun
    over: bool = False  # its pipe has ended

    def give(self, tasks: list[Task], *, together: bool) -> None:
        """Hand out rows of one shard; that a worker is dead is found out later."""
        self.since, self.together = time.monotonic(), together and len(tasks) > 1
        self.tasks.extend(tasks)
        rows = [task.row for task in tasks]
        lists = [rows] if self.together else [[row] for row in rows]
        with suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send((lists, self.aside()))

    def aside(self) -> Path:
        """Where it builds; it has a task."""
        return self.tasks[0].aside / str(self.number)

    def heard(self) -> list[tuple[str, Any]]:
        """All that it has said; sets ``over`` if that was the last."""
        found = []
        try:
            while self.pipe.poll():
                kind, told = self.pipe.recv()
                found += [(kind, each) for each in told] if kind == ROWS else [(kind, told)]
        except (EOFError, ConnectionResetError):
            self.over = True
        return found

    def answered(self) -> Task:
        """The task of a record that came."""
        if not self.together:
            self.since = time.monotonic()
        return self.tasks.popleft()

    def seconds(self) -> float:
        """How long it has worked on its first task."""
        return time.monotonic() - self.since if self.ready and self.tasks else 0.0

    def memory(self) -> int:
        """Bytes that it takes in memory; 0 where the system does not say."""
        try:
            pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    def end(self) -> None:
        """Kill it; what it builds is aside, so nothing is lost but time."""
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def died_of(self) -> str:
        """How it ended, in words."""
        self.process.join(5)
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            return "was killed, most likely for lack of memory"
        return f"ended by signal {-code}" if code and code < 0 else f"ended with code {code}"


def hire(contract: Contract, number: int) -> Worker:
    """A new worker process; it loads by itself."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    name = f"cxr-cf batch {number}"
    process = context.Process(target=serve, args=(theirs, contract), name=name, daemon=True)
    with _deaf():
        process.start()
    theirs.close()
    return Worker(process, ours, number)


@contextmanager
def _deaf() -> Iterator[None]:
    """Children that start in the block ignore Ctrl-C from their first moment on."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread: a test's own business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
