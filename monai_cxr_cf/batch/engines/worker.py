# SPDX-License-Identifier: Apache-2.0
"""A worker process of the local engine: rows in through a pipe, a record back for each.

It keeps what is loaded, leaves Ctrl-C to its driver, and ends when the driver does, however that
ends. What it prints goes to standard error.
"""

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from monai_cxr_cf import imports, threads
from monai_cxr_cf.batch.perform import Desk, Work, perform
from monai_cxr_cf.batch.points import Hook
from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.runs.failures import quiet_libraries, typed

READY, BROKEN, ROWS = "ready", "broken", "rows"


@dataclass(frozen=True)
class Contract:
    """What a worker is told once."""

    work: Work
    folder: Path
    threads: int
    at: Hook


def serve(pipe: Connection, contract: Contract) -> None:
    """Load, then answer every row with a record until the pipe ends.

    A message holds lists of rows, each done as one, and the folder to build in.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow, daemon=True).start()
    os.dup2(2, 1)
    threads.prepare(contract.threads)
    imports.prepare()
    quiet_libraries(debug=False, verbose=False)
    try:
        parts = contract.work.load()
        weights = dict(contract.work.weights(parts, None))
    except Exception as error:
        pipe.send((BROKEN, typed(error)))
        return
    folder = RunFolder(contract.folder)
    pipe.send((READY, weights))
    lists: list[list[Row]]
    while True:
        try:
            lists, aside = pipe.recv()
        except EOFError:
            return
        desk = Desk(contract.work, parts, folder.places(aside), contract.at)
        for rows in lists:
            pipe.send((ROWS, perform(desk, rows, aside)))


def _follow() -> None:
    """End with the driver."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
