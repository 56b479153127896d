# SPDX-License-Identifier: Apache-2.0
"""Finished pieces of a long evaluation in, one JSON line each on disk; a second start goes on.

A row carries a ``key`` that names everything its figures depend on, so a row made with other
weights or settings is never taken for a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
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
    """The rows of one JSON-lines file, by key; it is read once and only ever appended to.

    Raises:
        UnreadableInput: a line other than a torn last one is not JSON with a key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, Row] = {}
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
        found = {"key": key, **row}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(found) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._rows[key] = found
        return found

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # the process died while writing: that row is made again
            os.truncate(self.path, len(whole.encode()))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                row = json.loads(line)
                self._rows[row["key"]] = row
            except (ValueError, TypeError, KeyError) as error:
                raise UnreadableInput(
                    f"Line {number} of {self.path.name} is no row of an evaluation.",
                    hint="Name another --out, or move that file away.",
                ) from error
