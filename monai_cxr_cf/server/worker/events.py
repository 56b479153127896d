# SPDX-License-Identifier: Apache-2.0
"""A job's events, the same as the local runner's, into the job store."""

from collections.abc import Callable, Mapping
from typing import Any

from monai_cxr_cf.runs.progress import PROTOCOL, Clock, Silent
from monai_cxr_cf.server.queue.line import Line


class JobEvents(Silent):
    """Writes hello, progress and warnings; how the job ended is written with its state.

    Args:
        line: the worker's side of the store.
        seq: number of the job.
        check: called before every step; raises if the job must end.
    """

    def __init__(self, line: Line, seq: int, check: Callable[[], None]) -> None:
        super().__init__(check)
        self._line, self._seq, self._clock = line, seq, Clock()

    def hello(self, facts: Mapping[str, Any]) -> None:
        """Who runs the job."""
        self._tell("hello", {"protocol": PROTOCOL, **facts})

    def progress(self, stage: str, step: int, total: int) -> None:
        """A step, with the seconds left in its stage or null."""
        left = self._clock.left(stage, step, total)
        self._tell("progress", {"stage": stage, "step": step, "total": total, "eta_s": left})

    def warning(self, code: str, message: str) -> None:
        """A warning as code and sentence."""
        self._tell("warning", {"code": code, "message": message})

    def _tell(self, event: str, facts: Mapping[str, Any]) -> None:
        self._line.tell(self._seq, {"event": event, **facts})
