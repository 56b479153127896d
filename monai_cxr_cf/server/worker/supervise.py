# SPDX-License-Identifier: Apache-2.0
"""Keeps one worker process alive beside the web process, and the store tidy.

The worker's standard input is a pipe that this process holds: when the server dies, however, the
worker reads its end and goes, too.
"""

import json
import logging
import subprocess
import sys
import threading
import time

from monai_cxr_cf.server.queue.jobs import RUNNING
from monai_cxr_cf.server.queue.store import Store
from monai_cxr_cf.server.settings import Settings

log = logging.getLogger(__name__)
LOOK_S = 0.5
TIDY_S = 60.0
GRACE_S = 10.0  # for the step that runs
LONGEST_PAUSE_S = 30.0  # before a worker that keeps dying is started again
MARGIN_S = 120.0  # past the job limit: then the worker hangs within a step


class Supervisor:
    """Starts, watches and stops the worker.

    Args:
        settings: of the server; its key is not passed on.
        store: the jobs.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store, self._limits = store, settings.limits
        self._words = [sys.executable, "-m", "monai_cxr_cf.server.worker.worker", _plain(settings)]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Tidy up what a killed server left, then start the worker."""
        self._store.no_worker()
        self._store.sweep()
        self._thread.start()

    def stop(self) -> None:
        """Let the worker give its job back to the queue and go; kill it if it does not."""
        self._stopping.set()
        self._thread.join()
        self._store.no_worker()

    def _watch(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            began = time.monotonic()
            # In our own session: the kernel weighs nice values within a session only.
            worker = subprocess.Popen(self._words, stdin=subprocess.PIPE)
            self._attend(worker)
            self._store.no_worker()
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            pause = 0.0 if lived > LONGEST_PAUSE_S else min(2 * pause + 1, LONGEST_PAUSE_S)
            log.error("the worker ended with code %d; starting another", worker.returncode)

    def _attend(self, worker: "subprocess.Popen[bytes]") -> None:
        """Until the worker ends; ends it when the server stops or a job hangs."""
        tidied = 0.0
        while worker.poll() is None:
            if self._stopping.wait(LOOK_S):
                _end(worker)
                return
            if time.monotonic() - tidied > TIDY_S:
                tidied = time.monotonic()
                self._tidy(worker)

    def _tidy(self, worker: "subprocess.Popen[bytes]") -> None:
        expired = self._store.expire()
        if expired:
            log.info("%d jobs expired", expired)
        late = time.time() - self._limits.job_s - MARGIN_S
        for job in self._store.list(RUNNING, limit=1):
            if job.started is not None and job.started < late:
                log.error("job %s hangs; the worker is killed", job.id)
                worker.kill()


def _plain(settings: Settings) -> str:
    """What the worker must know, as JSON; it stands in its command line, so no key."""
    return json.dumps(
        {
            "data": str(settings.data),
            "backbones": dict(settings.backbones),
            "backbone": settings.backbone,
            "device": settings.device,
            "precision": settings.precision,
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
