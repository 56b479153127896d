# SPDX-License-Identifier: Apache-2.0
"""How a batch goes: who works, how long, how often again. None of it changes a byte of a row."""

from dataclasses import dataclass, field

from monai_cxr_cf.batch.points import Hook, unwatched
from monai_cxr_cf.errors import BadRequest

KILLS = 2  # a row on which a worker died so often is put aside
ENOUGH = 20  # rows before a share of failures is counted


@dataclass(frozen=True)
class How:
    """The settings of an engine.

    Args:
        workers: processes.
        threads: of the numeric libraries in each.
        timeout: seconds a row; a worker that takes longer is ended.
        memory: bytes a worker; likewise. None: no limit.
        attempts: how often a row may fail before it is given up.
        retry: try rows again that were given up.
        stop_after: failures after which the run stops: "12", or "5%" of the rows; "" never.
        only: numbers of the rows to do; None: all.
        at: called at the named points; for tests.
    """

    workers: int = 1
    threads: int = 1
    timeout: float = 3600.0
    memory: int | None = None
    attempts: int = 3
    retry: bool = False
    stop_after: str = ""
    only: frozenset[int] | None = field(default=None, repr=False)
    at: Hook = unwatched

    def __post_init__(self) -> None:
        self.too_many(0, 1)

    def too_many(self, failures: int, rows: int) -> bool:
        """Whether so many failures among so many rows stop the run."""
        if not self.stop_after:
            return False
        number, percent = self.stop_after.removesuffix("%"), self.stop_after.endswith("%")
        try:
            limit = float(number)
        except ValueError:
            limit = 0.0
        if limit <= 0:
            raise BadRequest(
                f"--stop-after-failures is '{self.stop_after[:20]}'.", hint="Such as 12, or 5%."
            )
        if percent:
            return rows >= ENOUGH and failures > limit / 100 * rows
        return failures >= limit
