# SPDX-License-Identifier: Apache-2.0
"""A command in, its events out, over one child process of the asyncio loop that serves the page.

What the extension does with a QProcess (``CXRCounterfactualLib.process.run``); what a process tells
and must not leave behind is the same ``Watch``, with the same times.
"""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from CXRCounterfactualLib.contract.events import End
from CXRCounterfactualLib.process import processes
from CXRCounterfactualLib.process.commands import Command
from CXRCounterfactualLib.process.watching import (
    GIVE_UP_MS,
    GRACE_MS,
    NOT_ENDED,
    NOT_STARTED,
    POLL_MS,
    TELL_MS,
    Listener,
    Watch,
)

CHUNK = 1 << 16
DRAIN_S = 0.2  # what a process said last is there by then; a grandchild may hold the pipe for ever


class Child:
    """One process from start to end."""

    def __init__(self, command: Command, listener: Listener) -> None:
        self.watch = Watch(command, listener)
        self._command = command
        self._process: Process | None = None
        self._killed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._live())

    def cancel(self) -> None:
        """A line on standard input for Windows, SIGTERM for the rest; kill after a grace."""
        watch, process = self.watch, self._process
        if watch.cancelled or watch.leaving or watch.over:
            return
        watch.cancelled = True
        if process is not None:
            if process.stdin is not None:
                process.stdin.write(b"cancel\n")
            self._stop(process)
        asyncio.get_running_loop().call_later(GRACE_MS / 1000, self._kill)

    def close(self) -> None:
        """Kill at once and tell nobody."""
        if not self.watch.over:
            self.watch.over = self.watch.leaving = True
            self._kill()
            self._task.cancel()
            self.watch.abandon()

    async def _live(self) -> None:
        folder, watch = self._command.folder, self.watch
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                self._command.program, *self._command.arguments,
                stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(self._command.environment),
                cwd=folder.parent if folder else Path.home(),
            )  # fmt: skip
        except OSError:
            watch.leave(None, error=NOT_STARTED)
        else:
            if watch.cancelled:  # while it was being started
                self._stop(process)
            await self._follow(process)
        while not watch.settled():
            await asyncio.sleep(POLL_MS / 1000)
        watch.end()

    async def _follow(self, process: Process) -> None:
        """Hear it until it is gone, or given up."""
        watch = self.watch
        heard = [
            asyncio.ensure_future(_read(process.stdout, watch.hear)),
            asyncio.ensure_future(_read(process.stderr, self._note)),
        ]
        gone = asyncio.ensure_future(process.wait())
        killed = asyncio.ensure_future(self._killed.wait())
        await asyncio.wait([gone, killed], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([gone], timeout=None if gone.done() else GIVE_UP_MS / 1000)
        await asyncio.wait(heard, timeout=DRAIN_S)
        for each in (*heard, killed):
            each.cancel()
        try:
            watch.finish()
        finally:  # also when a listener failed: a run without an end would hold the page
            code = process.returncode
            watch.leave(code, code is None or code < 0, NOT_ENDED if code is None else "")

    def _note(self, chunk: bytes) -> None:
        if self.watch.note(chunk):
            asyncio.get_running_loop().call_later(TELL_MS / 1000, self.watch.tell_log)

    def _stop(self, process: Process) -> None:
        if not processes.signalled(self.watch.group, processes.STOP):
            with suppress(ProcessLookupError):
                process.terminate()

    def _kill(self) -> None:
        processes.signalled(self.watch.group, processes.KILL)
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        self._killed.set()


class Children:
    """One process at a time, with the face of the extension's ``Backend``."""

    def __init__(self) -> None:
        self._child: Child | None = None

    @property
    def running(self) -> bool:
        """Whether a run has not told its end yet."""
        return self._child is not None and not self._child.watch.over

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
        self._child = Child(command, Listener(on_event, on_end, on_log))

    def cancel(self) -> None:
        """Ask the run to stop, and kill it if it does not; the end is told as usual."""
        if self._child is not None:
            self._child.cancel()

    def close(self) -> None:
        """Kill at once and tell nobody: for the end of the application."""
        if self._child is not None:
            self._child.close()


async def _read(stream: asyncio.StreamReader | None, take: Callable[[bytes], None]) -> None:
    """Pass on what comes until the end of the stream."""
    while stream is not None and (chunk := await stream.read(CHUNK)):
        take(chunk)
