# SPDX-License-Identifier: Apache-2.0
"""Decides: what happened in, what is to be done out, and a view of it all. No qt, no slicer.

The widget performs the effects and shows the view; the rules themselves lie in ``transitions`` and
``regions``, the words in ``states``.
"""

import time
from collections.abc import Callable, Iterable

from ..contract.failures import describe_failure
from ..contract.params import Choice
from .regions import Region, follow
from .states import Effect, Happening, Memory, RegionEvent, State
from .transitions import TABLE
from .view import View, view_of
from .words import Timing, images_of, kind_of

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
        self.memory, self.region = Memory(), Region()  # to be read; ``handle`` alone changes them

    @property
    def state(self) -> State:
        """Where the panel is."""
        return self.memory.state

    @property
    def choice(self) -> Choice | None:
        """The request as last told."""
        return self.memory.request.choice

    def handle(self, event: Happening) -> tuple[Effect, ...]:
        """Let something happen; returns what is to be done, in this order."""
        before, effects = self.state, tuple[Effect, ...]()
        if not isinstance(event, RegionEvent):
            self.memory, effects = TABLE[before][type(event)](self.memory, event)
        self.region, more = follow(self.region, self.memory, event)
        self._keep_time(before)
        return (*more, *effects)

    def view(self) -> View:
        """What is to be shown now."""
        return view_of(self.memory, self.timings, self.region.words)

    def report(self) -> str:
        """The text of "Copy report"; "" where nothing failed."""
        memory = self.memory
        if memory.failure is None:
            return ""
        hello, choice = memory.hello, memory.request.choice
        said = {} if hello is None else {
            "version": hello.version, "device": hello.device, "lock": hello.lock[:12],
        }  # fmt: skip
        return describe_failure(
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
