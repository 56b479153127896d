# SPDX-License-Identifier: Apache-2.0
"""A folder of arrays by digest, shared by processes, bounded in bytes.

One ``DIGEST.npz`` an entry: arrays and their own name, no text, no path, nothing of a header. An
entry appears whole or not at all; one that is damaged or names another key is left out with a
warning and made anew. Other files in the folder are never touched.
"""

import logging
import os
import re
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Lock

import numpy as np

from monai_cxr_cf.diffusion.model.backbone import Arrays
from monai_cxr_cf.errors import BadRequest, ResourceExhausted

log = logging.getLogger(__name__)
NAME = "entry"  # the array that repeats an entry's own key
OURS = re.compile(r"[0-9a-f]{64}\.npz|\.[0-9a-f]{64}\.\w+\.part")
PART_S = 3600.0  # a half-written file this old was left by a process that died
LOOK = 64  # the folder is counted again after each 64th part of its bound
# What numpy and zipfile raise for bytes that are no entry.
DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, MemoryError,
           zipfile.BadZipFile, zlib.error)  # fmt: skip


class CacheFolder:
    """Entries of one folder; those used least recently make room.

    Args:
        folder: made with mode 0700 if it is not there.
        size: bytes. Each process holds to it with what it writes itself; one more writer may
            exceed it by a 64th.

    Raises:
        BadRequest: ``folder`` is a file.
        ResourceExhausted: it cannot be made.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder.expanduser().absolute(), size
        if self.folder.exists() and not self.folder.is_dir():
            raise BadRequest("--cache names a file; expected a folder.", hint="Name a folder.")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceExhausted(
                f"The cache folder cannot be made ({error.strerror}).",
                hint="Choose a folder that is writable and has space.",
            ) from error
        self._unseen = size  # bytes written since the folder was last counted; at first: all
        self._lock = Lock()

    def read(self, key: str) -> Arrays | None:
        """The entry, or None if there is none that can be trusted."""
        path = self.folder / f"{key}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:  # reading checks the sums of the zip
                found = {name: file[name] for name in file.files}
            if found.pop(NAME).tobytes() != key.encode():
                raise ValueError("another key")
        except FileNotFoundError:
            return None
        except PermissionError:  # another user's
            return None
        except DAMAGED as error:
            log.warning("a damaged entry of the cache is made anew (%s)", type(error).__name__)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):  # a folder that is only read keeps its times
            os.utime(path)
        return found

    def write(self, key: str, arrays: Arrays) -> None:
        """Keep an entry; a folder that cannot take it is only warned of."""
        buffer, name = BytesIO(), np.frombuffer(key.encode(), np.uint8)
        np.savez(buffer, **arrays, **{NAME: name})  # type: ignore[arg-type]
        data = buffer.getvalue()
        if len(data) > self.size:
            return
        try:
            self._make_room(len(data))
            handle, part = tempfile.mkstemp(dir=self.folder, prefix=f".{key}.", suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(part).replace(self.folder / f"{key}.npz")
            finally:
                Path(part).unlink(missing_ok=True)
        except OSError as error:
            log.warning("an entry of the cache could not be written (%s)", error.strerror)

    def _make_room(self, needed: int) -> None:
        """Count the folder if it may be full, and drop what was used least recently."""
        with self._lock:
            self._unseen += needed
            if self._unseen <= self.size // LOOK:
                return
            entries = sorted(self._entries(), key=lambda entry: entry[1])
            total = sum(size for _, _, size in entries) + needed + self.size // LOOK
            for path, _, size in entries:
                if total <= self.size:
                    break
                path.unlink(missing_ok=True)
                total -= size
            self._unseen = max(0, total - self.size)

    def _entries(self) -> Iterator[tuple[Path, float, int]]:
        """Path, time of last use and bytes of every entry; what died half-written is removed."""
        for path in self.folder.iterdir():
            if not OURS.fullmatch(path.name):
                continue
            try:
                told = path.stat()
                if path.suffix == ".npz":
                    yield path, told.st_mtime, told.st_size
                elif time.time() - told.st_mtime > PART_S:
                    path.unlink()
            except FileNotFoundError:  # another process made room
                continue
