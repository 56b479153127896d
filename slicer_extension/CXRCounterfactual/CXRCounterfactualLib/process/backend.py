# SPDX-License-Identifier: Apache-2.0
"""A command in, its events out, over one QProcess; stopped with its whole tree within two seconds.

The same class runs the local runner, the client of a server, and the small questions (doctor,
info, region): nothing here ever waits, so the window stays alive.
"""

from collections.abc import Callable
from typing import Any

from ..contract.events import End
from .commands import Command
from .run import QtProcess
from .watching import Listener


class Backend:
    """One process at a time. Callbacks come from the event loop, never from inside a call."""

    def __init__(self) -> None:
        self._run: QtProcess | None = None
        self._given_up: list[QtProcess] = []  # deleting a QProcess that still runs would block

    @property
    def running(self) -> bool:
        """Whether a run has not told its end yet."""
        return self._run is not None and not self._run.over

    def start(
        self,
        command: Command,
        on_event: Callable[[Any], None],
        on_end: Callable[[End], None],
        on_log: Callable[[str], None] | None = None,
    ) -> None:
        """Start a command; RuntimeError while another one runs."""
        if self.running:
            raise RuntimeError("A run is going on; expected its end first.")
        if self._run is not None and self._run.alive:
            self._given_up.append(self._run)
        self._run = QtProcess(command, Listener(on_event, on_end, on_log))
        self._run.start()

    def cancel(self) -> None:
        """Ask the run to stop, and kill it if it does not; the end is told as usual."""
        if self._run is not None:
            self._run.cancel()

    def close(self) -> None:
        """Kill at once and tell nobody: for the end of the application."""
        if self._run is not None:
            self._run.close()
