# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf edit`` as programs use it: a job file in, an event stream out, stopped in time."""

import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.dicom.factory import Spec, phantom_masks, save
from tests.posix import posix

STAGES = ["read", "segment", "region", "sample", "decode", "composite", "write"]
PATIENCE = 500


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> dict[str, Any]:
    """A request on a phantom with its own masks and a tiny backbone."""
    folder, spec = tmp_path_factory.mktemp("job"), Spec()
    labels = np.zeros((spec.rows, spec.columns), np.uint8)
    for value, mask in enumerate(phantom_masks(spec.rows, spec.columns).values(), 1):
        labels[mask] = value
    Image.fromarray(labels).save(folder / "labels.png")
    return {
        "source": str(save(folder / "source.dcm", spec)),
        "masks": str(folder / "labels.png"),
        "backbone": str(tiny_folder),
        "prompt": "moderate left pleural effusion",
        "overrides": {"sampling": {"steps": 4}},
    }


def command(root: Path, folder: Path, job: dict[str, Any], *flags: str) -> subprocess.Popen[str]:
    """Start the runner on a job file in ``folder``; output goes to ``folder/out``."""
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    words = [sys.executable, "-m", "monai_cxr_cf.cli", "edit", "--request", str(path)]
    words += ["--out", str(folder / "out"), *flags]
    pipe, environment = subprocess.PIPE, {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        words, cwd=root, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def events_of(text: str) -> list[dict[str, Any]]:
    """Every line of standard output as an event; anything else there is an error."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def finished(
    root: Path, job: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], Path]:
    """One complete run: its events and its folder."""
    folder = tmp_path_factory.mktemp("finished")
    runner = command(root, folder, job, "--progress", "ndjson", "--arrays")
    told, complaints = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 0, complaints
    return events_of(told), folder / "out"


def test_the_stream_is_hello_then_progress_then_result(
    finished: tuple[list[dict[str, Any]], Path],
) -> None:
    events, _ = finished
    assert events[0]["event"] == "hello"
    assert {"protocol", "version", "device", "lock_sha256"} <= set(events[0])
    assert events[-1]["event"] == "result"
    assert {e["event"] for e in events} <= {"hello", "progress", "warning", "preview", "result"}


def test_stages_come_in_order_and_steps_count_up(
    finished: tuple[list[dict[str, Any]], Path],
) -> None:
    events, _ = finished
    told = [(e["stage"], e["step"], e["total"]) for e in events if e["event"] == "progress"]
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == STAGES
    for stage in STAGES:
        steps = [(step, total) for name, step, total in told if name == stage]
        assert [step for step, _ in steps] == sorted(step for step, _ in steps)
        assert steps[-1][0] == steps[-1][1]


def test_the_result_lists_files_that_exist_with_their_hashes(
    finished: tuple[list[dict[str, Any]], Path],
) -> None:
    events, out = finished
    result = events[-1]
    assert {f["role"] for f in result["files"]} >= {
        *("cf", "diff", "seg", "sr"),
        *("preview", "trace", "arrays", "report"),
    }
    for file in result["files"]:
        assert sha256((out / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    listed = {file["path"] for file in result["files"]}
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == listed
    assert result["metrics"]["outside_max_diff"] == 0
    assert (out / result["report"]).is_file()


def test_the_preview_is_announced_before_the_result(
    finished: tuple[list[dict[str, Any]], Path],
) -> None:
    events, out = finished
    (preview,) = [e for e in events if e["event"] == "preview"]
    assert (out / preview["path"]).is_file()


def test_a_refusal_is_an_error_event_exit_code_2_and_no_output(
    root: Path, job: dict[str, Any], tmp_path: Path
) -> None:
    wrong = {**job, "prompt": "a broken heart"}
    runner = command(root, tmp_path, wrong, "--progress", "ndjson")
    told, complaints = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 2
    error = events_of(told)[-1]
    assert error["event"] == "error"
    assert {"code", "message", "hint"} <= set(error)
    assert "Traceback" not in complaints
    assert [p.name for p in tmp_path.iterdir()] == ["job.json"]


def test_a_wrong_flag_is_an_error_event_too(
    root: Path, job: dict[str, Any], tmp_path: Path
) -> None:
    runner = command(root, tmp_path, job, "--progress", "ndjson", "--cook")
    told, _ = runner.communicate(timeout=PATIENCE)
    assert (runner.returncode, events_of(told)[-1]["code"]) == (2, "usage")


def stop_in_mid_sample(runner: subprocess.Popen[str], how: str) -> list[dict[str, Any]]:
    """Stop a runner while it samples; the events it still told."""
    assert runner.stdout is not None
    assert runner.stdin is not None
    for line in runner.stdout:
        event = json.loads(line)
        if (event["event"], event.get("stage")) == ("progress", "sample"):
            break
    if how == "cancel line":
        runner.stdin.write("cancel\n")
        runner.stdin.flush()
    else:
        runner.send_signal(signal.SIGTERM if how == "SIGTERM" else signal.SIGINT)
    return events_of(runner.communicate(timeout=PATIENCE)[0])


@pytest.mark.parametrize(
    ("how", "code"),
    [
        pytest.param("SIGTERM", 143, marks=posix),
        ("cancel line", 143),
        pytest.param("Ctrl-C", 130, marks=posix),
    ],
)
def test_a_stopped_run_stops_soon_and_leaves_nothing_behind(
    how: str, code: int, root: Path, job: dict[str, Any], tmp_path: Path
) -> None:
    long = {**job, "overrides": {"sampling": {"steps": 1000}}}
    runner = command(root, tmp_path, long, "--progress", "ndjson")
    told = stop_in_mid_sample(runner, how)
    assert runner.returncode == code
    assert told[-1]["event"] == "error"
    assert told[-1]["code"] == "cancelled"
    # Counted in steps, not seconds: other tests share the machine (700 are executed).
    assert len([e for e in told if e["event"] == "progress"]) < 100
    assert [p.name for p in tmp_path.iterdir()] == ["job.json"]


def test_no_patient_data_and_no_prompt_in_the_log(
    root: Path, job: dict[str, Any], tmp_path: Path
) -> None:
    runner = command(root, tmp_path, job, "--progress", "none", "--verbose")
    told, logged = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 0, logged
    for secret in ("Doe", "effusion", "PatientID"):
        assert secret not in logged
    assert "look here first" in told


def test_json_mode_prints_one_document(root: Path, job: dict[str, Any], tmp_path: Path) -> None:
    runner = command(root, tmp_path, job, "--progress", "none", "--json")
    told, logged = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 0, logged
    assert json.loads(told)["metrics"]["outside_max_diff"] == 0
