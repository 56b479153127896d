# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are on disk when a function returns, whole or not at all."""

import ctypes
import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.points import Hook, unwatched

FULL = (errno.ENOSPC, errno.EDQUOT)
THERE = (errno.EEXIST, errno.ENOTEMPTY)
MANY = 8  # folders from which on it is quicker to sync the whole disk than each of them
# What statfs says of ext4, xfs, btrfs, tmpfs, overlay; of others nobody knows what syncfs reaches.
DISKS = (0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630)
TELLS = (5, 8)  # the Linux whose syncfs tells of what could not be written


def save_text(path: Path, text: str) -> None:
    """A text file, replaced at once."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def save_json(path: Path, data: Any) -> None:
    """A JSON file, replaced at once."""
    save_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def sync_folder(folder: Path | str) -> None:
    """The names in a folder are on disk; systems that cannot sync a folder are left alone."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folder
        return
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def sync_trees(folders: Sequence[Path]) -> None:
    """Every file and folder below these folders, and themselves.

    All files are sent to the disk before the first one is waited for: one commit of the disk's
    journal then serves them all.
    """
    found = [(r, names) for f in folders for r, _, names in os.walk(f, topdown=False)]
    handles: list[int] = []
    try:
        for root, names in found:
            handles += (os.open(f"{root}/{name}", os.O_RDWR) for name in names)
        for handle in handles if hasattr(os, "posix_fadvise") else ():
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        for handle in handles:
            os.fsync(handle)
    finally:
        for handle in handles:
            os.close(handle)
    for root, _ in found:
        sync_folder(root)


def sync_disk(folder: Path) -> bool:
    """All of a folder's file system is on disk; False, and nothing done, where that is unsure.

    Raises:
        OSError: something could not be written.
    """
    libc, told = _libc(), (ctypes.c_long * 32)()
    if libc is None or libc.statfs(os.fsencode(folder), told) or told[0] not in DISKS:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(handle):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(handle)
    return True


@cache
def _libc() -> "ctypes.CDLL | None":
    """The C library of a Linux that tells of errors; None elsewhere."""
    if sys.platform != "linux":
        return None
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if found is None or (int(found[1]), int(found[2])) < TELLS:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if hasattr(libc, "syncfs") and hasattr(libc, "statfs") else None


def make_folders(folder: Path) -> list[Path]:
    """``mkdir -p``; returns the folders that have a new name in them, to be synced."""
    try:
        folder.mkdir()
    except FileExistsError:
        return []
    except FileNotFoundError:
        return [*make_folders(folder.parent), *make_folders(folder)]
    return [folder.parent]


def place(moves: Sequence[tuple[Path, Path]], at: Hook = unwatched) -> None:
    """Move folders that were built aside to their places; all are on disk, whole, on return.

    Where another row with the same key was first, its folder stays: it holds the same.
    """
    above = {folder for _, final in moves for folder in make_folders(final.parent)}
    many = len(moves) >= MANY
    if not (many and sync_disk(moves[0][0])):
        sync_trees([aside for aside, _ in moves])
        for folder in sorted(above):
            sync_folder(folder)
    at("synced")
    for aside, final in moves:
        try:
            aside.rename(final)
        except OSError as error:
            if error.errno not in THERE:
                raise
            remove(aside)
        at("renamed")
    if not (many and sync_disk(moves[0][1])):
        for folder in sorted({final.parent for _, final in moves}):
            sync_folder(folder)


@contextmanager
def built(aside: Path, final: Path) -> Iterator[Path]:
    """A new folder aside to build in; moved to its place when all went well, else removed."""
    remove(aside)
    make_folders(aside)
    try:
        yield aside
        place([(aside, final)])
    finally:
        remove(aside)


def remove(folder: Path) -> None:
    """A folder and what it holds, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def subfolders(folder: Path) -> Iterator[Path]:
    """The folders in a folder, in their order; none if it is not there."""
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_dir())
