# SPDX-License-Identifier: Apache-2.0
"""What a run tells while it works: a bar for people, one JSON object a line for programs.

The pipeline calls a reporter with ``{"stage", "step", "total"}`` and early warnings; the command
line adds hello, all warnings, result and error. Events go to standard output, the bar to standard
error.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from monai_cxr_cf.errors import Cancelled, CxrError

PROTOCOL = 1


class Clock:
    """Seconds left in a stage, from how long its steps took so far."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._stage, self._began = now, "", 0.0

    def left(self, stage: str, step: int, total: int) -> float | None:
        """Seconds until ``total``; None before the first step of a stage is done."""
        if stage != self._stage:
            self._stage, self._began, self._first = stage, self._now(), step
        done = step - self._first
        if done <= 0:
            return None
        return round((self._now() - self._began) / done * max(total - step, 0), 1)


class Silent:
    """Says nothing but warnings; base of the others."""

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._last = ("", 0, 0)
        self._warned: set[tuple[str, str]] = set()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """One progress dict of the pipeline; raises Cancelled if the run was asked to stop."""
        self._check()
        if early := event.get("warning"):
            self.warn(str(early["code"]), str(early["message"]))
            return
        stage, step, total = str(event["stage"]), int(event["step"]), int(event["total"])
        # A stage with steps of its own also reports its end as 1 of 1: say n of n, once.
        if stage == self._last[0] and total == 1 < self._last[2]:
            step = total = self._last[2]
        if (stage, step, total) != self._last:
            self._last = (stage, step, total)
            self.progress(stage, step, total)

    def hello(self, facts: Mapping[str, Any]) -> None:
        """Who runs: version, device, lock file."""

    def progress(self, stage: str, step: int, total: int) -> None:
        """One step of a stage is done."""

    def warn(self, code: str, message: str) -> None:
        """A warning, unless it was told before."""
        if (code, message) not in self._warned:
            self._warned.add((code, message))
            self.warning(code, message)

    def warning(self, code: str, message: str) -> None:
        """Something the user should know."""
        sys.stderr.write(f"warning: {message}\n")

    def result(self, facts: Mapping[str, Any]) -> None:
        """The finished run."""

    def error(self, error: CxrError) -> None:
        """Why the run ended early."""

    def close(self) -> None:
        """End the display."""


class Lines(Silent):
    """For logs: one line a stage on standard error."""

    _stage = ""

    def progress(self, stage: str, step: int, total: int) -> None:
        """A line when a stage begins."""
        if stage != self._stage:
            self._stage = stage
            sys.stderr.write(f"{stage} ...\n")


class Bar(Silent):
    """For a terminal: stage, bar, step and time left."""

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        super().__init__(check)
        from rich import progress as parts
        from rich.console import Console

        self._bar = parts.Progress(
            parts.TextColumn("{task.description:<9}"),
            parts.BarColumn(),
            parts.MofNCompleteColumn(),
            parts.TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        self._task: Any = None
        self._stage = ""

    def progress(self, stage: str, step: int, total: int) -> None:
        """A new line for a new stage; the finished ones stay."""
        if self._task is None:
            self._bar.start()
        if stage != self._stage:
            self._finish()
            self._stage, self._task = stage, self._bar.add_task(stage, total=total)
        self._bar.update(self._task, completed=step, total=total)

    def _finish(self) -> None:
        if self._task is not None:
            total = self._bar.tasks[self._task].total
            self._bar.update(self._task, completed=total)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


class Events(Silent):
    """For programs: newline-delimited JSON on standard output (docs/usage.md 5)."""

    def __init__(self, stream: TextIO, check: Callable[[], None] = lambda: None) -> None:
        super().__init__(check)
        self._stream, self._clock = stream, Clock()

    def emit(self, event: str, facts: Mapping[str, Any]) -> None:
        """One line; a client that is gone counts as a cancel."""
        try:
            self._stream.write(json.dumps({"event": event, **facts}, ensure_ascii=True) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            # What is still in the buffer goes nowhere, or closing would fail once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            raise Cancelled("The client closed the event stream.") from None

    def hello(self, facts: Mapping[str, Any]) -> None:
        """First line of a run."""
        self.emit("hello", {"protocol": PROTOCOL, **facts})

    def progress(self, stage: str, step: int, total: int) -> None:
        """A step, with the seconds left in its stage or null."""
        left = self._clock.left(stage, step, total)
        self.emit("progress", {"stage": stage, "step": step, "total": total, "eta_s": left})

    def warning(self, code: str, message: str) -> None:
        """A warning as code and sentence."""
        self.emit("warning", {"code": code, "message": message})

    def result(self, facts: Mapping[str, Any]) -> None:
        """The picture that explains the run, then its files, figures and report."""
        for file in facts.get("files", ()):
            if file["role"] == "preview":
                self.emit("preview", {"path": file["path"], "step": None})
        self.emit("result", facts)

    def error(self, error: CxrError) -> None:
        """Last line of a run that failed."""
        self.emit("error", error.as_dict())


def reporter(kind: str, check: Callable[[], None]) -> Silent:
    """The reporter for ``kind``: ``ndjson``, ``none``, or ``bar`` (lines where no terminal is)."""
    if kind == "ndjson":
        return Events(_own_stdout(), check)
    if kind == "none":
        return Silent(check)
    return Bar(check) if sys.stderr.isatty() else Lines(check)


def _own_stdout() -> TextIO:
    """A private copy of standard output; whatever else is printed goes to standard error.

    Libraries print, some from C; one stray line would break the event stream.
    """
    sys.stdout.flush()
    private = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    return private
