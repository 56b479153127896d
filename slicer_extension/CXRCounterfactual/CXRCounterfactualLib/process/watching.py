# SPDX-License-Identifier: Apache-2.0
"""What is known of a process, whatever starts it: its events, its log, its end, what must be gone.

``run`` feeds it from a QProcess, the viewer in the browser from asyncio; both stop a run in the
same times and leave the same nothing behind. No qt.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ..contract.decoder import LineDecoder
from ..contract.events import End, Progressed, Result
from . import processes
from .commands import Command

GRACE_MS = 1000  # from cancel to kill: time for the runner to clean up itself
GIVE_UP_MS = 400  # from kill to the end as told, should the system keep the process
POLL_MS, POLLS = 20, 25  # how long an ended run's tree and partial files are waited for
TELL_MS, TELL_BYTES = 100, 8192  # the log as told: so often, and so much of it at most
TAIL_BYTES, DOCUMENT_BYTES = 16384, 4 << 20
NOT_STARTED, NOT_ENDED = "It could not be started.", "The system did not end it."


@dataclass(frozen=True)
class Listener:
    """Who is told: every event, the end once, the log now and then."""

    on_event: Callable[[Any], None]
    on_end: Callable[[End], None]
    on_log: Callable[[str], None] | None = None


class Watch:
    """One process from start to end, without the process.

    Args:
        command: what was started.
        listener: who is told.
    """

    def __init__(self, command: Command, listener: Listener) -> None:
        self.over = False  # nobody is told any more
        self.cancelled = False
        self.leaving = False  # the process is gone, or given up
        self._command, self._listener = command, listener
        self._decoder = LineDecoder(command.folder)
        self._document, self._tail, self._unsaid = bytearray(), bytearray(), bytearray()
        self._free = processes.is_free(command.folder)
        self._remains: processes.Remains | None = None
        self._result = False
        self._group: int | None = None
        self._polls = 0
        self._told: tuple[int | None, bool, str] = (None, False, "")

    @property
    def group(self) -> int | None:
        """Its process group, as soon as it has told."""
        if self._group is None:
            self._group = processes.group_of(self._command.group_file)
        return self._group

    # What the process says

    def hear(self, chunk: bytes) -> None:
        """Take what came on standard output."""
        if not self._command.document:
            self._tell(self._decoder.feed(chunk))
        elif len(self._document) < DOCUMENT_BYTES:
            self._document += chunk

    def finish(self) -> None:
        """Take what was left without an end of line."""
        if not self._command.document:
            self._tell(self._decoder.end())

    def note(self, chunk: bytes) -> bool:
        """Take what came on standard error; True if ``tell_log`` is to be called after a while."""
        _append(self._tail, chunk, TAIL_BYTES)
        if self._listener.on_log is None:
            return False
        first = not self._unsaid
        _append(self._unsaid, chunk, TELL_BYTES)
        return first

    def tell_log(self) -> None:
        """Tell what came since."""
        text = self._unsaid.decode("utf-8", "replace")
        self._unsaid.clear()
        if text and self._listener.on_log is not None:
            self._listener.on_log(text)

    def _tell(self, events: Iterable[Any]) -> None:
        for event in _newest(list(events)):
            if self.cancelled or self.over:
                return
            self._result = self._result or isinstance(event, Result)
            self._listener.on_event(event)

    # How it ends

    def leave(self, code: int | None, crashed: bool = False, error: str = "") -> bool:
        """The process is gone; now its children and its partial files. False if that was known."""
        if self.leaving:
            return False
        self.leaving = True
        self._told = (code, crashed, error)
        processes.signalled(self.group, processes.KILL)
        folder = self._command.folder
        if folder is not None:
            # What was told as a result is whole, however the process fares at its very end.
            failed = (crashed or code != 0) and not self._result
            whole = self._free and (self.cancelled or failed)
            self._remains = processes.Remains(folder, whole=whole)
        return True

    def settled(self) -> bool:
        """Whether nothing is left, or it was waited for long enough; to be asked again."""
        self._polls += 1
        clean = self._remains is None or self._remains.gone()
        return self._polls >= POLLS or (clean and not processes.alive(self._group))

    def end(self) -> None:
        """Tell the end."""
        self._command.group_file.unlink(missing_ok=True)
        self.tell_log()
        self.over = True
        code, crashed, error = self._told
        tail = self._tail.decode("utf-8", "replace")
        document = _object(self._document) if self._command.document else None
        self._listener.on_end(
            End(code, crashed, error, tail, self.cancelled, self._result, document)
        )

    def abandon(self) -> None:
        """Tell nobody, and clean up at once."""
        self._command.group_file.unlink(missing_ok=True)
        if self._free and self._command.folder is not None:
            processes.Remains(self._command.folder, whole=True).gone()


def _append(buffer: bytearray, chunk: bytes, most: int) -> None:
    """Keep the last ``most`` bytes."""
    buffer += chunk
    if len(buffer) > most:
        del buffer[: len(buffer) - most]


def _newest(events: list[Any]) -> Iterator[Any]:
    """All events, but of steps that came together only the last: a window shows one anyway."""
    for event, following in zip_longest(events, events[1:]):
        if not (isinstance(event, Progressed) and isinstance(following, Progressed)):
            yield event


def _object(text: bytearray) -> dict[str, Any] | None:
    try:
        found = json.loads(text.decode("utf-8"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
