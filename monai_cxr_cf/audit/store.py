# SPDX-License-Identifier: Apache-2.0
"""Scores on disk, a line a record: what was scored is not scored again, a torn line never was.

One file a classifier and version, so several classifiers share the edits of one folder.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import monai_cxr_cf

Record = dict[str, Any]


class Scores:
    """The records of one classifier.

    Args:
        folder: of the audit.
        digest: of the classifier and its declaration.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        name = f"{digest[:16]}-{monai_cxr_cf.__version__}.jsonl"
        self._path = folder / "scores" / name
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.known = dict(self._read())

    def _read(self) -> Iterator[tuple[str, Record]]:
        if not self._path.is_file():
            return
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            self._path.write_bytes(whole)
        for line in whole.splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a damaged line: scored again
                told = json.loads(line)
                yield told["key"], told["record"]

    def add(self, key: str, record: Mapping[str, Any]) -> Record:
        """Keep a record; it is on disk when this returns."""
        line = json.dumps({"key": key, "record": record}, ensure_ascii=False)
        with self._path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(line + "\n")
        self.known[key] = json.loads(line)["record"]
        return self.known[key]
