# SPDX-License-Identifier: Apache-2.0
"""Many clients poll one job's status while it runs: how long does each answer take?

``python benchmarks/server_load.py [--url http://127.0.0.1:8000] [--clients 200] [--seconds 30]``
starts a server of its own when no URL is given, submits docs/example.dcm, lets every client ask
once a second, as many connections as clients at most, and prints figures as JSON. Exit code 1 if
an answer failed or the 95th percentile is not below the bar.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
BAR_MS = 100.0
REQUEST = {"prompt": "moderate left pleural effusion", "uids": "random", "seeds": [1, 2, 3, 4]}


async def poll(client: httpx.AsyncClient, url: str, seconds: float) -> tuple[list[float], int]:
    """One client that asks once a second; milliseconds of each answer, and how many failed."""
    took, failed = [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        try:
            good = (await client.get(url)).status_code == 200
        except httpx.HTTPError:
            good = False
        spent = time.perf_counter() - began
        took.append(spent * 1000)
        failed += not good
        await asyncio.sleep(max(0.0, 1.0 - spent))
    return took, failed


async def many(url: str, clients: int, seconds: float, *, key: str | None) -> dict[str, Any]:
    """Figures of ``clients`` that poll ``url``, begun evenly over the first second."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(headers=headers, timeout=30, limits=limits) as client:

        async def begin(number: int) -> tuple[list[float], int]:
            await asyncio.sleep(number / clients)
            return await poll(client, url, seconds)

        told = await asyncio.gather(*(begin(number) for number in range(clients)))
    took = sorted(spent for times, _ in told for spent in times)
    return {
        "clients": clients,
        "seconds": seconds,
        "answers": len(took),
        "failed": sum(failed for _, failed in told),
        "p50_ms": round(took[len(took) // 2], 1),
        "p95_ms": round(took[int(0.95 * (len(took) - 1))], 1),
        "max_ms": round(took[-1], 1),
    }


def submit(url: str, key: str | None, source: Path) -> str:
    """Submit a job of some length; its address."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        files = {"dicom": source.read_bytes()}
        answer = client.post("/v1/jobs", data={"request": json.dumps(REQUEST)}, files=files)
        answer.raise_for_status()
        return f"{url}/v1/jobs/{answer.json()['id']}"


@contextmanager
def served() -> Iterator[str]:
    """A server of our own on a free port and a new data folder; its URL once it is ready."""
    port = 18_000 + os.getpid() % 1000
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "monai_cxr_cf.cli", "serve", "--port", str(port)]
        words += ["--data", f"{folder}/data"]
        server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            began = time.monotonic()
            while not _ready(url) and server.poll() is None:
                time.sleep(0.1)
            sys.stderr.write(f"ready after {time.monotonic() - began:.1f} s\n")
            yield url
        finally:
            server.terminate()
            server.wait()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def main() -> int:
    """Measure and print; 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--url", help="a running server; its key in CXR_CF_SERVER_KEY")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--source", type=Path, default=ROOT / "docs" / "example.dcm")
    args = parser.parse_args()
    key = os.environ.get("CXR_CF_SERVER_KEY") or None
    if args.url:
        figures = measured(args.url, args, key)
    else:
        with served() as url:
            figures = measured(url, args, key)
    sys.stdout.write(json.dumps({**figures, "bar_ms": BAR_MS, "cores": os.cpu_count()}) + "\n")
    return int(figures["failed"] > 0 or figures["p95_ms"] >= BAR_MS)


def measured(url: str, args: argparse.Namespace, key: str | None) -> dict[str, Any]:
    """Poll a job that runs; what state it was in afterwards is part of the figures."""
    job = submit(url, key, args.source)
    figures = asyncio.run(many(job, args.clients, args.seconds, key=key))
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return {**figures, "state_after": httpx.get(job, headers=headers).json()["state"]}


if __name__ == "__main__":
    sys.exit(main())
