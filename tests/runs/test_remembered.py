# SPDX-License-Identifier: Apache-2.0
"""What is kept between edits: the least used goes first, and no value can be changed in place."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monai_cxr_cf.diffusion.model.backbone import Arrays
from monai_cxr_cf.runs.cache_folder import CacheFolder
from monai_cxr_cf.runs.remembered import OVERHEAD, Remembered, weight

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
ENTRY = 1000 + OVERHEAD


def made(value: int, calls: list[int]) -> Callable[[], Arrays]:
    """Makes 1000 bytes of ``value`` and writes down that it was asked."""

    def make() -> Arrays:
        calls.append(value)
        return {"values": np.full(1000, value, np.uint8)}

    return make


def test_a_value_is_made_once_and_read_only() -> None:
    memory, calls = Remembered(), list[int]()
    first = memory("kind", A, made(1, calls))["values"]
    again = memory("kind", A, made(1, calls))["values"]
    assert calls == [1]
    assert first is again
    assert memory.taken == {"kind": 1}
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 3


def test_what_was_used_least_recently_makes_room() -> None:
    memory, calls = Remembered(size=2 * ENTRY), list[int]()
    for key, value in ((A, 1), (B, 2), (A, 1), (C, 3), (A, 1), (B, 2)):
        assert memory("kind", key, made(value, calls))["values"][0] == value
    assert calls == [1, 2, 3, 2]
    assert (len(memory), memory.used) == (2, 2 * ENTRY)


def test_the_bound_holds_for_any_size() -> None:
    for size in (0, 1, ENTRY - 1, ENTRY, 3 * ENTRY + 5):
        memory = Remembered(size=size)
        for number in range(10):
            memory("kind", f"{number:064x}", made(number, []))
            assert memory.used <= size
        assert len(memory) == min(10, size // ENTRY)
    assert weight(None) == 0


def test_threads_share_one_memory_and_one_folder(tmp_path: Path) -> None:
    memory = Remembered(size=20 * ENTRY, folder=CacheFolder(tmp_path, 100_000))
    wrong = list[tuple[int, int]]()

    def work(offset: int) -> None:
        for turn in range(120):
            number = (turn * 7 + offset) % 40
            found = memory("kind", f"{number:064x}", made(number, []))["values"]
            if found.shape != (1000,) or set(found.tolist()) != {number}:
                wrong.append((turn, number))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert memory.used == ENTRY * len(memory) <= 20 * ENTRY
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 100_000


def test_a_second_process_finds_what_the_first_has_kept(tmp_path: Path) -> None:
    calls = list[int]()
    for _ in range(2):  # one memory a process
        memory = Remembered(folder=CacheFolder(tmp_path, 1_000_000))
        assert memory("kind", A, made(5, calls))["values"].tolist() == [5] * 1000
    assert calls == [5]
    assert memory.taken == {"kind": 1}


def test_what_is_larger_than_the_bound_pushes_nothing_out() -> None:
    memory, calls = Remembered(size=2 * ENTRY), list[int]()
    memory("kind", A, made(1, calls))
    large = memory("kind", B, lambda: {"values": np.zeros(3 * ENTRY, np.uint8)})["values"]
    assert not large.flags.writeable
    memory("kind", A, made(1, calls))
    assert (calls, len(memory), memory.used) == ([1], 1, ENTRY)
