# SPDX-License-Identifier: Apache-2.0
"""One process from start to end: events, log, cancel, and what must be gone afterwards.

Only calls that PythonQt and PySide6 have in common are used; ``backend`` is its face.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import qt

from . import jobs, processes
from .commands import Command

GRACE_MS = 1000  # from cancel to kill: time for the runner to clean up itself
GIVE_UP_MS = 400  # from kill to the end as told, should the system keep the process
POLL_MS, POLLS = 20, 25  # how long an ended run's tree and partial files are waited for
TELL_MS, TELL_BYTES = 100, 8192  # the log as told: so often, and so much of it at most
TAIL_BYTES, DOCUMENT_BYTES = 16384, 4 << 20


@dataclass(frozen=True)
class End:
    """How a process ended."""

    exit_code: int | None  # None: it never started, or was given up
    crashed: bool = False  # by a signal
    error: str = ""  # why there is no exit code
    stderr_tail: str = ""
    cancelled: bool = False
    saw_result: bool = False
    document: dict[str, Any] | None = None  # what a command of questions printed


@dataclass(frozen=True)
class Listener:
    """Who is told: every event, the end once, the log now and then."""

    on_event: Callable[[Any], None]
    on_end: Callable[[End], None]
    on_log: Callable[[str], None] | None = None


class Run:
    """One process from start to end."""

    def __init__(self, command: Command, listener: Listener) -> None:
        self.over = False
        self._command, self._listener = command, listener
        self._cancelled, self._result, self._leaving = False, False, False
        self._told: tuple[int | None, bool, str] = (None, False, "")
        self._decoder = jobs.LineDecoder(command.folder)
        self._document, self._tail, self._unsaid = bytearray(), bytearray(), bytearray()
        self._free = processes.is_free(command.folder)
        self._remains: processes.Remains | None = None
        self._group: int | None = None
        self._polls = 0
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
    def alive(self) -> bool:
        """Whether the system still has the process."""
        return self._process is not None and self._process.state() != qt.QProcess.NotRunning

    def start(self) -> None:
        """Start; that it could not be started is told as its end."""
        self._process.start(self._command.program, self._command.arguments)

    def cancel(self) -> None:
        """A line on standard input for Windows, SIGTERM for the rest; kill after a grace."""
        if self._cancelled or self._leaving or self.over:
            return
        self._cancelled = True
        self._process.write(b"cancel\n")
        if not processes.signalled(self._known_group(), processes.STOP):
            self._process.terminate()
        self._grace.start()

    def close(self) -> None:
        """Kill, wait shortly, clean up."""
        if self.over:
            return
        self.over = self._leaving = True
        for timer in (self._grace, self._limit, self._poll, self._say):
            timer.stop()
        self._end_tree()
        self._process.waitForFinished(GIVE_UP_MS)
        self._command.group_file.unlink(missing_ok=True)
        if self._free and self._command.folder is not None:
            processes.Remains(self._command.folder, whole=True).gone()

    # What the process says

    def _read(self, *_: Any) -> None:
        chunk = _bytes(self._process.readAllStandardOutput())
        if not self._command.document:
            self._tell(self._decoder.feed(chunk))
        elif len(self._document) < DOCUMENT_BYTES:
            self._document += chunk

    def _read_log(self, *_: Any) -> None:
        chunk = _bytes(self._process.readAllStandardError())
        _append(self._tail, chunk, TAIL_BYTES)
        if self._listener.on_log is not None:
            if not self._unsaid:
                self._say.start()
            _append(self._unsaid, chunk, TELL_BYTES)

    def _tell(self, events: Iterable[Any]) -> None:
        for event in _newest(list(events)):
            if self._cancelled or self.over:
                return
            self._result = self._result or isinstance(event, jobs.Result)
            self._listener.on_event(event)

    def _tell_log(self, *_: Any) -> None:
        text = self._unsaid.decode("utf-8", "replace")
        self._unsaid.clear()
        if text and self._listener.on_log is not None:
            self._listener.on_log(text)

    # How it ends

    def _finished(self, *_: Any) -> None:
        if self._leaving:
            return
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        try:
            self._read_log()
            self._read()
            if not self._command.document:
                self._tell(self._decoder.end())
        finally:  # also when a listener failed: a run without an end would hold the window
            self._leave(int(self._process.exitCode()), crashed, "")

    def _failed(self, *what: Any) -> None:
        if what and what[0] == qt.QProcess.FailedToStart:
            self._leave(None, False, "It could not be started.")

    def _kill(self, *_: Any) -> None:
        self._end_tree()
        self._limit.start()

    def _give_up(self, *_: Any) -> None:
        self._leave(None, True, "The system did not end it.")

    def _leave(self, code: int | None, crashed: bool, error: str) -> None:
        """The process is gone; now its children and its partial files."""
        if self._leaving:
            return
        self._leaving = True
        self._grace.stop()
        self._limit.stop()
        self._told = (code, crashed, error)
        processes.signalled(self._known_group(), processes.KILL)
        folder = self._command.folder
        if folder is not None:
            # What was told as a result is whole, however the process fares at its very end.
            failed = (crashed or code != 0) and not self._result
            whole = self._free and (self._cancelled or failed)
            self._remains = processes.Remains(folder, whole=whole)
        self._poll.start()

    def _settle(self, *_: Any) -> None:
        """Tell the end when nothing is left, or after a while."""
        self._polls += 1
        clean = self._remains is None or self._remains.gone()
        if self._polls < POLLS and (not clean or processes.alive(self._group)):
            self._poll.start()
            return
        self._command.group_file.unlink(missing_ok=True)
        self._tell_log()
        self.over = True
        if not self.alive:
            self._release()
        self._listener.on_end(self._end())

    def _release(self) -> None:
        """Let go of Qt's objects, which hold this one by their connections."""
        for each in (self._process, self._grace, self._limit, self._poll, self._say):
            each.deleteLater()
        self._process = None

    def _end(self) -> End:
        code, crashed, error = self._told
        tail = self._tail.decode("utf-8", "replace")
        document = _object(self._document) if self._command.document else None
        return End(code, crashed, error, tail, self._cancelled, self._result, document)

    def _known_group(self) -> int | None:
        if self._group is None:
            self._group = processes.group_of(self._command.group_file)
        return self._group

    def _end_tree(self) -> None:
        """Kill the group; Windows has none, but a program that ends a tree."""
        if not processes.GROUPS:
            words = ["/PID", str(int(self._process.processId())), "/T", "/F"]
            qt.QProcess.startDetached("taskkill", words)
        processes.signalled(self._known_group(), processes.KILL)
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


def _append(buffer: bytearray, chunk: bytes, most: int) -> None:
    """Keep the last ``most`` bytes."""
    buffer += chunk
    if len(buffer) > most:
        del buffer[: len(buffer) - most]


def _newest(events: list[Any]) -> Iterator[Any]:
    """All events, but of steps that came together only the last: a window shows one anyway."""
    for event, following in zip_longest(events, events[1:]):
        if not (isinstance(event, jobs.Progress) and isinstance(following, jobs.Progress)):
            yield event


def _object(text: bytearray) -> dict[str, Any] | None:
    try:
        found = json.loads(text.decode("utf-8"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
