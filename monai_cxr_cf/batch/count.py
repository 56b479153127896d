# SPDX-License-Identifier: Apache-2.0
"""How far a batch is: every line counted once, in a second for a hundred thousand."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from monai_cxr_cf.batch.store.lease import alive
from monai_cxr_cf.batch.store.results import (
    DONE,
    FAILED,
    KILLED,
    REFUSED,
    History,
    Line,
    histories,
    read_lines,
)
from monai_cxr_cf.batch.store.run_folder import RunFolder

RECENT_S = 300.0  # the rate is that of the last minutes
MANY = ("done", "refused", "failed")


@dataclass
class Counts:
    """Rows by state; what is not over is left.

    Attributes:
        rows: planned.
        done: finished and committed.
        refused: by the reader or the request; never tried again.
        failed: given up.
        trying: failed or killed, to be tried again.
        bytes: of the finished rows.
        verdicts: of the finished rows.
        recent: when the rows of the last minutes were over.
    """

    rows: int = 0
    done: int = 0
    refused: int = 0
    failed: int = 0
    trying: int = 0
    bytes: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    recent: list[float] = field(default_factory=list)

    @property
    def over(self) -> int:
        """Rows that nothing is to be done for."""
        return self.done + self.refused + self.failed

    @property
    def left(self) -> int:
        """The others."""
        return self.rows - self.over

    def add(self, line: Line) -> None:
        """A line that is the last word on its row."""
        state = line["state"]
        if state == DONE:
            self.done += 1
            self.bytes += int(line.get("bytes", 0))
            self.verdicts[str(line.get("verdict"))] += 1
        elif state == REFUSED:
            self.refused += 1
        elif line.get("final"):
            self.failed += 1
        else:
            self.trying += 1
            return
        if line["t"] > time.time() - RECENT_S:
            self.recent.append(line["t"])

    def rate(self, began: float = 0.0) -> float:
        """Rows a second over the last minutes, or since ``began``; 0 if none came."""
        now = time.time()
        self.recent = [t for t in self.recent if t > now - RECENT_S]
        if len(self.recent) < 2:
            return 0.0
        since = max(began, now - RECENT_S) if began else min(self.recent)
        return len(self.recent) / max(now - since, 1e-3)

    def as_dict(self, began: float = 0.0) -> dict[str, Any]:
        """JSON-ready."""
        rate = self.rate(began)
        return {
            "rows": self.rows,
            **{name: getattr(self, name) for name in MANY},
            "left": self.left,
            "trying_again": self.trying,
            "rows_a_minute": round(60 * rate, 2),
            "eta_s": round(self.left / rate) if rate else None,
            "gb": round(self.bytes / 1e9, 3),
            "verdicts": dict(sorted(self.verdicts.items())),
        }


def count(folder: RunFolder, shards: Sequence[int] | None = None) -> Counts:
    """What the lines of all shards say, or of some.

    Raises:
        UnreadableInput: no batch, or damaged lines.
    """
    run = folder.read()
    found = Counts(run.rows if shards is None else sum(map(folder.planned, shards)))
    for number in range(run.shards) if shards is None else shards:
        known: dict[int, Line | History] = {}
        for line in read_lines(folder.results(number)):
            if line["state"] in (FAILED, KILLED) or line["n"] in known:
                known |= histories(read_lines(folder.results(number)))
                break
            known[line["n"]] = line
        for last in known.values():
            found.add(last.last if isinstance(last, History) else last)
    return found


def at_work(folder: RunFolder) -> int:
    """How many shards are held by a process that is alive."""
    names = [path for path in folder.leases.glob("[0-9]*.*") if path.suffix[1:].isdigit()]
    return sum(alive(path) for path in names)
