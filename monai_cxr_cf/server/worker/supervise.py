# SPDX-License-Identifier: Apache-2.0
"""Keeps the worker processes alive beside the web process, and the store tidy.

A worker's standard input is a pipe that this process holds: when the server dies, however, the
worker reads its end and goes, too.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time

from monai_cxr_cf import threads
from monai_cxr_cf.server.queue.jobs import RUNNING
from monai_cxr_cf.server.queue.line import slot_of
from monai_cxr_cf.server.queue.store import Store
from monai_cxr_cf.server.settings import Settings

log = logging.getLogger(__name__)
LOOK_S = 0.5
TIDY_S = 60.0
GRACE_S = 10.0  # for the step that runs
LONGEST_PAUSE_S = 30.0  # before a worker that keeps dying is started again
MARGIN_S = 120.0  # past the job limit: then the worker hangs within a step


class Supervisor:
    """Starts, watches and stops the workers.

    Args:
        settings: of the server; its key is not passed on.
        store: the jobs.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store, self._limits = store, settings.limits
        self._words = [sys.executable, "-m", "monai_cxr_cf.server.worker.worker", _plain(settings)]
        self._environment = _environment(settings.workers)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(n,), name=f"supervisor-{n}", daemon=True)
            for n in range(settings.workers)
        ]

    def start(self) -> None:
        """Tidy up what a killed server left, then start the workers."""
        self._store.no_worker()
        self._store.sweep()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each worker give its job back to the queue and go; kill it if it does not."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._store.no_worker()

    def _watch(self, slot: int) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            began = time.monotonic()
            # In our own session: the kernel weighs nice values within a session only.
            words = [*self._words, str(slot)]
            worker = subprocess.Popen(words, stdin=subprocess.PIPE, env=self._environment)
            self._attend(worker, slot)
            self._store.no_worker(slot)
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            pause = 0.0 if lived > LONGEST_PAUSE_S else min(2 * pause + 1, LONGEST_PAUSE_S)
            log.error("the worker ended with code %d; starting another", worker.returncode)

    def _attend(self, worker: "subprocess.Popen[bytes]", slot: int) -> None:
        """Until the worker ends; ends it when the server stops or a job hangs."""
        tidied = 0.0
        while worker.poll() is None:
            if self._stopping.wait(LOOK_S):
                _end(worker)
                return
            if time.monotonic() - tidied > TIDY_S:
                tidied = time.monotonic()
                self._tidy(worker, slot)

    def _tidy(self, worker: "subprocess.Popen[bytes]", slot: int) -> None:
        expired = self._store.expire() if slot == 0 else 0
        if expired:
            log.info("%d jobs expired", expired)
        late = time.time() - self._limits.job_s - MARGIN_S
        for job in self._store.list(RUNNING, limit=len(self._threads)):
            hangs = job.started is not None and job.started < late
            if hangs and slot_of(job.worker) == slot:
                log.error("job %s hangs; the worker is killed", job.id)
                worker.kill()


def _environment(workers: int) -> dict[str, str]:
    """That of this process; several workers share its cores, unless the user said how."""
    share = max(1, threads.allowed() // workers)
    alone = threads.COUNT in os.environ or workers == 1
    return {**os.environ, **({} if alone else {threads.COUNT: str(share)})}


def _plain(settings: Settings) -> str:
    """What a worker must know, as JSON; it stands in its command line, so no key."""
    return json.dumps(
        {
            "data": str(settings.data),
            "backbones": dict(settings.backbones),
            "backbone": settings.backbone,
            "audits": settings.classifiers(),
            "device": settings.device,
            "precision": settings.precision,
            "compiled": settings.compiled,
            "workers": settings.workers,
            "limits": vars(settings.limits),
        }
    )


def _end(worker: "subprocess.Popen[bytes]") -> None:
    worker.terminate()
    try:
        worker.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
