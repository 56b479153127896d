# SPDX-License-Identifier: Apache-2.0
"""A runner that behaves as told: ``fake_runner.py MODE OUT``, started through ``spawn.py``.

It speaks the protocol of the real one (docs/usage.md 5), stages its output the same way, and
does what the real one never should: floods, crashes, children that ignore every signal.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

CHILD = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder = sys.argv[1]
if len(sys.argv) > 2:
    import subprocess
    subprocess.Popen([sys.executable, "-c", sys.argv[2], folder])
n = 0
while True:
    n += 1
    with open(os.path.join(folder, f"{os.getpid()}-{n % 50}"), "w") as stream:
        stream.write("x" * 1000)
    time.sleep(0.005)
"""
HELLO = {"event": "hello", "protocol": 1, "version": "0", "device": "cpu", "lock_sha256": None}


def line(event: str, **facts: object) -> bytes:
    """One event as it travels."""
    return (json.dumps({"event": event, **facts}) + "\n").encode()


def tell(event: str, **facts: object) -> None:
    """One line, complete."""
    os.write(1, line(event, **facts))


def step(number: int, total: int, stage: str = "sample") -> None:
    """A progress event."""
    tell("progress", stage=stage, step=number, total=total, eta_s=1.0)


def stage_of(out: Path) -> Path:
    """A staging folder beside the output, with a file in it, as the real runner has."""
    folder = out.parent / f".{out.name}.work"
    folder.mkdir(parents=True)
    (folder / "part.dcm").write_bytes(b"x" * 100_000)
    return folder


def finish(out: Path, **facts: object) -> None:
    """Move the staging into place and tell the result."""
    folder = stage_of(out)
    (folder / "report.json").write_text("{}")
    if out.exists():
        out.rmdir()
    folder.rename(out)
    file = {"role": "report", "path": "report.json", "sop_class": "", "series_uid": "",
            "sop_uid": "", "sha256": "", "label": ""}  # fmt: skip
    metrics = {"outside_max_diff": 0, **facts}
    tell("result", files=[file], metrics=metrics, verdict={"verdict": "passed", "words": "passed"},
         report="report.json", seconds={})  # fmt: skip


def steps(out: Path) -> int:
    """Ten steps and a result."""
    for number in range(1, 11):
        step(number, 10)
        time.sleep(0.03)
    finish(out)
    return 0


def halves(out: Path) -> int:
    """Lines in pieces that end anywhere, and lines that are no events."""
    text = json.dumps({"event": "warning", "code": "w", "message": "half ä line"},
                      ensure_ascii=False).encode() + b"\n"  # fmt: skip
    for piece in (text[:7], text[7:-9], text[-9:] + b"\nno event\n" + text[:20], text[20:]):
        os.write(1, piece)
        time.sleep(0.05)
    finish(out)
    return 0


def flood(out: Path) -> int:
    """30 MB on standard error and 20,000 steps, a hundred at once, on standard output."""
    noise = b"noise " * 10_000

    def pour() -> None:
        for _ in range(500):
            os.write(2, noise)

    thread = threading.Thread(target=pour)
    thread.start()
    for first in range(1, 20_001, 100):
        facts = {"stage": "sample", "total": 20_000, "eta_s": 1.0}
        steps = range(first, first + 100)
        os.write(1, b"".join(line("progress", step=number, **facts) for number in steps))
    thread.join()
    os.write(2, b"the last words\n")
    finish(out)
    return 0


def crash(out: Path) -> int:
    """Dies of a signal in mid-step, its staging left behind."""
    stage_of(out)
    step(1, 10)
    os.write(2, b"a library broke\n")
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def late(out: Path) -> int:
    """Breaks when all is done and told, as libraries do at the end of a process."""
    finish(out)
    os.kill(os.getpid(), signal.SIGABRT)
    return 0


def refuse(out: Path) -> int:
    """An error as the real runner tells it."""
    tell("error", code="unsupported_image", message="A lateral view.", hint="Take a frontal one.")
    return 2


def silent(out: Path) -> int:
    """Ends well without a result."""
    return 0


def polite(out: Path) -> int:
    """Cleans up and leaves with 143 when it is asked to, by signal or line."""
    folder = stage_of(out)

    def leave(*_: object) -> None:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        os._exit(143)

    signal.signal(signal.SIGTERM, leave)
    number = 0
    while True:
        number += 1
        step(number, 1000)
        time.sleep(0.02)


def stubborn(out: Path) -> int:
    """Deaf, in the middle of a step, with a child and a grandchild that write and are deaf too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    folder = stage_of(out)
    out.mkdir(exist_ok=True)
    subprocess.Popen([sys.executable, "-c", CHILD, str(folder), CHILD])
    step(1, 1000)
    while True:
        (out / "part").write_bytes(b"y" * 10_000)


def orphans(out: Path) -> int:
    """A result, and a child that outlives it."""
    folder = out.parent / "elsewhere"
    folder.mkdir()
    subprocess.Popen([sys.executable, "-c", CHILD, str(folder)])
    time.sleep(0.3)
    finish(out)
    return 0


if __name__ == "__main__":
    if "--mute" not in sys.argv:
        os.write(1, (json.dumps(HELLO) + "\n").encode())
    sys.exit(globals()[sys.argv[1]](Path(sys.argv[2])))
