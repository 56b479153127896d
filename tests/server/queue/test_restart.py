# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the worker and of the server with fifty jobs in the queue: none lost, none twice."""

import json
import time
from typing import Any

import httpx
import pytest

from tests.server.serving import Serving, post
from tests.server.test_serve import gone

JOBS = 50
PATIENCE = 900.0


def until(client: httpx.Client, good: Any) -> None:
    """Wait until ``good(client)``."""
    end = time.monotonic() + PATIENCE
    while not good(client):
        assert time.monotonic() < end
        time.sleep(0.1)


def counted(client: httpx.Client, state: str) -> int:
    """How many jobs are in a state."""
    counts: dict[str, int] = client.get("/v1/jobs", params={"limit": 1}).json()["counts"]
    return counts.get(state, 0)


@pytest.mark.timeout(1800)
def test_fifty_jobs_drain_in_order_over_three_kills(serve: Any, files: dict[str, Any]) -> None:
    serving: Serving = serve()
    with serving.client() as client:
        slow = {"sampling": {"steps": 1000}, "start": {"strength": 1.0}}
        deadly = post(client, files, overrides=slow, seeds=list(range(20))).json()["id"]
        jobs = [post(client, files, seeds=[number]).json()["id"] for number in range(JOBS)]
        assert len({deadly, *jobs}) == JOBS + 1

        # A job that runs when its worker dies twice fails alone, and says why.
        for attempt in (1, 2):
            until(client, lambda c, n=attempt: runs(c, deadly, n))
            worker = serving.worker()
            kill(worker)
            assert client.get("/healthz").status_code == 200
        until(client, lambda c: c.get(f"/v1/jobs/{deadly}").json()["state"] == "failed")
        failed = client.get(f"/v1/jobs/{deadly}").json()
        assert failed["error"]["code"] == "worker_crashed"
        assert "memory" in failed["error"]["message"]

        until(client, lambda c: counted(c, "done") >= 10)
    worker = serving.worker()
    serving.kill()
    assert gone(worker)
    serving.start()
    with serving.client() as client:
        until(client, lambda c: counted(c, "done") == JOBS)
        found = {j["id"]: j for j in client.get("/v1/jobs", params={"limit": 100}).json()["jobs"]}
        assert set(found) == {deadly, *jobs}
        finished = [found[job]["finished"] for job in jobs]
        assert finished == sorted(finished)
        assert sum(found[job]["attempts"] for job in jobs) <= JOBS + 1
        for job in jobs:
            lines = client.get(f"/v1/jobs/{job}/events").text.splitlines()
            told = [json.loads(line)["event"] for line in lines]
            assert told.count("result") == 1
            assert "error" not in told
        assert len(list((serving.data / "jobs").iterdir())) == JOBS + 1
    assert "Traceback" not in serving.said()


def runs(client: httpx.Client, job: str, attempt: int) -> bool:
    """Whether a job is in the middle of its n-th attempt."""
    found = client.get(f"/v1/jobs/{job}").json()
    return (found["state"], found["stage"], found["attempts"]) == ("running", "sample", attempt)


def kill(pid: int) -> None:
    """kill -9."""
    import os
    import signal

    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
