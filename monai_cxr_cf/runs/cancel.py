# SPDX-License-Identifier: Apache-2.0
"""How a run is stopped from outside: SIGTERM, Ctrl-C, or a ``cancel`` line on standard input.

All three surface as one exception in the main thread, so that every ``with`` on the way out
cleans up; the command line turns it into its exit code.
"""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from monai_cxr_cf.errors import Cancelled


class Cancellation:
    """Whether the run was asked to stop, and how; ``check`` raises if so."""

    def __init__(self) -> None:
        self.asked = False
        self.interrupted = False  # by Ctrl-C
        self.over = False  # nothing is left to stop

    def handler(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: raise once, so that a second signal cannot break the cleaning up."""
        if not self.asked and not self.over:
            self.asked, self.interrupted = True, number == signal.SIGINT
            raise self.error()

    def error(self) -> Cancelled:
        """The error that ends the run."""
        return Cancelled(interrupted=self.interrupted)

    def check(self) -> None:
        """Raise Cancelled if a signal came while library code swallowed its exception."""
        if self.asked and not self.over:
            raise self.error()


@contextmanager
def cancellable(state: Cancellation, *, stdin: bool = False) -> Iterator[None]:
    """Turn SIGTERM, Ctrl-C and with ``stdin`` a ``cancel`` line into Cancelled; then undo that."""
    signals = (signal.SIGTERM, signal.SIGINT)
    previous: list[Any] = [signal.signal(number, state.handler) for number in signals]
    if stdin and sys.stdin is not None:
        threading.Thread(target=_watch, args=(sys.stdin.fileno(),), daemon=True).start()
    try:
        yield
    finally:
        state.over = True
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)


def _watch(descriptor: int) -> None:
    """Read lines until end of file; raw reads, as a blocked sys.stdin would hang the exit."""
    pending = b""
    while chunk := os.read(descriptor, 4096):
        *lines, pending = (pending + chunk).split(b"\n")
        if any(line.strip() == b"cancel" for line in lines):
            _thread.interrupt_main(signal.SIGTERM)
            return
        pending = pending[-64:]
