# SPDX-License-Identifier: Apache-2.0
"""Threads wait asleep in every door, so that an edit beside busy processes costs what it costs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monai_cxr_cf import threads
from monai_cxr_cf.cli import main
from monai_cxr_cf.commands import info
from tests.posix import posix

SPIN = "while True: pass"
WORK = """
import os, sys
from monai_cxr_cf import threads
threads.prepare(threads=int(sys.argv[1]))
import torch
torch.set_num_threads(int(sys.argv[1]))
x, kernel = torch.rand(1, 32, 32, 32), torch.rand(32, 32, 3, 3)
with torch.inference_mode():
    for _ in range(int(sys.argv[2])):
        x = torch.nn.functional.conv2d(x, kernel, padding=1).tanh()
used = os.times()
print(used.user + used.system)
"""


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that take all the time they get."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def cpu_seconds(root: Path, count: int, loops: int) -> float:
    """Processor time of a small network's passes with ``count`` threads."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OMP", "KMP", "GOMP"))}
    words = [sys.executable, "-c", WORK, str(count), str(loops)]
    done = subprocess.run(
        words, cwd=root, env=env | {"PYTHONPATH": str(root)}, capture_output=True, text=True,
        check=True, timeout=500,
    )  # fmt: skip
    return float(done.stdout)


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such variable is set; what a test sets goes again."""
    for name in (*threads.PASSIVE, threads.COUNT):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@posix
def test_threads_beside_busy_processes_do_not_spin(root: Path) -> None:
    start = cpu_seconds(root, 1, 0)  # loading the library
    alone = cpu_seconds(root, 1, 4000) - start  # one thread has nobody to wait for
    with busy(2):
        beside = cpu_seconds(root, 2, 4000) - start
    assert beside < 2.5 * alone


@pytest.mark.usefixtures("empty")
def test_waiting_is_passive_and_the_users_word_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    threads.prepare()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["KMP_BLOCKTIME"] == "0"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    threads.prepare()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.usefixtures("empty")
def test_the_count_follows_the_flag_then_the_user_then_the_quota(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 8)
    monkeypatch.setattr(threads, "allowed", lambda: 8)
    threads.prepare()
    assert threads.COUNT not in os.environ, "without a quota the libraries decide"
    monkeypatch.setattr(threads, "allowed", lambda: 3)
    threads.prepare()
    assert os.environ[threads.COUNT] == "3"
    monkeypatch.setenv(threads.COUNT, "5")
    threads.prepare()
    assert os.environ[threads.COUNT] == "5"


@pytest.mark.usefixtures("empty")
def test_a_library_that_is_loaded_already_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    threads.prepare(threads=2)
    assert (told, os.environ[threads.COUNT]) == ([2], "2")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "400000 100000\n"}, 4),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 6),
        ({"cpu.max": "9900000 100000\n"}, 6),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 6),
        ({}, 6),
        ({"cpu.max": "nothing\n"}, 6),
    ],
)
def test_a_containers_quota_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 6)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")
    assert threads.allowed(tmp_path) == expected


@pytest.mark.usefixtures("empty")
def test_every_verb_has_the_flag_and_prepares_before_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str | None, str | None]] = []

    def look(args: object) -> int:
        seen.append((os.environ.get("OMP_WAIT_POLICY"), os.environ.get(threads.COUNT)))
        return 0

    monkeypatch.setattr(info, "run", look)
    assert main(["info", "--threads", "1"]) == 0
    assert seen == [("PASSIVE", "1")]


@pytest.mark.parametrize("word", ["0", "-1", "two", "1.5"])
def test_a_wrong_count_is_one_sentence(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", f"--threads={word}"]) == 2
    assert f"'{word}' is no whole number from 1" in capsys.readouterr().err
