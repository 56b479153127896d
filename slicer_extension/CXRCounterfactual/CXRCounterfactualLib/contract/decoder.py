# SPDX-License-Identifier: Apache-2.0
"""Bytes of a runner's standard output in, events (docs/usage.md 5) out, however they are cut.

Lines that are no events are counted and passed over; a path that leaves the output folder and a
protocol that is not ours end the story with a ``Failed``.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .events import Event, Failed, File, Hello, Preview, Progressed, Result, Warned

PROTOCOL = 1
LINE_BYTES = 8 << 20  # the longest event lists the files of some thousand images
TEXT_LENGTH = 2000
OLDER = "Update the runner: install a newer wheel or checkout of monai-cxr-cf in its environment."
NEWER = "Update this extension in Slicer's Extensions Manager."


class LineDecoder:
    """Turns chunks into events; one for each run.

    Args:
        folder: the output folder, against which paths are read; None if there is none.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.junk = 0  # lines that were no events
        self.over = False  # the last event was told
        self._folder = None if folder is None else Path(folder).absolute()
        self._buffer, self._skipping, self._greeted = bytearray(), False, False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete now."""
        self._buffer += chunk
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        events = []
        for line in lines:
            if self._skipping:  # the end of a line that was too long
                self._skipping = False
            else:
                events += self._decoded(bytes(line))
        if len(self._buffer) > LINE_BYTES:
            self.junk += not self._skipping
            self._skipping = True
            self._buffer.clear()
        return events

    def end(self) -> list[Event]:
        """What was left without an end of line."""
        rest = b"" if self._skipping else bytes(self._buffer)
        self._buffer.clear()
        return self._decoded(rest)

    def _decoded(self, line: bytes) -> list[Event]:
        if self.over or not line.strip():
            return []
        if len(line) > LINE_BYTES:
            self.junk += 1
            return []
        try:
            said = json.loads(line)
            make = MAKERS.get(said["event"])
            event = None if make is None else make(said, self._folder)
        except Outside:
            event = _broken("The runner named a file outside its output folder.")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.junk += 1
            return []
        return [] if event is None else [self._checked(event)]

    def _checked(self, event: Event) -> Event:
        if isinstance(event, Hello):
            self._greeted = True
            if event.protocol != PROTOCOL:
                event = _other_protocol(event.protocol)
        elif isinstance(event, Result) and not self._greeted:
            event = _broken("The runner told a result before it said who it is.")
        self.over = isinstance(event, Result | Failed)
        return event


class Outside(Exception):
    """A path that leaves the output folder."""


def inside(folder: Path | None, name: str) -> Path:
    """A relative path made absolute; Outside if it would leave ``folder``, links included."""
    if folder is None or not name:
        raise Outside
    path = folder / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise Outside
    return path


def _other_protocol(spoken: int) -> Failed:
    message = f"The runner speaks protocol {spoken}, this extension {PROTOCOL}."
    return Failed("protocol", message, NEWER if spoken > PROTOCOL else OLDER)


def _broken(message: str) -> Failed:
    return Failed("protocol", message, OLDER)


def _hello(said: Mapping[str, Any], folder: Path | None) -> Hello:
    texts = (_text(said.get(key) or "") for key in ("version", "device", "lock_sha256"))
    return Hello(_whole(said["protocol"]), *texts)


def _progress(said: Mapping[str, Any], folder: Path | None) -> Progressed:
    total = max(_whole(said["total"]), 1)
    step = min(max(_whole(said["step"]), 0), total)
    eta = said.get("eta_s")
    if not isinstance(eta, int | float) or not math.isfinite(eta) or eta < 0:
        eta = None
    return Progressed(_text(said["stage"]), step, total, None if eta is None else float(eta))


def _preview(said: Mapping[str, Any], folder: Path | None) -> Preview:
    step = said.get("step")
    return Preview(inside(folder, _text(said["path"])), None if step is None else _whole(step))


def _warning(said: Mapping[str, Any], folder: Path | None) -> Warned:
    return Warned(_text(said["code"]), _text(said["message"]))


def _result(said: Mapping[str, Any], folder: Path | None) -> Result:
    files = tuple(_file(entry, folder) for entry in said["files"])
    known = ("event", "n", "files", "metrics", "verdict", "report")
    report = said.get("report")
    return Result(
        files=files,
        metrics=dict(said.get("metrics") or {}),
        verdict=dict(said.get("verdict") or {}),
        report=str(inside(folder, _text(report))) if report else "",
        facts={key: value for key, value in said.items() if key not in known},
    )


def _file(entry: Mapping[str, Any], folder: Path | None) -> File:
    keys = ("sop_class", "series_uid", "sop_uid", "sha256", "label")
    texts = (_text(entry.get(key) or "") for key in keys)
    return File(_text(entry["role"]), inside(folder, _text(entry["path"])), *texts)


def _error(said: Mapping[str, Any], folder: Path | None) -> Failed:
    return Failed(_text(said["code"]), _text(said["message"]), _text(said.get("hint") or ""))


def _text(value: object) -> str:
    """A text without control characters, of bounded length; TypeError if it is none."""
    if not isinstance(value, str):
        raise TypeError
    return "".join(c if c.isprintable() else " " for c in value[:TEXT_LENGTH])


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


MAKERS: Mapping[str, Callable[[Mapping[str, Any], Path | None], Event]] = {
    "hello": _hello,
    "progress": _progress,
    "preview": _preview,
    "warning": _warning,
    "result": _result,
    "error": _error,
}
