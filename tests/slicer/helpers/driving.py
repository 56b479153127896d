# SPDX-License-Identifier: Apache-2.0
"""Runs a command over the real back end with a beating window beside it; keeps what was told."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qt
from CXRCounterfactualLib.contract.events import End
from CXRCounterfactualLib.process.backend import Backend
from CXRCounterfactualLib.process.commands import Command

FAKE = Path(__file__).with_name("fake_runner.py")
BEAT = 0.01  # seconds
PATIENCE = 60.0


@dataclass
class Told:
    """Everything the callbacks heard, and how the window fared."""

    events: list[Any] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)  # seconds between two beats
    reached: bool = False  # the event to cancel at was heard
    cancelled_at: float = 0.0
    stop_s: float = 0.0  # from cancel to the end as told

    @property
    def end(self) -> End:
        """The one end."""
        (end,) = self.ends
        return end

    def cancel(self, backend: Backend) -> None:
        """From now on time is taken."""
        self.cancelled_at = time.perf_counter() - queued()
        backend.cancel()

    def of(self, kind: type) -> list[Any]:
        """Events of one class."""
        return [event for event in self.events if isinstance(event, kind)]


def fake(mode: str, out: Path, *words: str) -> Command:
    """A command for the fake runner, started by this interpreter."""
    return Command(sys.executable, (str(FAKE), mode, str(out), *words), dict(os.environ), out)


def drive(
    backend: Backend,
    command: Command,
    *,
    cancel_if: Callable[[Any], bool] = lambda event: False,
    delay: float = 0.0,
    patience: float = PATIENCE,
) -> Told:
    """Start, spin the event loop until the end is told, and measure the beats meanwhile.

    Args:
        backend: the one under test.
        command: what to run.
        cancel_if: cancel at the first event for which this is true.
        delay: so many seconds after it.
        patience: seconds after which the test fails.
    """
    told, loop = Told(), qt.QEventLoop()

    def heard(event: Any) -> None:
        told.events.append(event)
        if not told.reached and cancel_if(event):
            told.reached = True
            after(delay, lambda: told.cancel(backend))

    def ended(end: End) -> None:
        told.stop_s = time.perf_counter() - queued() - told.cancelled_at
        told.ends.append(end)
        loop.quit()

    qt.QTimer.singleShot(int(patience * 1000), loop.quit)
    backend.start(command, heard, ended, told.logs.append)
    # From here on: until the child has begun, the system itself holds the one that starts it.
    heart = beating(told.gaps)
    loop.exec()
    heart.stop()
    assert told.ends, f"no end within {patience} s; heard {told.events[-3:]}"
    return told


def beating(gaps: list[float]) -> Any:
    """A timer as the window's heart; every time between two beats goes to ``gaps``, in seconds.

    Time for which the system gave the processor to others is taken off: that blocks no window of
    a machine that has one to spare, and says nothing about the code.
    """
    beat, last = qt.QTimer(), [time.perf_counter() - queued()]

    def beaten() -> None:
        now = time.perf_counter() - queued()
        gaps.append(now - last[0])
        last[0] = now

    beat.setInterval(int(BEAT * 1000))
    beat.timeout.connect(beaten)
    beat.start()
    return beat


def queued() -> float:
    """Seconds that this thread has waited for a processor so far (Linux tells it)."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except FileNotFoundError:  # nothing is taken off, so the bar is harder
        return 0.0


def after(seconds: float, do: Callable[[], None]) -> None:
    """Now, or a while later if the event loop still runs then."""
    if seconds:
        qt.QTimer.singleShot(int(seconds * 1000), do)
    else:
        do()


def spin(seconds: float) -> None:
    """Let the event loop run for a while."""
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def spin_until(so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Let the event loop run until something is so; fail after a while."""
    end = time.perf_counter() + seconds
    while not so():
        assert time.perf_counter() < end, f"not so after {seconds} s"
        spin(0.02)


def living(words: str) -> list[int]:
    """Processes, not zombies, with ``words`` in their command line (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if words in line and state != "Z":
                found.append(int(entry.name))
    return found
