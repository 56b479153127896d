# SPDX-License-Identifier: Apache-2.0
"""A worker process: one job after the other, the models loaded once, at low priority.

``python -m monai_cxr_cf.server.worker.worker SETTINGS SLOT``; started by ``supervise``, ended by
SIGTERM or by the end of its standard input.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

from monai_cxr_cf import imports
from monai_cxr_cf.errors import Cancelled, CxrError, ResourceExhausted
from monai_cxr_cf.runs.failures import quiet_libraries
from monai_cxr_cf.server.queue.jobs import REFUSED
from monai_cxr_cf.server.queue.line import Line
from monai_cxr_cf.server.queue.store import Store
from monai_cxr_cf.server.settings import Limits
from monai_cxr_cf.server.worker.events import JobEvents
from monai_cxr_cf.server.worker.perform import Models, perform

log = logging.getLogger("monai_cxr_cf.server.worker.worker")
NICE = 10  # the web process answers first
IDLE_S = 0.2
BEAT_S = 5.0


class Stop:
    """Whether the server wants this process gone; between jobs it goes at once."""

    def __init__(self) -> None:
        self.asked = False
        self.busy = False

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Signal handler, also called at the end of standard input."""
        self.asked = True
        if not self.busy:
            os._exit(0)

    def watch(self) -> None:
        """Wait for the end of standard input: the server is gone."""
        while os.read(0, 64):
            pass
        self.ask()


class Worker:
    """Runs the jobs of one store."""

    def __init__(
        self, store: Store, models: Models, *, stop: Stop, slot: int = 0, slots: int = 1
    ) -> None:
        self._store, self._models, self._stop = store, models, stop
        self._line = Line(store, uuid4().hex, slot=slot, slots=slots)
        self._ready = False
        self._facts: dict[str, Any] = {}

    def serve(self) -> None:
        """Take over from a worker that died, load the weights, then work until asked to stop."""
        found = self._line.recover()
        if found:
            log.warning("%d jobs were running when the last worker died", found)
        threading.Thread(target=self._beat, daemon=True).start()
        self._facts = self._models.warm_up()
        os.nice(NICE)
        self._ready = True
        self._line.beat(ready=True, facts=self._facts)
        log.info("ready")
        while not self._stop.asked:
            self._stop.busy = True  # from here on a job may be ours
            job = self._line.take()
            if job is not None:
                self._run(job)
            self._stop.busy = False
            if job is None:
                time.sleep(IDLE_S)

    def _run(self, job: Mapping[str, Any]) -> None:
        began = time.monotonic()
        seq, folder = job["seq"], self._store.data / "jobs" / job["id"]
        check = Check(self._line, seq, stop=self._stop, seconds=self._store.limits.job_s)
        try:
            events = JobEvents(self._line, seq, check)
            result = perform(job, folder, models=self._models, events=events)
        except BaseException as raised:  # of whatever kind: the next job must run
            self._ended(job, check.reason or raised)
        else:
            self._line.done(seq, result)
            how = "refused" if REFUSED in result else "done"
            log.info("job %s %s in %.1f s", job["id"], how, time.monotonic() - began)

    def _ended(self, job: Mapping[str, Any], raised: BaseException) -> None:
        if self._stop.asked:
            self._line.give_back(job["seq"])
            log.info("job %s goes back to the queue", job["id"])
            return
        from monai_cxr_cf.server.answers import unexpected

        error = unexpected(raised)
        self._line.failed(job["seq"], error)
        log.info("job %s ended: %s", job["id"], error.code)

    def _beat(self) -> None:
        while True:
            self._line.beat(ready=self._ready, facts=self._facts)
            time.sleep(BEAT_S)


class Check:
    """Called at every step: raises if the job must end, and remembers why.

    Library code may turn the exception into one of its own; ``reason`` stays.
    """

    def __init__(self, line: Line, seq: int, *, stop: Stop, seconds: float) -> None:
        self._line, self._seq, self._stop = line, seq, stop
        self._end, self._seconds = time.monotonic() + seconds, seconds
        self.reason: CxrError | None = None

    def __call__(self) -> None:
        """Raise Cancelled or ResourceExhausted."""
        if self._stop.asked or self._line.asked_to_stop(self._seq):
            self.reason = Cancelled()
        elif time.monotonic() > self._end:
            self.reason = ResourceExhausted(
                f"The job ran for more than {self._seconds:g} s.",
                code="job_time",
                hint="Try the preset 'fast', or fewer seeds.",
            )
        if self.reason is not None:
            raise self.reason


def main(words: list[str]) -> int:
    """Run a worker until it is asked to stop."""
    plain, slot = json.loads(words[0]), int(words[1])
    quiet_libraries(debug=False, verbose=True)
    imports.prepare()
    stop = Stop()
    signal.signal(signal.SIGTERM, stop.ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then ends us
    threading.Thread(target=stop.watch, daemon=True).start()
    import fcntl  # not on Windows, where the module must import all the same

    data, slots = Path(plain["data"]), plain["workers"]
    left = (f for f in data.glob("worker-*.lock") if int(f.stem.partition("-")[2]) >= slots)
    for file in (data / f"worker-{slot}.lock", *(sorted(left) if slot == 0 else ())):
        # Waits for the worker of a killed server to go; held until this process ends.
        fcntl.flock(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX)
    store = Store(data, Limits(**plain["limits"]))
    place = {name: plain[name] for name in ("device", "precision", "compiled")}
    models = Models(plain["backbones"], plain["backbone"], audits=plain["audits"], **place)
    Worker(store, models, stop=stop, slot=slot, slots=slots).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
