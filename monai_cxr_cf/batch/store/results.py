# SPDX-License-Identifier: Apache-2.0
"""The lines of a shard: appended and synced, and only they count.

A line is JSON: ``state`` (done, refused, failed, killed), ``n`` (the row's number), ``id``, and
what the state needs. ``final`` says that a failed or killed row is not tried again. A torn last
line was never there.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.points import Hook, unwatched
from monai_cxr_cf.batch.store.files import sync_folder
from monai_cxr_cf.errors import UnreadableInput

DONE, REFUSED, FAILED, KILLED = "done", "refused", "failed", "killed"
SETTLED = (DONE, REFUSED)
Line = dict[str, Any]


@dataclass
class History:
    """What is known of one row."""

    last: Line = field(default_factory=dict)
    failed: int = 0
    killed: int = 0

    def add(self, line: Line) -> None:
        """A further line; after a settled one nothing counts."""
        if self.settled:
            return
        self.failed += line["state"] == FAILED
        self.killed += line["state"] == KILLED
        self.last = line

    @property
    def settled(self) -> bool:
        """Done, or refused for good."""
        return self.last.get("state") in SETTLED

    @property
    def over(self) -> bool:
        """Settled, or given up."""
        return self.settled or bool(self.last.get("final"))


def read_lines(path: Path) -> Iterator[Line]:
    """The whole lines of a shard; none if there is no file.

    Raises:
        UnreadableInput: a line other than a torn last one is not ours.
    """
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return
            try:
                told = json.loads(line)
                told["state"], told["n"]
            except (ValueError, TypeError, KeyError) as error:
                raise UnreadableInput(
                    f"Line {number} of results/{path.name} is damaged.",
                    hint="Move that file away: its rows are looked at again, finished ones kept.",
                ) from error
            yield told


def histories(lines: Iterable[Line]) -> dict[int, History]:
    """What the lines say, by row number."""
    found: dict[int, History] = {}
    for line in lines:
        found.setdefault(line["n"], History()).add(line)
    return found


class Results:
    """The lines of one shard, open for its holder."""

    def __init__(self, path: Path, at: Hook = unwatched) -> None:
        self._at = at
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        sync_folder(path.parent)
        self._cut_torn(path)

    def append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Lines that are on disk when this returns.

        Raises:
            OSError: the disk is full; no line counts that was not written whole.
        """
        data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        size = os.fstat(self._handle).st_size
        try:
            if self._at is unwatched:
                _write(self._handle, data)
            else:
                _write(self._handle, data[: len(data) // 2])
                self._at("torn")
                _write(self._handle, data[len(data) // 2 :])
            self._at("written")
            os.fsync(self._handle)
        except OSError:
            os.ftruncate(self._handle, size)
            raise

    def close(self) -> None:
        """Give the file back."""
        os.close(self._handle)

    def _cut_torn(self, path: Path) -> None:
        data = path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            os.ftruncate(self._handle, end)


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
