# SPDX-License-Identifier: Apache-2.0
"""Process groups and partial output: what must be gone when a run was stopped. No qt."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from glob import escape
from pathlib import Path

STOP = signal.SIGTERM
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no groups, and no SIGKILL
GROUPS = hasattr(os, "killpg")


def group_of(file: Path) -> int | None:
    """The group that ``spawn.py`` told; None if it told none, or one that is ours."""
    try:
        group = int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return group if GROUPS and group > 1 and group != os.getpgrp() else None


def signalled(group: int | None, number: int) -> bool:
    """Send a signal to all of a group; False if nobody is left in it, or there is no group."""
    if group is None or not GROUPS:
        return False
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False  # macOS refuses a group of which only zombies are left
    return True


def alive(group: int | None) -> bool:
    """Whether anybody is left in a group who is not dead: zombies wait for somebody else."""
    if not signalled(group, 0):
        return False
    members = [fields for fields in _stats() if fields[2] == str(group)]
    return not members or any(fields[0] not in "ZX" for fields in members)


def _stats() -> Iterator[list[str]]:
    """State, parent, group, ... of every process, where the system tells it in files (Linux)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            yield path.read_text(encoding="latin-1").rpartition(")")[2].split()


def is_free(folder: Path | None) -> bool:
    """Whether what will lie in ``folder`` is the run's: it is not there yet, or empty."""
    if folder is None or not folder.exists():
        return folder is not None
    return folder.is_dir() and not any(folder.iterdir())


class Remains:
    """What a run leaves beside its result: removed by a thread, for a folder may be large.

    Args:
        folder: the output folder.
        whole: also the folder itself; else only the staging beside it.
    """

    def __init__(self, folder: Path, *, whole: bool) -> None:
        self._folder, self._whole = folder, whole
        self._thread: threading.Thread | None = None

    def paths(self) -> list[Path]:
        """What is still there."""
        found = list(self._folder.parent.glob(f".{escape(self._folder.name)}.*"))
        if self._whole and self._folder.exists():
            found.append(self._folder)
        return found

    def gone(self) -> bool:
        """Remove, and look; ask again until it is True."""
        if self._thread is not None and self._thread.is_alive():
            return False
        paths = self.paths()
        if not paths:
            return True
        self._thread = threading.Thread(target=_remove, args=(paths,), daemon=True)
        self._thread.start()
        self._thread.join(0.01)  # a small folder is gone at the first call
        return not self._thread.is_alive() and not self.paths()


def _remove(paths: list[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):  # ``gone`` looks again
                path.unlink(missing_ok=True)
