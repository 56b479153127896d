# SPDX-License-Identifier: Apache-2.0
"""One QProcess from start to end; what it tells and leaves is ``watching``'s.

Only calls that PythonQt and PySide6 have in common are used; ``backend`` is its face.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt

from . import processes
from .commands import Command
from .watching import (
    GIVE_UP_MS,
    GRACE_MS,
    NOT_ENDED,
    NOT_STARTED,
    POLL_MS,
    TELL_MS,
    Listener,
    Watch,
)


class QtProcess:
    """One process from start to end."""

    def __init__(self, command: Command, listener: Listener) -> None:
        self._command, self._watch = command, Watch(command, listener)
        self._process = self._made()
        self._grace = _timer(GRACE_MS, self._kill)
        self._limit = _timer(GIVE_UP_MS, self._give_up)
        self._poll = _timer(POLL_MS, self._settle)
        self._say = _timer(TELL_MS, self._tell_log)

    def _made(self) -> Any:
        process = qt.QProcess()
        process.readyReadStandardOutput.connect(self._read)
        process.readyReadStandardError.connect(self._read_log)
        process.finished.connect(self._finished)
        process.errorOccurred.connect(self._failed)
        environment = qt.QProcessEnvironment()
        for name, value in self._command.environment.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        folder = self._command.folder
        process.setWorkingDirectory(str(folder.parent if folder else Path.home()))
        return process

    @property
    def over(self) -> bool:
        """Whether its end was told."""
        return self._watch.over

    @property
    def alive(self) -> bool:
        """Whether the system still has the process."""
        return self._process is not None and self._process.state() != qt.QProcess.NotRunning

    def start(self) -> None:
        """Start; that it could not be started is told as its end."""
        self._process.start(self._command.program, self._command.arguments)

    def cancel(self) -> None:
        """A line on standard input for Windows, SIGTERM for the rest; kill after a grace."""
        watch = self._watch
        if watch.cancelled or watch.leaving or watch.over:
            return
        watch.cancelled = True
        self._process.write(b"cancel\n")
        if not processes.signalled(watch.group, processes.STOP):
            self._process.terminate()
        self._grace.start()

    def close(self) -> None:
        """Kill, wait shortly, clean up."""
        if self.over:
            return
        self._watch.over = self._watch.leaving = True
        for timer in (self._grace, self._limit, self._poll, self._say):
            timer.stop()
        self._end_tree()
        self._process.waitForFinished(GIVE_UP_MS)
        self._watch.abandon()

    # What the process says

    def _read(self, *_: Any) -> None:
        self._watch.hear(_bytes(self._process.readAllStandardOutput()))

    def _read_log(self, *_: Any) -> None:
        if self._watch.note(_bytes(self._process.readAllStandardError())):
            self._say.start()

    def _tell_log(self, *_: Any) -> None:
        self._watch.tell_log()

    # How it ends

    def _finished(self, *_: Any) -> None:
        if self._watch.leaving:
            return
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        try:
            self._read_log()
            self._read()
            self._watch.finish()
        finally:  # also when a listener failed: a run without an end would hold the window
            self._leave(int(self._process.exitCode()), crashed, "")

    def _failed(self, *what: Any) -> None:
        if what and what[0] == qt.QProcess.FailedToStart:
            self._leave(None, False, NOT_STARTED)

    def _kill(self, *_: Any) -> None:
        self._end_tree()
        self._limit.start()

    def _give_up(self, *_: Any) -> None:
        self._leave(None, True, NOT_ENDED)

    def _leave(self, code: int | None, crashed: bool, error: str) -> None:
        """The process is gone; now its children and its partial files."""
        if self._watch.leave(code, crashed, error):
            self._grace.stop()
            self._limit.stop()
            self._poll.start()

    def _settle(self, *_: Any) -> None:
        """Tell the end when nothing is left, or after a while."""
        if not self._watch.settled():
            self._poll.start()
            return
        if not self.alive:
            self._release()
        self._watch.end()

    def _release(self) -> None:
        """Let go of Qt's objects, which hold this one by their connections."""
        for each in (self._process, self._grace, self._limit, self._poll, self._say):
            each.deleteLater()
        self._process = None

    def _end_tree(self) -> None:
        """Kill the group; Windows has none, but a program that ends a tree."""
        if not processes.GROUPS:
            words = ["/PID", str(int(self._process.processId())), "/T", "/F"]
            qt.QProcess.startDetached("taskkill", words)
        processes.signalled(self._watch.group, processes.KILL)
        self._process.kill()


def _timer(milliseconds: int, slot: Callable[..., None]) -> Any:
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer


def _bytes(array: Any) -> bytes:
    """A QByteArray as bytes."""
    return bytes(array.data() or b"")
