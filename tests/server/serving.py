# SPDX-License-Identifier: Apache-2.0
"""A real server in a process of its own, on loopback: started, asked, killed, started again."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from monai_cxr_cf.server.access.protocol import patient
from monai_cxr_cf.server.app import create_app
from monai_cxr_cf.server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240.0  # seconds until a worker on a busy machine has its weights
WORDS = {"prompt": "moderate left pleural effusion", "overrides": {"sampling": {"steps": 4}}}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


class Serving:
    """One ``cxr-cf serve`` on a data folder, started in ``folder``; its words go to ``log``."""

    def __init__(
        self, data: Path, *flags: str, key: str | None = None, folder: Path = ROOT
    ) -> None:
        self.data, self.flags, self.key, self.folder = data, flags, key, folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.with_name(data.name + ".log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Serving":
        """Start it and wait until the web process answers."""
        # -P: like the script cxr-cf, it does not import from the folder it is started in.
        words = [sys.executable, "-P", "-m", "monai_cxr_cf.cli", "serve", "--port", str(self.port)]
        words += ["--data", str(self.data), "--debug", *self.flags]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        environment["PYTHONPATH"] = str(ROOT)
        environment.pop("PYTHONSAFEPATH", None)  # it sees to that itself
        environment.pop("CXR_CF_SERVER_KEY", None)
        if self.key is not None:
            environment["CXR_CF_SERVER_KEY"] = self.key
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                words, cwd=self.folder, env=environment, stdout=log, stderr=log
            )
        self._until(lambda client: client.get("/healthz").status_code == 200)
        return self

    def ready(self) -> "Serving":
        """Wait until the worker has its weights."""
        self._until(lambda client: client.get("/readyz").status_code == 200)
        return self

    def client(self, **more: Any) -> httpx.Client:
        """A client that sends the key."""
        headers = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, timeout=60, headers=headers, **more)

    def worker(self) -> int:
        """Process id of the worker: the only child that runs that module."""
        assert self.process is not None
        for pid in _children(self.process.pid):
            if b"monai_cxr_cf.server.worker.worker" in _words(pid):
                return pid
        raise AssertionError("no worker lives")

    def kill(self) -> None:
        """kill -9 of the web process alone."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)

    def said(self) -> str:
        """Everything it and its worker wrote."""
        return self.log.read_text(errors="replace")

    def _until(self, good: Any) -> None:
        end = time.monotonic() + PATIENCE
        with self.client() as client:
            while time.monotonic() < end:
                assert self.process is not None
                assert self.process.poll() is None, self.said()[-2000:]
                try:
                    if good(client):
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
        raise AssertionError(f"the server is not up: {self.said()[-2000:]}")


class Web:
    """The web process's part alone, under real uvicorn in a thread: jobs queue and nobody works.

    Enough for all that is refused, and it needs no torch.
    """

    def __init__(self, settings: Settings) -> None:
        config = uvicorn.Config(
            create_app(settings, work=False),
            port=0,
            http=patient(settings.limits.idle_s),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
        )
        self.data, self.key = settings.data, settings.key
        self._runner = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._runner.run, daemon=True)
        self._thread.start()
        while not self._runner.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        self.port = int(self._runner.servers[0].sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        """A client that sends the key."""
        headers = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, timeout=60, headers=headers)

    def stop(self) -> None:
        """End it."""
        self._runner.should_exit = True
        self._thread.join()


def post(client: httpx.Client, files: dict[str, Any], **request: Any) -> httpx.Response:
    """Submit one job; ``request`` replaces fields of a quick one."""
    text = json.dumps({**WORDS, **request})
    return client.post("/v1/jobs", data={"request": text}, files=files)


def finish(client: httpx.Client, job: str, seconds: float = PATIENCE) -> dict[str, Any]:
    """Poll a job until it is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found: dict[str, Any] = client.get(f"/v1/jobs/{job}").json()
        except httpx.RemoteProtocolError:  # it closed an idle connection as we wrote: ask again
            continue
        if found["state"] not in ("queued", "running"):
            return found
        time.sleep(0.1)
    raise AssertionError("the job is not over")


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(word) for word in text.read_text().split()] if text.exists() else []
    # A child belongs to the thread that made it, and the supervisor is a thread.
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return sorted(set(found))


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
