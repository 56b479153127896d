# SPDX-License-Identifier: Apache-2.0
"""The back end over a real QProcess and a fake runner: what is told, in what order, and the end."""

import signal
import sys
from pathlib import Path

import pytest
import qt
from CXRCounterfactualLib.contract.events import Failed, Hello, Progressed, Result, Warned
from CXRCounterfactualLib.process.backend import Backend
from CXRCounterfactualLib.process.commands import Command

from tests.slicer.helpers.driving import drive, fake, living, spin, spin_until

pytestmark = pytest.mark.usefixtures("application")
LONGEST = 0.1  # seconds: the bar for a blocked window


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The output folder of a job, not there yet; its parent holds the job file."""
    job = tmp_path / "job"
    job.mkdir()
    (job / "job.json").write_text("{}")
    return job / "out"


def left(out: Path) -> list[str]:
    """What lies in the job's folder."""
    return sorted(path.name for path in out.parent.iterdir())


def test_a_run_tells_hello_steps_and_result_while_the_window_beats(
    backend: Backend, out: Path
) -> None:
    told = drive(backend, fake("steps", out))
    assert isinstance(told.events[0], Hello)
    assert [e.step for e in told.of(Progressed)] == list(range(1, 11))
    assert isinstance(told.events[-1], Result)
    assert (told.end.exit_code, told.end.saw_result, told.end.cancelled) == (0, True, False)
    assert left(out) == ["job.json", "out"]
    assert len(told.gaps) > 10
    assert max(told.gaps) < LONGEST


def test_half_lines_and_lines_that_are_no_events_do_no_harm(backend: Backend, out: Path) -> None:
    told = drive(backend, fake("halves", out))
    assert [warned.message for warned in told.of(Warned)] == ["half ä line"] * 2
    assert isinstance(told.events[-1], Result)


def test_a_flood_neither_blocks_the_window_nor_loses_the_end(backend: Backend, out: Path) -> None:
    told = drive(backend, fake("flood", out))
    assert isinstance(told.events[-1], Result)
    steps = [event.step for event in told.of(Progressed)]
    assert steps == sorted(steps)
    assert steps[-1] == 20_000, "the newest step is never dropped"
    assert len(steps) < 10_000, "steps that came together are told as one"
    assert told.end.stderr_tail.endswith("the last words\n")
    assert max(map(len, told.logs)) <= 8192
    assert max(told.gaps) < LONGEST


def test_a_crash_is_told_with_its_last_words_and_leaves_no_partial_files(
    backend: Backend, out: Path
) -> None:
    told = drive(backend, fake("crash", out))
    assert (told.end.crashed, told.end.exit_code) == (True, signal.SIGSEGV)
    assert not told.end.saw_result
    assert "a library broke" in told.end.stderr_tail
    assert left(out) == ["job.json"]


def test_a_result_that_was_told_stays_though_its_process_breaks_at_the_end(
    backend: Backend, out: Path
) -> None:
    told = drive(backend, fake("late", out))
    assert (told.end.crashed, told.end.saw_result) == (True, True)
    assert (out / "report.json").is_file()


def test_a_refusal_keeps_its_words_and_exit_code(backend: Backend, out: Path) -> None:
    told = drive(backend, fake("refuse", out))
    (failed,) = told.of(Failed)
    assert (failed.code, failed.hint) == ("unsupported_image", "Take a frontal one.")
    assert (told.end.exit_code, told.end.crashed) == (2, False)


def test_an_end_without_a_result_is_visible(backend: Backend, out: Path) -> None:
    told = drive(backend, fake("silent", out))
    assert (told.end.exit_code, told.end.saw_result) == (0, False)


def test_a_missing_runner_is_told_as_an_end(backend: Backend, out: Path) -> None:
    command = Command(str(out.parent / "no-python"), ("-m", "x"), {"PATH": ""}, out)
    told = drive(backend, command)
    assert told.end.exit_code is None
    assert "could not be started" in told.end.error


def test_a_missing_package_is_told_as_exit_code_3(backend: Backend, out: Path) -> None:
    command = Command(sys.executable, ("-m", "no_such_package.cli"), {"PATH": ""}, out)
    told = drive(backend, command)
    assert told.end.exit_code == 3
    assert "no_such_package" in told.end.stderr_tail


def test_a_second_run_waits_for_the_end_of_the_first(backend: Backend, out: Path) -> None:
    backend.start(fake("polite", out), print, print)
    assert backend.running
    with pytest.raises(RuntimeError, match="A run is going on"):
        backend.start(fake("steps", out), print, print)
    backend.close()
    assert not backend.running


def test_a_backend_is_used_again_and_again(backend: Backend, tmp_path: Path) -> None:
    for number in range(3):
        told = drive(backend, fake("steps" if number else "crash", tmp_path / f"out{number}"))
        assert told.end.saw_result == bool(number)


def test_closing_kills_the_tree_and_tells_nobody(backend: Backend, out: Path) -> None:
    told: list[object] = []
    backend.start(fake("stubborn", out), told.append, told.append)
    spin_until(lambda: len(living(str(out.parent))) == 3)
    told.clear()
    backend.close()
    spin(0.3)
    assert not living(str(out.parent))
    assert told == []
    assert left(out) == ["job.json"]


def test_a_child_that_outlives_a_good_run_is_ended_too(backend: Backend, out: Path) -> None:
    told = drive(backend, fake("orphans", out))
    assert told.end.saw_result
    assert (out / "report.json").is_file()
    assert not living(str(out.parent))


def test_the_event_loop_tells_nothing_before_start_returns(backend: Backend, out: Path) -> None:
    told: list[object] = []
    backend.start(fake("steps", out), told.append, told.append)
    assert told == []
    backend.close()


def test_the_environment_is_exactly_the_commands_own(backend: Backend, tmp_path: Path) -> None:
    script = tmp_path / "say.py"
    script.write_text("import json, os; print(json.dumps({'names': sorted(os.environ)}))")
    command = Command(sys.executable, (str(script),), {"ONLY": "this"}, document=True)
    told = drive(backend, command)
    assert told.end.document is not None
    assert set(told.end.document["names"]) <= {"ONLY", "LC_CTYPE"}
    assert told.events == []


def test_the_window_class_is_the_real_one() -> None:
    assert qt.QProcess.__module__.startswith("PySide6")
