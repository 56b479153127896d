# SPDX-License-Identifier: Apache-2.0
"""An engine for a process that has the networks loaded: rows one after the other."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monai_cxr_cf.batch.engines.local import DISK, LOOK_S, Tell
from monai_cxr_cf.batch.engines.shelf import Shelf
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.perform import FULL, Desk, Work, perform
from monai_cxr_cf.batch.store.learn import Learner
from monai_cxr_cf.batch.store.lease import beating
from monai_cxr_cf.batch.store.run_folder import RunFolder


@dataclass(frozen=True)
class Here:
    """The engine."""

    parts: Any  # what ``work.load`` would give
    look: Callable[[], None]  # called after every row; may raise, and the row is not counted

    def __call__(
        self, folder: RunFolder, work: Work, how: How, tell: Tell, numbers: Sequence[int]
    ) -> str:
        """Do the rows of these shards; returns why it stopped before the end, or ""."""
        shelf, learn = Shelf(folder, how, numbers), Learner(folder)
        with beating(shelf.held):
            try:
                while not shelf.over():
                    for task in (tasks := shelf.take()):
                        aside = task.aside / "0"
                        desk = Desk(work, self.parts, folder.places(aside))
                        (record,) = perform(desk, [task.row], aside)
                        self.look()
                        if record["state"] == FULL:
                            return DISK
                        learn(record.get("weights", {}))
                        shelf.record(task, record)
                        tell(shelf.flush())
                    if not tasks:
                        time.sleep(LOOK_S)
            finally:
                shelf.close()
        return ""
