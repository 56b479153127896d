# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf serve`` as a program: how it starts, what it refuses, how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.serving import ROOT, Serving, finish, post


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if k != "CXR_CF_SERVER_KEY"}
    words = (sys.executable, "-m", "monai_cxr_cf.cli", "serve", *words)
    return subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_help_answers_within_a_second_of_processor_time() -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = command("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert answer.returncode == 0
    assert "--allow-store" in answer.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--host", "0.0.0.0"), 2, "no API key is set"),
        (("--host", "192.168.1.5"), 2, "no API key is set"),
        (("--port", "99999"), 2, "The port is 99999"),
        (("--key-file", "/nowhere"), 2, "key file cannot be read"),
        (("--data", "/proc/nowhere"), 4, "data folder cannot be written"),
    ],
)
def test_what_is_not_safe_or_not_possible_is_one_sentence(
    words: tuple[str, ...], code: int, said: str
) -> None:
    answer = command(*words)
    assert answer.returncode == code, answer.stderr
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr


def test_nothing_is_imported_from_the_folder_it_is_started_in(
    tmp_path: Path, tiny_folder: Path, files: dict[str, Any]
) -> None:
    for name in ("dl", "numpy", "pydicom", "random"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('a file of a stranger')\n")
    words = ("--backbone", f"tiny={tiny_folder}")
    serving = Serving(tmp_path / "data", *words, folder=tmp_path).start().ready()
    with serving.client() as client:
        job = post(client, files).json()["id"]
        assert finish(client, job)["state"] == "done"
    assert serving.stop() == 0
    assert "stranger" not in serving.said()


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = str(door.getsockname()[1])
        answer = command("--port", port, "--data", str(tmp_path / "data"))
    assert answer.returncode == 4
    assert f"port {port}" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_sigterm_ends_it_with_its_worker_and_the_job_goes_back(
    serve: Any, files: dict[str, Any]
) -> None:
    serving: Serving = serve()
    answer = command("--port", "0", "--data", str(serving.data))
    assert answer.returncode == 2
    assert "Another server uses this data folder" in answer.stderr
    serving.ready()
    slow = {"sampling": {"steps": 1000}, "start": {"strength": 1.0}}
    with serving.client() as client:
        job = post(client, files, overrides=slow, seeds=[1, 2, 3, 4]).json()["id"]
        while client.get(f"/v1/jobs/{job}").json()["stage"] != "sample":
            time.sleep(0.05)
    worker, began = serving.worker(), time.monotonic()
    assert serving.stop() == 0
    assert time.monotonic() - began < 30
    assert gone(worker)
    assert "Traceback" not in serving.said()
    serving.start()
    with serving.client() as client:
        found = client.get(f"/v1/jobs/{job}").json()
        assert found["state"] in ("queued", "running")
        assert found["attempts"] <= 1
        client.delete(f"/v1/jobs/{job}")


def test_ctrl_c_ends_it_as_well(serve: Any) -> None:
    serving: Serving = serve()
    assert serving.process is not None
    serving.process.send_signal(signal.SIGINT)
    assert serving.process.wait(60) == 0


def gone(pid: int) -> bool:
    """Whether a process has ended, or does within some seconds."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        status = Path(f"/proc/{pid}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return True
        time.sleep(0.1)
    return False


def test_a_system_without_file_locks_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from monai_cxr_cf.cli import main
    from monai_cxr_cf.commands import serve

    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    assert main(["serve"]) == 3
    assert "this system does not have" in capsys.readouterr().err
