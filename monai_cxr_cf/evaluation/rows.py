# SPDX-License-Identifier: Apache-2.0
"""Finished pieces of a long evaluation in, one JSON line each on disk; a second start goes on.

A row carries a ``key`` that names everything its figures depend on, so a row made with other
weights or settings is never taken for a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cxr_cf.errors import UnreadableInput

Row = dict[str, Any]


def key_of(about: Mapping[str, Any]) -> str:
    """24 hex digits that change with anything in ``about`` (JSON values)."""
    text = json.dumps(about, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def weights_of(*networks: Any) -> str:
    """16 hex digits over the weight files of backbones (``files``) and segmenters (``sha256``)."""
    parts = [
        *(f"{name}:{digest}" for n in networks for name, digest in getattr(n, "files", {}).items()),
        *(str(n.sha256) for n in networks if hasattr(n, "sha256")),
    ]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]


class Rows:
    """The rows of one JSON-lines file, by key, in the order they came.

    Reading changes nothing on disk, so rows can be looked at while a run still adds some: a torn
    last line is left out, and goes when the next rows are added.

    Raises:
        UnreadableInput: a line other than a torn last one is not JSON with a key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, Row] = {}
        self._torn_at: int | None = None  # bytes of whole lines, if something follows them
        if path.is_file():
            self._read()

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> Row:
        return self._rows[key]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, key: str, row: Mapping[str, Any]) -> Row:
        """Write one finished row; it is on disk when this returns."""
        self.extend([{"key": key, **row}])
        return self._rows[key]

    def extend(self, rows: Sequence[Row]) -> None:
        """Write finished rows, each with its key, in one go; they are on disk on return."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._torn_at is not None:
            os.truncate(self.path, self._torn_at)
            self._torn_at = None
        with self.path.open("ab") as stream:
            stream.write(_lines(rows))
            stream.flush()
            os.fsync(stream.fileno())
        self._rows |= {row["key"]: row for row in rows}

    def keep(self, wanted: Callable[[Row], bool]) -> None:
        """Forget the rows that are not wanted, on disk too: the file is replaced at once."""
        kept = [row for row in self if wanted(row)]
        if len(kept) == len(self):
            return
        write_text(self.path, _lines(kept).decode())
        self._rows, self._torn_at = {row["key"]: row for row in kept}, None

    def _read(self) -> None:
        data = self.path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end < len(data):  # the process died while writing, or writes now
            self._torn_at = end
        for number, line in enumerate(data[:end].splitlines(), 1):
            try:
                row = json.loads(line)
                self._rows[row["key"]] = row
            except (ValueError, TypeError, KeyError) as error:
                raise UnreadableInput(
                    f"Line {number} of {self.path.name} is no row of an evaluation.",
                    hint="Name another --out, or move that file away.",
                ) from error


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
