# SPDX-License-Identifier: Apache-2.0
"""Eight edits of four radiographs through a checkout's server, from first post to last file.

A row of ``against.py``. The radiographs are the example with one pixel changed in each and UIDs of
their own. A checkout that knows ``--workers`` gets two.
"""

import io
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import pydicom

PROMPTS = ("moderate left pleural effusion", "severe cardiomegaly")
RADIOGRAPHS, WORKERS, PATIENCE_S = 4, 2, 900.0


def eight_jobs(checkout: Path, environment: dict[str, str]) -> dict[str, float]:
    """Seconds of wall time until eight queued jobs are done, with a server that is ready."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    command = [sys.executable, "-m", "monai_cxr_cf.cli", "serve"]
    told = subprocess.run(
        [*command, "--help"], cwd=checkout, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    flags = ["--workers", str(WORKERS)] if "--workers" in told.stdout else []
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--data", folder, *flags], cwd=checkout,
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                _until(client, lambda: client.get("/readyz").status_code == httpx.codes.OK)
                if flags:  # one worker is ready; the other was started with it
                    time.sleep(2)
                began = time.monotonic()
                for source in _radiographs(checkout / "docs" / "example.dcm"):
                    for prompt in PROMPTS:
                        _post(client, source, prompt)
                _until(client, lambda: _done(client) == RADIOGRAPHS * len(PROMPTS))
                return {"wall_s": time.monotonic() - began}
        finally:
            process.terminate()
            process.wait(30)


def _radiographs(file: Path) -> list[bytes]:
    found = []
    for number in range(RADIOGRAPHS):
        image = pydicom.dcmread(file)
        pixels = image.pixel_array.copy()
        pixels[0, number] += 1
        image.PixelData = pixels.tobytes()
        image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        uid = pydicom.uid.generate_uid(entropy_srcs=["served", str(number)])
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = uid
        told = io.BytesIO()
        image.save_as(told, enforce_file_format=True)
        found.append(told.getvalue())
    return found


def _post(client: httpx.Client, source: bytes, prompt: str) -> None:
    request = {"request": json.dumps({"prompt": prompt, "seeds": [1]})}
    answer = client.post("/v1/jobs", data=request, files={"dicom": ("a.dcm", source)})
    if answer.is_error:
        raise SystemExit(f"the server refused a job: {answer.text}")


def _done(client: httpx.Client) -> int:
    counts: dict[str, int] = client.get("/v1/jobs", params={"limit": 1}).json()["counts"]
    if counts.get("failed"):
        raise SystemExit("a job failed")
    return counts.get("done", 0)


def _until(client: httpx.Client, good: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if good():
                return
        except httpx.TransportError:  # it is not there yet
            pass
        time.sleep(0.1)
    raise SystemExit("the server did not get ready, or did not finish")
