# SPDX-License-Identifier: Apache-2.0
"""The cache in a folder: whole entries or none, bounded, safe from damage, kill and other files."""

import logging
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from monai_cxr_cf.diffusion.model.backbone import Arrays
from monai_cxr_cf.errors import BadRequest, ResourceExhausted
from monai_cxr_cf.runs.cache_folder import PART_S, CacheFolder
from tests.posix import posix

KEY, OTHER = "a" * 64, "b" * 64
ARRAYS = {
    "labels": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "points": np.linspace(0, 1, 5, dtype=np.float32),
    "agreement": np.array([0.1]),
}
WRITER = """
import sys
from pathlib import Path
import numpy as np
from monai_cxr_cf.runs.cache_folder import CacheFolder
folder = CacheFolder(Path(sys.argv[1]), int(sys.argv[2]))
print("ready", flush=True)
for turn in range(int(sys.argv[3])):
    number = turn % 8
    key = f"{number:064x}"
    folder.write(key, {"values": np.full(200_000, number, np.uint8)})
    found = folder.read(key)
    assert found is None or (found["values"] == number).all(), number
"""


def same(found: Arrays | None, wanted: Arrays = ARRAYS) -> bool:
    """Whether all arrays are there with type, shape and values."""
    return found is not None and found.keys() == wanted.keys() and all(
        found[k].dtype == v.dtype and np.array_equal(found[k], v) for k, v in wanted.items()
    )  # fmt: skip


def started(folder: Path, size: int, turns: int) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", WRITER, str(folder), str(size), str(turns)]
    writer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def test_an_entry_comes_back_as_it_went(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path / "new" / "cache", 100_000)
    assert folder.read(KEY) is None
    folder.write(KEY, ARRAYS)
    assert same(folder.read(KEY))
    assert folder.read(OTHER) is None
    assert [p.name for p in folder.folder.iterdir()] == [f"{KEY}.npz"]


@posix
def test_the_folder_and_its_entries_are_the_user_s_own(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path / "cache", 100_000)
    folder.write(KEY, ARRAYS)
    assert stat.S_IMODE(folder.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder.folder / f"{KEY}.npz").stat().st_mode) == 0o600


def test_a_damaged_byte_never_gives_other_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, chance = CacheFolder(tmp_path, 100_000), random.Random(3)
    folder.write(KEY, ARRAYS)
    path = tmp_path / f"{KEY}.npz"
    whole, left_out = path.read_bytes(), 0
    for place in chance.sample(range(len(whole)), 150):
        bad = bytearray(whole)
        bad[place] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        found = folder.read(KEY)
        assert found is None or same(found), place
        left_out += found is None
        assert path.exists() == (found is not None)
    assert left_out > 100
    assert "a damaged entry of the cache is made anew" in caplog.text
    assert str(tmp_path) not in caplog.text


