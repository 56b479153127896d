# SPDX-License-Identifier: Apache-2.0
"""Folders go to their places on disk, a few by themselves, many by one sync of the disk."""

import os
import sys

import pytest

from monai_cxr_cf.batch.store import files
from monai_cxr_cf.batch.store.files import MANY, place, sync_disk

linux = pytest.mark.skipif(sys.platform != "linux", reason="syncfs is of Linux")


def moves(folder, count):
    """Folders aside, and where they belong."""
    found = []
    for i in range(count):
        aside = folder / "aside" / str(i)
        aside.mkdir(parents=True)
        (aside / "file").write_text(str(i))
        found.append((aside, folder / "rows" / f"{i % 3}" / str(i)))
    return found


@pytest.fixture
def synced(monkeypatch):
    """What was synced by itself."""
    found = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (found.append(handle), real(handle)))
    return found


@linux
@pytest.mark.parametrize(("kind", "count"), [("known", MANY), ("known", 1), ("other", MANY)])
def test_many_folders_are_synced_at_once_where_the_disk_is_known(
    kind, count, synced, tmp_path, monkeypatch
):
    known = sync_disk(tmp_path)  # this machine's
    if kind == "other":
        monkeypatch.setattr(files, "DISKS", ())
    points = []
    place(moves(tmp_path, count), points.append)
    at_once = known and kind == "known" and count == MANY
    assert bool(synced) == (not at_once)
    assert points == ["synced", *["renamed"] * count]
    got = {path.name: (path / "file").read_text() for path in (tmp_path / "rows").glob("*/*")}
    assert got == {str(i): str(i) for i in range(count)}
    assert not list((tmp_path / "aside").iterdir())


@linux
def test_what_the_disk_could_not_write_is_raised(tmp_path, monkeypatch):
    class Full:
        def statfs(self, name, told):
            told[0] = files.DISKS[0]
            return 0

        def syncfs(self, handle):
            files.ctypes.set_errno(files.errno.ENOSPC)
            return -1

    monkeypatch.setattr(files, "_libc", Full)
    with pytest.raises(OSError, match="No space left") as caught:
        place(moves(tmp_path, MANY))
    assert files.is_full(caught.value)
    assert not list(tmp_path.glob("rows/*/*"))


@pytest.mark.parametrize("release", ["4.18.0-553.el8", "5.7.19", "strange"])
def test_an_old_linux_is_not_trusted(release, monkeypatch):
    told = type("Told", (), {"release": release})
    monkeypatch.setattr(os, "uname", told)
    files._libc.cache_clear()
    try:
        assert files._libc() is None
    finally:
        files._libc.cache_clear()
