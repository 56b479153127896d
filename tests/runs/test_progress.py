# SPDX-License-Identifier: Apache-2.0
"""The story of a run: the event stream, the time left, and stopping by signal or line."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from monai_cxr_cf.errors import BadRequest, Cancelled
from monai_cxr_cf.runs.cancel import Cancellation, cancellable
from monai_cxr_cf.runs.progress import Clock, Events, Lines, Silent
from tests.posix import posix

STEPS = [
    {"stage": "read", "step": 0, "total": 1},
    {"stage": "read", "step": 1, "total": 1},
    {"stage": "sample", "step": 0, "total": 1},
    {"stage": "sample", "step": 1, "total": 2},
    {"stage": "sample", "step": 2, "total": 2},
    {"stage": "sample", "step": 1, "total": 1},
]
LISTENER = """
import sys, time
from monai_cxr_cf.runs.cancel import Cancellation, cancellable
from monai_cxr_cf.errors import Cancelled
state = Cancellation()
try:
    with cancellable(state, stdin=True):
        print("ready", flush=True)
        for _ in range(600):
            time.sleep(0.05)
            state.check()
            print("beat", flush=True)
except Cancelled as error:
    sys.exit(error.exit_code)
"""


def heard(*, until: int = len(STEPS)) -> list[dict[str, object]]:
    """Events of the steps above."""
    stream = io.StringIO()
    events = Events(stream)
    for step in STEPS[:until]:
        events(step)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_event_is_one_json_line_and_steps_come_once() -> None:
    told = [(e["stage"], e["step"], e["total"]) for e in heard()]
    assert told == [
        *(("read", 0, 1), ("read", 1, 1)),
        *(("sample", 0, 1), ("sample", 1, 2), ("sample", 2, 2)),
    ]


def test_the_stream_begins_with_hello_and_ends_with_the_result() -> None:
    stream = io.StringIO()
    events = Events(stream)
    events.hello({"version": "1"})
    events.warning("ap", "AP view.")
    events.result({"files": [{"role": "preview", "path": "preview.png"}], "report": "report.json"})
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [e["event"] for e in told] == ["hello", "warning", "preview", "result"]
    assert told[0]["protocol"] == 1
    assert told[2]["path"] == "preview.png"


def test_an_error_event_has_code_message_and_hint() -> None:
    stream = io.StringIO()
    Events(stream).error(BadRequest("No.", code="no", hint="Yes."))
    told = json.loads(stream.getvalue())
    assert told == {"event": "error", "code": "no", "message": "No.", "hint": "Yes."}


def test_a_client_that_is_gone_stops_the_run() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream, pytest.raises(Cancelled):
        Events(stream).hello({})


def test_time_left_is_the_pace_of_the_stage() -> None:
    now = iter([0.0, 0.0, 10.0, 20.0])
    clock = Clock(lambda: next(now))
    assert clock.left("sample", 0, 4) is None
    assert clock.left("sample", 1, 4) == pytest.approx(0.0)
    assert clock.left("sample", 2, 4) == pytest.approx(10.0)
    assert clock.left("sample", 4, 4) == 0


def test_logs_get_one_line_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    talker = Lines()
    for step in STEPS:
        talker(step)
    assert capsys.readouterr().err == "read ...\nsample ...\n"


def test_a_reporter_passes_the_wish_to_stop_on() -> None:
    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        Silent(stop)(STEPS[0])


def stopped_by_sigterm(cleaned: list[str]) -> None:
    """A run that is stopped, and stopped once more while it cleans up."""
    with cancellable(Cancellation()):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            cleaned.append("in full")


@posix
def test_sigterm_becomes_cancelled_and_the_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Cancelled) as caught:
        stopped_by_sigterm([])
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


@posix
def test_a_second_signal_does_not_disturb_the_cleaning_up() -> None:
    cleaned: list[str] = []
    with pytest.raises(Cancelled):
        stopped_by_sigterm(cleaned)
    assert cleaned == ["in full"]


def listener() -> subprocess.Popen[str]:
    """A process that waits for a cancel line."""
    words = [sys.executable, "-c", LISTENER]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_cancel_line_on_stdin_stops_within_three_beats() -> None:
    """The process stands still while the line is written, so that no other work of the machine
    comes between: a beat is .05 s of its own."""
    process = listener()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("hello\ncan")
    process.stdin.flush()
    assert [process.stdout.readline() for _ in range(3)] == ["beat\n"] * 3
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    os.set_blocking(process.stdout.fileno(), False)
    with contextlib.suppress(BlockingIOError):
        while os.read(process.stdout.fileno(), 4096):
            pass
    process.stdin.write("cel\n")
    process.stdin.flush()
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=60) == 143
    assert os.read(process.stdout.fileno(), 4096).count(b"beat") <= 3


@posix
def test_end_of_stdin_does_not_stop_the_run() -> None:
    process = listener()
    assert process.stdin is not None
    process.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.terminate()
    assert process.wait(timeout=10) == 143


def interrupted_in_a_callback(state: Cancellation) -> None:
    """A run whose library swallows the exception of the signal; the next step tells."""
    with cancellable(state):
        with contextlib.suppress(Cancelled):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        Silent(state.check)(STEPS[0])


@posix
def test_a_signal_whose_exception_was_swallowed_stops_the_next_step() -> None:
    with pytest.raises(Cancelled) as caught:
        interrupted_in_a_callback(Cancellation())
    assert caught.value.exit_code == 130
