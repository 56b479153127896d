# SPDX-License-Identifier: Apache-2.0
"""Who works on a shard: one file an owner, told alive by its time.

A file ``NAME.EPOCH`` is made with O_EXCL, so that one process makes it; the highest epoch holds.
Whoever finds the holder gone makes the next epoch: two who try make the same file, and one fails.
A holder that slept too long finds the next epoch there, and stops writing.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from monai_cxr_cf.errors import BadRequest

BEAT_S, GONE_S = 5.0, 60.0  # how often a holder says so; silence after which it is gone
RELEASED = "released"
WAIT_S = 0.2


class Lease:
    """A lease that this process holds."""

    def __init__(self, folder: Path, name: str, epoch: int) -> None:
        self.name, self.epoch = name, epoch
        self.path = folder / f"{name}.{epoch}"
        self._next = folder / f"{name}.{epoch + 1}"

    def held(self) -> bool:
        """Whether it still is ours; a slow process may have lost it."""
        return self.path.exists() and not self._next.exists()

    def beat(self) -> None:
        """Say that the holder is alive."""
        with suppress(OSError):
            os.utime(self.path)

    def release(self) -> None:
        """Let others take it at once; on a full disk they wait until this process is gone."""
        part = self.path.with_name(f".{self.path.name}.part")
        if self.held():
            with suppress(OSError):
                part.write_text(json.dumps({RELEASED: True}), encoding="ascii")
                part.replace(self.path)
            part.unlink(missing_ok=True)


def take(folder: Path, name: str) -> Lease | None:
    """The lease, or None while another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    last = max(epochs(folder, name), default=0)
    if last and alive(folder / f"{name}.{last}"):
        return None
    lease = Lease(folder, name, last + 1)
    try:
        handle = os.open(lease.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(json.dumps(_me()))
    found = epochs(folder, name)
    if max(found) != lease.epoch:  # this process slept, and others came and went
        lease.path.unlink(missing_ok=True)
        return None
    for epoch in found:
        if epoch < lease.epoch:
            (folder / f"{name}.{epoch}").unlink(missing_ok=True)
    return lease


def epochs(folder: Path, name: str) -> list[int]:
    """The epochs of which there is a file."""
    parts = (path.name.rpartition(".") for path in folder.glob(f"{name}.*"))
    return [int(epoch) for _, _, epoch in parts if epoch.isdigit()]


def alive(path: Path) -> bool:
    """Whether the process behind a lease may still write."""
    try:
        text, beat = path.read_text(encoding="ascii"), path.stat().st_mtime
        told: dict[str, Any] = json.loads(text) if text else {}
    except FileNotFoundError:  # replaced this moment
        return True
    except (OSError, ValueError):
        told, beat = {}, path.stat().st_mtime
    if told.get(RELEASED):
        return False
    if told.get("space") and told["space"] == _space():  # the same machine: its list of processes
        return _began(int(told["pid"])) == told.get("began")
    return _now(path.parent) - beat < GONE_S


@contextmanager
def beating(held: "dict[int, Lease]") -> Iterator[None]:
    """Within the block, every lease in ``held`` says now and then that its holder is alive."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_S):
            for lease in list(held.values()):
                lease.beat()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def alone(folder: Path, name: str, *, seconds: float = GONE_S) -> Iterator[None]:
    """Within the block no other process holds the lease; waits for it.

    Raises:
        BadRequest: another process has held it all the time.
    """
    until = time.monotonic() + seconds
    while (lease := take(folder, name)) is None:
        if time.monotonic() > until:
            raise BadRequest(
                "Another process is laying out this batch.", hint="Try again when it is done."
            )
        time.sleep(WAIT_S)
    with beating({0: lease}):
        try:
            yield
        finally:
            lease.release()


def _me() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "began": _began(pid), "space": _space()}


def _space() -> str:
    """What tells the processes of this machine's container from all others; "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" if it is gone."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *rest = told.rpartition(")")[2].split()
    return "" if state in ("Z", "X") else rest[18]


def _now(folder: Path) -> float:
    """The time of the disk, which may be another machine's."""
    probe = folder / f".clock.{os.getpid()}"
    probe.touch()
    os.utime(probe)
    now = probe.stat().st_mtime
    probe.unlink(missing_ok=True)
    return now