@pytest.mark.parametrize("data", [b"", b"half", b"\x93NUMPY\x01\x00v\x00{", b"PK\x03\x04" * 9])
def test_what_is_no_entry_is_left_out_with_a_warning(
    data: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CacheFolder(tmp_path, 100_000)
    (tmp_path / f"{KEY}.npz").write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert folder.read(KEY) is None
    assert "made anew" in caplog.text
    folder.write(KEY, ARRAYS)
    assert same(folder.read(KEY))


def test_pickled_arrays_and_entries_of_another_key_are_refused(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, 100_000)
    folder.write(OTHER, ARRAYS)
    (tmp_path / f"{OTHER}.npz").rename(tmp_path / f"{KEY}.npz")
    assert folder.read(KEY) is None
    np.savez(tmp_path / f"{KEY}.npz", values=np.array([{"a": 1}], dtype=object))
    assert folder.read(KEY) is None
    np.savez(tmp_path / f"{KEY}.npz", values=np.zeros(3))  # does not say what it is
    assert folder.read(KEY) is None


def test_the_bound_holds_and_the_least_used_goes_first(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, 64_000)
    (tmp_path / "notes.txt").write_text("of somebody else")
    began = time.time() - 1000
    for number in range(40):
        key = f"{number:064x}"
        folder.write(key, {"values": np.full(4000, number, np.uint8)})
        os.utime(tmp_path / f"{key}.npz", (began + number,) * 2)
        if number > 2:
            assert folder.read(f"{0:064x}") is not None  # used all the time: stays
        assert sum(p.stat().st_size for p in tmp_path.glob("*.npz")) <= 64_000
    left = sorted(int(p.stem, 16) for p in tmp_path.glob("*.npz"))
    assert left[0] == 0
    assert left[1:] == list(range(left[1], 40))
    assert 10 <= len(left) <= 14
    assert (tmp_path / "notes.txt").read_text() == "of somebody else"


def test_an_entry_over_the_bound_is_not_kept(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, 5_000)
    folder.write(KEY, {"values": np.zeros(200, np.uint8)})
    folder.write(OTHER, {"values": np.zeros(6_000, np.uint8)})
    assert folder.read(OTHER) is None
    assert folder.read(KEY) is not None


def test_half_written_files_are_never_read_and_go_when_they_are_old(tmp_path: Path) -> None:
    old, new = tmp_path / f".{KEY}.x1_.part", tmp_path / f".{KEY}.x2.part"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - PART_S - 60,) * 2)
    folder = CacheFolder(tmp_path, 100_000)
    assert folder.read(KEY) is None
    folder.write(OTHER, ARRAYS)
    assert not old.exists()
    assert new.exists()


def test_two_processes_write_the_same_names_into_one_folder(tmp_path: Path) -> None:
    writers = [started(tmp_path, 1_000_000, 60) for _ in range(2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    folder = CacheFolder(tmp_path, 1_000_000)
    kept = [n for n in range(8) if (found := folder.read(f"{n:064x}")) is not None
            and (found["values"] == n).all()]  # fmt: skip
    assert len(kept) == len(list(tmp_path.glob("*.npz"))) >= 3
    assert not list(tmp_path.glob(".*.part"))


@posix
def test_a_kill_while_writing_leaves_whole_entries_only(tmp_path: Path) -> None:
    seen = 0
    for turn in range(5):
        writer = started(tmp_path, 10_000_000, 100_000)
        time.sleep(0.05 + 0.02 * turn)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(timeout=30) == -signal.SIGKILL
        for path in tmp_path.glob("*.npz"):
            with np.load(path, allow_pickle=False) as file:
                assert (file["values"] == int(path.stem, 16)).all()
                assert file["entry"].tobytes() == path.stem.encode()
            seen += 1
    assert seen > 0


def test_a_file_in_its_place_and_a_folder_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(BadRequest, match="expected a folder"):
        CacheFolder(file, 1000)
    with pytest.raises(ResourceExhausted, match="cannot be made"):
        CacheFolder(file / "below", 1000)


def test_a_folder_that_takes_nothing_more_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CacheFolder(tmp_path / "cache", 100_000)
    folder.folder.rmdir()
    folder.write(KEY, ARRAYS)
    assert "could not be written" in caplog.text
    assert folder.read(KEY) is None


def test_an_entry_whose_time_cannot_be_set_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CacheFolder(tmp_path, 100_000)
    folder.write(KEY, ARRAYS)

    def refuse(path: Path) -> None:
        raise PermissionError(1, "read-only")

    monkeypatch.setattr(os, "utime", refuse)
    assert same(folder.read(KEY))
    assert not caplog.records


def test_an_entry_of_another_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CacheFolder(tmp_path, 100_000)
    folder.write(KEY, ARRAYS)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "not yours")

    with monkeypatch.context() as held:
        held.setattr(np, "load", refuse)
        assert folder.read(KEY) is None
    assert same(folder.read(KEY)), "it was not removed"
    assert not caplog.records
