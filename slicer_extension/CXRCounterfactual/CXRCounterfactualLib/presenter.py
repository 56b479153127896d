# SPDX-License-Identifier: Apache-2.0
"""Decides: what happened in, what is to be done out, and a view of it all. No qt, no slicer.

The widget performs the effects and shows the view; the rules themselves lie in ``transitions``.
"""

import time
from collections.abc import Callable, Iterable

from . import jobs
from .params import Choice
from .states import (
    CancelJob,
    CancelPressed,
    Checked,
    CheckPressed,
    CheckRunner,
    CleanFolder,
    ClearPreview,
    Dismissed,
    Effect,
    Ended,
    Happening,
    Imported,
    ImportFailed,
    ImportResult,
    JobEvent,
    Memory,
    NodeRemoved,
    RequestChanged,
    RunPressed,
    SceneClosed,
    ServerLost,
    ShowCompare,
    ShowPreview,
    SourceChanged,
    StartJob,
    State,
)
from .transitions import TABLE
from .view import ROLES, View, view_of
from .words import Timing, estimate, images_of, kind_of, verdict_words

__all__ = [
    "ROLES", "CancelJob", "CancelPressed", "CheckPressed", "CheckRunner", "Checked", "CleanFolder",
    "ClearPreview", "Dismissed", "Effect", "Ended", "ImportFailed", "ImportResult", "Imported",
    "JobEvent", "NodeRemoved", "Presenter", "RequestChanged", "RunPressed", "SceneClosed",
    "ServerLost", "ShowCompare", "ShowPreview", "SourceChanged", "StartJob", "State", "View",
    "estimate", "verdict_words",
]  # fmt: skip
KEPT = 50  # timings


class Presenter:
    """The panel's mind.

    Args:
        timings: earlier runs, as an earlier presenter held them.
        now: a clock in seconds.
    """

    def __init__(
        self, timings: Iterable[Timing] = (), now: Callable[[], float] = time.monotonic
    ) -> None:
        self.timings: tuple[Timing, ...] = tuple(timings)
        self._now, self._began = now, 0.0
        self._memory = Memory()

    @property
    def state(self) -> State:
        """Where the panel is."""
        return self._memory.state

    @property
    def choice(self) -> Choice | None:
        """The request as last told."""
        return self._memory.request.choice

    def handle(self, event: Happening) -> tuple[Effect, ...]:
        """Let something happen; returns what is to be done, in this order."""
        before = self.state
        self._memory, effects = TABLE[before][type(event)](self._memory, event)
        self._keep_time(before)
        return effects

    def view(self) -> View:
        """What is to be shown now."""
        return view_of(self._memory, self.timings)

    def report(self) -> str:
        """The text of "Copy report"; "" where nothing failed."""
        memory = self._memory
        if memory.failure is None:
            return ""
        hello, choice = memory.hello, memory.request.choice
        said = {} if hello is None else {
            "version": hello.version, "device": hello.device, "lock": hello.lock[:12],
        }  # fmt: skip
        return jobs.describe_failure(
            memory.failure,
            stage="" if memory.progress is None else memory.progress.stage,
            versions=said,
            where="" if choice is None else choice.backend,
        )

    def _keep_time(self, before: State) -> None:
        """How long a run took, for the estimate of the next."""
        if self.state is before:
            return
        if self.state is State.RUNNING:
            self._began = self._now()
        elif before is State.RUNNING and self.state is State.IMPORTING and self.choice is not None:
            seconds = round(self._now() - self._began, 1)
            took = (kind_of(self.choice), images_of(self.choice), seconds)
            self.timings = (*self.timings, took)[-KEPT:]
