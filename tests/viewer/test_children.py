# SPDX-License-Identifier: Apache-2.0
"""Processes of the viewer: heard, stopped with their whole tree, and nothing left behind.

The runner is the fake one of the extension's tests, so that both back ends are held to the same.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from CXRCounterfactualLib.contract.events import End, Hello, Progressed, Result
from CXRCounterfactualLib.process.commands import Command

from monai_cxr_cf.viewer.children import Children

FAKE = Path(__file__).resolve().parents[1] / "slicer" / "helpers" / "fake_runner.py"
LIMIT = 2.0  # seconds: the bar for a cancel
LONGEST = 0.1  # seconds: the bar for a page that stands still


@dataclass
class Told:
    """All that one process told, and how the loop fared meanwhile."""

    events: list[Any] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    log: str = ""
    slowest: float = 0.0  # seconds that the loop stood still
    stop_s: float = 0.0  # from cancel to the end

    def of(self, kind: type) -> list[Any]:
        """Its events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def fake(mode: str, out: Path) -> Command:
    """The fake runner in a mood."""
    return Command(sys.executable, (str(FAKE), mode, str(out)), os.environ, out)


def queued() -> float:
    """Seconds that this thread has waited for a processor so far: not the loop's own doing."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


async def _live(command: Command, stop_if: Callable[[Any], bool]) -> Told:
    children, over, told, began = Children(), asyncio.Event(), Told(), 0.0

    def heard(event: Any) -> None:
        nonlocal began
        told.events.append(event)
        if not began and stop_if(event):
            began = time.perf_counter() - queued()
            children.cancel()

    def ended(end: End) -> None:
        told.ends.append(end)
        told.stop_s = time.perf_counter() - queued() - began
        over.set()

    def note(text: str) -> None:
        told.log += text

    children.start(command, heard, ended, note)
    assert children.running
    while not over.is_set():
        before = time.perf_counter() - queued()
        await asyncio.sleep(0.01)
        told.slowest = max(told.slowest, time.perf_counter() - queued() - before - 0.01)
    assert not children.running
    return told


def live(command: Command, stop_if: Callable[[Any], bool] = lambda event: False) -> Told:
    """Run a command to its end; cancel at the first event that is meant."""
    return asyncio.run(_live(command, stop_if))


def is_step(event: Any) -> bool:
    """The runner works."""
    return isinstance(event, Progressed)


def living(folder: Path) -> list[str]:
    """Processes that name a folder (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and path.parent.name != str(os.getpid()):
            found.append(path.parent.name)
    return found


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What a run writes, in a job's folder of its own."""
    (tmp_path / "job").mkdir()
    return tmp_path / "job" / "out"


def test_a_run_is_heard_to_its_end(out: Path) -> None:
    told = live(fake("steps", out))
    assert told.of(Hello)
    assert told.of(Result)
    (end,) = told.ends
    assert (end.exit_code, end.crashed, end.saw_result, end.cancelled) == (0, False, True, False)
    assert out.is_dir()


@pytest.mark.parametrize("mode", ["polite", "stubborn"] * 3)
def test_cancel_ends_tree_and_files_in_two_seconds(mode: str, out: Path) -> None:
    told = live(fake(mode, out), is_step)
    (end,) = told.ends
    assert end.cancelled
    assert told.stop_s < LIMIT
    assert told.slowest < LONGEST
    assert not living(out.parent)
    assert not list(out.parent.iterdir())
    assert told.of(Progressed) == told.events[-1:], "nothing is told after cancel but the end"


def test_a_program_that_is_not_there_ends_at_once(tmp_path: Path) -> None:
    missing = Command(str(tmp_path / "python"), ("-m", "x"), os.environ, tmp_path / "out")
    (end,) = live(missing).ends
    assert (end.exit_code, end.error) == (None, "It could not be started.")


def test_a_package_that_is_missing_is_told_by_code_and_log(tmp_path: Path) -> None:
    bare = Command(sys.executable, ("-m", "no_such_package"), os.environ, tmp_path / "out")
    told = live(bare)
    assert told.ends[0].exit_code == 3
    assert "no_such_package" in told.log
    assert told.ends[0].stderr_tail == told.log


def test_a_document_is_read_whole(tmp_path: Path) -> None:
    script = tmp_path / "answer.py"
    script.write_text("import json; print(json.dumps({'findings': ['x' * 300_000]}, indent=1))")
    told = live(Command(sys.executable, (str(script),), os.environ, document=True))
    assert len((told.ends[0].document or {})["findings"][0]) == 300_000


def test_only_one_runs_at_a_time_and_closing_ends_it(tmp_path: Path) -> None:
    script = tmp_path / "sleep.py"
    script.write_text("import time; time.sleep(60)")
    sleeping = Command(sys.executable, (str(script),), os.environ, tmp_path / "out")

    async def twice() -> None:
        children = Children()
        ends: list[End] = []
        children.start(sleeping, lambda event: None, ends.append)
        with pytest.raises(RuntimeError):
            children.start(sleeping, lambda event: None, ends.append)
        while not living(script):
            await asyncio.sleep(0.02)
        children.close()
        for _ in range(100):
            if not living(script):
                break
            await asyncio.sleep(0.02)
        assert not living(script)
        assert not ends

    asyncio.run(twice())
