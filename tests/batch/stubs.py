# SPDX-License-Identifier: Apache-2.0
"""A tiny work that stands in for edits, and a driver in a process of its own that can be killed.

``python -m tests.batch.stubs DIR JSON`` lays out and runs a batch of stub rows; JSON holds what the
work does and at which point something dies, once.
"""

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.engines.on_ray import OnRay
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.points import unwatched
from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.run import on_this_machine, run
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage
from tests.batch import stubs


@dataclass(frozen=True)
class Stub:
    """Writes two small files a row; the row's column ``do`` makes it misbehave."""

    seconds: float = 0.0
    model: str = "weights"
    log: str = ""  # a file that gets a line for every build

    def load(self) -> dict[str, Any]:
        """Nothing to load."""
        return {}

    def weights(self, parts: Any, row: Row | None) -> Mapping[str, str]:
        """One model."""
        return {"stub": self.model}

    def key(self, parts: Any, row: Row) -> str:
        """Of request and source."""
        source = Path(row.path).read_bytes() if Path(row.path).is_file() else b""
        told = json.dumps([row.request, row.more.get("do", ""), self.model])
        return sha256(told.encode() + source).hexdigest()

    def build(self, parts: Any, row: Row, folder: Path) -> None:
        """Two files, the second one lists the first."""
        misbehave(str(row.more.get("do", "")), folder)
        folder.mkdir()
        data = f"{row.given} {json.dumps(row.request)}".encode()
        (folder / "picture").write_bytes(data)
        if self.log:
            with open(self.log, "a") as stream:
                stream.write(f"{row.number}\n")
        time.sleep(self.seconds)
        (folder / "report").write_text(sha256(data).hexdigest())

    def facts(self, folder: Path) -> Mapping[str, Any]:
        """Whole if the hash holds."""
        picture, report = folder / "picture", folder / "report"
        if not picture.is_file() or not report.is_file():
            raise UnreadableInput("A file is missing.")
        if sha256(picture.read_bytes()).hexdigest() != report.read_text():
            raise UnreadableInput("A file is damaged.")
        return {"verdict": "passed", "bytes": picture.stat().st_size, "outside_max_diff": 0}


def misbehave(what: str, folder: Path) -> None:
    """What a real edit may do."""
    if what == "refuse":
        raise UnsupportedImage("It shows a hand; expected a chest.", code="not_a_chest")
    if what == "fail":
        raise RuntimeError("PATIENT^NAME must not be told")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(600)
    if what == "eat":
        eaten = bytearray(600_000_000)
        eaten[::4096] = b"x" * len(eaten[::4096])
        time.sleep(600)
    if what == "fill":
        raise OSError(errno.ENOSPC, "No space left on device")
    if what.startswith("once:"):  # fails as long as a file is there
        flag = Path(what.removeprefix("once:"))
        if flag.exists():
            flag.unlink()
            raise RuntimeError("only this time")


def die_once(point: str, group: bool, flag: str, passed: str) -> None:
    """Kill this process, or its whole group, the first time that the point is passed."""
    if passed != point:
        return
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if group:
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def main(words: list[str]) -> int:
    """Lay out and run a batch."""
    folder, told = RunFolder(Path(words[0])), json.loads(words[1])
    at = unwatched
    if "point" in told:
        at = partial(die_once, told["point"], told["group"], told["flag"])
    settings = told.get("settings", {})
    plan = Plan(Path(told["manifest"]), settings=settings, shard=told.get("shard", 4))
    lay_out(folder, plan, at)
    work = stubs.Stub(**told.get("work", {}))  # by its module's name, which Ray's actors know
    how = How(**{"workers": 2, **told.get("how", {})}, at=at)
    engine = OnRay(told["ray"]) if "ray" in told else on_this_machine
    ended = run(folder, work, how, engine=engine)
    sys.stdout.write(json.dumps({**ended.counts.as_dict(), "stopped": ended.stopped}) + "\n")
    return ended.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
