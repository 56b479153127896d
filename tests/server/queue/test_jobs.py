# SPDX-License-Identifier: Apache-2.0
"""A job from upload to files over real HTTP, with a tiny real model."""

import io
import json
import time
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image

from monai_cxr_cf.cli import main
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import Networks
from tests.commands.doors import FIELDS, FLAGS, check_in_force
from tests.folders import contents
from tests.server.serving import WORDS, Serving, finish, post


@pytest.fixture(scope="module")
def done(server: Serving, phantom: bytes, labels: bytes) -> dict[str, Any]:
    """One finished job."""
    with server.client() as client:
        files = {"dicom": ("x.dcm", phantom), "masks": ("labels.png", labels)}
        answer = post(client, files)
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
        found = finish(client, answer.json()["id"])
    assert found["state"] == "done", found
    return found


def test_a_job_ends_with_nothing_changed_outside(done: dict[str, Any]) -> None:
    assert done["result"]["metrics"]["outside_max_diff"] == 0
    assert done["position"] is None
    assert done["expires"] > done["finished"] > done["started"] > done["created"]
    assert done["attempts"] == 1
    assert done["error"] is None


def test_events_are_those_of_the_local_runner_in_order(
    done: dict[str, Any], client: httpx.Client
) -> None:
    def events(after: int) -> list[dict[str, Any]]:
        answer = client.get(f"/v1/jobs/{done['id']}/events", params={"after": after})
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        return [json.loads(line) for line in answer.text.splitlines()]

    told = events(0)
    assert [event["n"] for event in told] == list(range(1, len(told) + 1))
    assert told[0]["event"] == "hello"
    assert {"protocol", "version", "device", "lock_sha256"} <= set(told[0])
    assert told[-1]["event"] == "result"
    stages = dict.fromkeys(e["stage"] for e in told if e["event"] == "progress")
    assert list(stages) == ["read", "segment", "region", "sample", "decode", "composite", "write"]
    assert events(told[-1]["n"] - 1) == told[-1:]
    assert events(told[-1]["n"]) == []


def test_files_come_singly_and_as_one_archive(done: dict[str, Any], client: httpx.Client) -> None:
    listed = client.get(f"/v1/jobs/{done['id']}/files").json()
    roles = {file["role"] for file in listed}
    assert {"cf", "diff", "seg", "sr", "preview", "trace", "report", "view_cf"} <= roles
    packed = client.get(f"/v1/jobs/{done['id']}/files.zip")
    archive = zipfile.ZipFile(io.BytesIO(packed.content))
    for file in listed:
        answer = client.get(f"/v1/jobs/{done['id']}/files/{file['index']}")
        assert answer.headers["content-type"] == file["media_type"]
        assert len(answer.content) == file["bytes"]
        assert archive.read(file["name"]) == answer.content
        if file["role"] != "report":  # it holds its own digest in no place
            assert sha256(answer.content).hexdigest() == file["sha256"]
    assert {f["media_type"] for f in listed if f["role"] == "cf"} == {"application/dicom"}
    assert client.get(f"/v1/jobs/{done['id']}/files/{len(listed)}").status_code == 404


def test_the_files_are_those_of_a_local_run_byte_for_byte(
    done: dict[str, Any],
    client: httpx.Client,
    phantom: bytes,
    labels: bytes,
    tiny_folder: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "source").write_bytes(phantom)
    (tmp_path / "masks.png").write_bytes(labels)
    paths = {"source": str(tmp_path / "source"), "masks": str(tmp_path / "masks.png")}
    request = EditRequest(backbone=str(tiny_folder), **paths, **WORDS)
    outcome = run(request, tmp_path / "out", networks=Networks())
    theirs = {file["path"]: file["sha256"] for file in done["result"]["files"]}
    ours = {
        file.path.relative_to(tmp_path / "out").as_posix(): file.sha256
        for file in outcome.files
        if file.path.suffix == ".dcm"
    }
    assert ours.items() <= theirs.items()


def test_dials_reach_the_worker_and_give_the_files_of_the_command_line(
    server: Serving, files: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    with server.client() as client:
        job = finish(client, post(client, files, **FIELDS).json()["id"])
        assert job["state"] == "done", job
        packed = client.get(f"/v1/jobs/{job['id']}/files.zip").content
    zipfile.ZipFile(io.BytesIO(packed)).extractall(tmp_path / "served")
    check_in_force(tmp_path / "served")
    for name, data in files.values():
        (tmp_path / name).write_bytes(data)
    source, masks = (str(tmp_path / name) for name, _ in files.values())
    words = ["edit", source, "--masks", masks, "--backbone", str(tiny_folder), *FLAGS]
    out = tmp_path / "local"
    assert main([*words, "--out", str(out), "--progress", "none"]) == 0
    assert contents(out).items() <= contents(tmp_path / "served").items()


def test_pictures_for_a_browser_show_source_and_change(
    done: dict[str, Any], client: httpx.Client
) -> None:
    listed = client.get(f"/v1/jobs/{done['id']}/files").json()
    shown = {}
    for file in listed:
        if file["role"].startswith("view_"):
            content = client.get(f"/v1/jobs/{done['id']}/files/{file['index']}").content
            shown[file["role"]] = np.asarray(Image.open(io.BytesIO(content)))
    outside = (shown["view_region"] == 0) & (shown["view_band"] == 0)
    assert {picture.shape for picture in shown.values()} == {(120, 96)}
    differs = shown["view_cf"] != shown["view_source"]
    assert differs.any()
    assert not differs[outside].any()


def test_the_same_image_and_request_is_the_same_job(
    done: dict[str, Any], client: httpx.Client, files: dict[str, Any]
) -> None:
    again = post(client, files)
    assert (again.status_code, again.json()["id"]) == (200, done["id"])
    other = post(client, files, seeds=[7])
    assert (other.status_code, other.json()["id"] == done["id"]) == (202, False)
    client.delete(f"/v1/jobs/{other.json()['id']}")


def test_a_fresh_copy_is_a_new_job_each_time(client: httpx.Client, files: dict[str, Any]) -> None:
    jobs = [post(client, files, uids="random").json()["id"] for _ in range(2)]
    assert jobs[0] != jobs[1]
    for job in jobs:
        client.delete(f"/v1/jobs/{job}")


def test_a_segment_job_finds_organs_and_region_before_waiting_edits(
    client: httpx.Client, root: Path
) -> None:
    source = root / "docs" / "example.dcm"
    answer = client.post(
        "/v1/jobs",
        data={"request": '{"prompt": "left pleural effusion"}', "kind": "segment"},
        files={"dicom": source.read_bytes()},
    )
    assert answer.status_code == 202, answer.text
    found = finish(client, answer.json()["id"])
    assert found["state"] == "done", found
    files = client.get(f"/v1/jobs/{found['id']}/files").json()
    roles = [file["role"] for file in files]
    assert sorted(roles) == ["labels", "overlay", "region", "seg", "source"]
    told = [json.loads(x) for x in client.get(f"/v1/jobs/{found['id']}/events").text.splitlines()]
    assert [e["event"] for e in told if e["event"] != "progress"] == ["hello", "result"]
    stages = dict.fromkeys(e["stage"] for e in told if e["event"] == "progress")
    assert list(stages) == ["read", "segment", "region", "write"]
    index = roles.index("labels")
    labels = client.get(f"/v1/jobs/{found['id']}/files/{index}").content
    values = np.asarray(Image.open(io.BytesIO(labels)))
    stored = pydicom.dcmread(source)
    assert values.shape == (stored.Rows, stored.Columns)
    assert sorted(np.unique(values)) == [0, 1, 2, 3]


def test_a_refused_segment_job_lists_masks_to_correct_and_takes_them_back(
    client: httpx.Client, phantom: bytes, labels: bytes
) -> None:
    dots = np.zeros((120, 96), np.uint8)
    dots[:2, :3] = 1, 2, 3
    stream = io.BytesIO()
    Image.fromarray(dots).save(stream, "PNG")
    data = {"request": "{}", "kind": "segment"}
    uploads = {"dicom": phantom, "masks": ("labels.png", stream.getvalue())}
    job = client.post("/v1/jobs", data=data, files=uploads).json()["id"]
    found = finish(client, job)
    assert found["state"] == "failed", found
    assert found["error"]["message"]
    assert "Correct labels.png" in found["error"]["hint"]
    files = client.get(f"/v1/jobs/{job}/files").json()
    roles = [file["role"] for file in files]
    assert {"overlay", "labels", "source"} <= set(roles)
    shown = client.get(f"/v1/jobs/{job}/files/{roles.index('overlay')}")
    assert Image.open(io.BytesIO(shown.content)).size[0] > 1
    assert "refused" not in found["result"]
    assert found["result"]["segmenter"]["name"]
    told = client.get(f"/v1/jobs/{job}/events").text.splitlines()
    assert json.loads(told[-1])["event"] == "error"
    assert client.post("/v1/jobs", data=data, files=uploads).status_code == 202  # asked anew
    uploads["masks"] = ("labels.png", labels)
    done = finish(client, client.post("/v1/jobs", data=data, files=uploads).json()["id"])
    assert done["state"] == "done", done
    gone = client.delete(f"/v1/jobs/{job}").json()
    assert (gone["state"], gone["result"]) == ("expired", None)


def test_cancelling_a_running_job_stops_it_at_the_next_step(
    client: httpx.Client, files: dict[str, Any]
) -> None:
    slow = {"sampling": {"steps": 1000}, "start": {"strength": 1.0}}
    job = post(client, files, overrides=slow, seeds=[1, 2, 3, 4]).json()["id"]
    end = time.monotonic() + 120
    while client.get(f"/v1/jobs/{job}").json()["stage"] != "sample":
        assert time.monotonic() < end
        time.sleep(0.05)
    asked = client.delete(f"/v1/jobs/{job}").json()
    assert asked["cancel_asked"] or asked["state"] == "cancelled"
    found = finish(client, job)
    assert (found["state"], found["error"]["code"]) == ("cancelled", "cancelled")
    last = client.get(f"/v1/jobs/{job}/events").text.splitlines()[-1]
    assert json.loads(last)["event"] == "error"
    assert client.get(f"/v1/jobs/{job}/files").status_code == 409


def test_a_job_that_waits_is_cancelled_at_once_and_counts_in_the_list(
    client: httpx.Client, files: dict[str, Any]
) -> None:
    slow = {"sampling": {"steps": 1000}, "start": {"strength": 1.0}}
    first = post(client, files, overrides=slow, seeds=[11]).json()["id"]
    second = post(client, files, seeds=[12]).json()
    assert second["state"] == "queued"
    assert second["position"] >= 1
    assert client.delete(f"/v1/jobs/{second['id']}").json()["state"] == "cancelled"
    client.delete(f"/v1/jobs/{first}")
    listed = client.get("/v1/jobs", params={"state": "cancelled"}).json()
    assert second["id"] in [job["id"] for job in listed["jobs"]]
    assert {job["state"] for job in listed["jobs"]} == {"cancelled"}
    finish(client, first)


def test_a_refusal_of_the_method_fails_the_job_with_its_sentence(
    client: httpx.Client, phantom: bytes
) -> None:
    stream = io.BytesIO()
    dots = np.zeros((120, 96), np.uint8)
    dots[0, :3] = 1, 2, 3  # lungs and heart of one pixel each
    Image.fromarray(dots).save(stream, "PNG")
    uploads = {"dicom": phantom, "masks": ("labels.png", stream.getvalue())}
    job = post(client, uploads).json()["id"]
    found = finish(client, job)
    assert found["state"] == "failed", found
    assert found["error"]["code"] != "internal"
    assert found["error"]["message"]


def test_deleting_a_finished_job_removes_its_files(
    client: httpx.Client, server: Serving, files: dict[str, Any]
) -> None:
    job = post(client, files, strength=0.0).json()["id"]
    assert finish(client, job)["state"] == "done"
    assert (server.data / "jobs" / job).is_dir()
    assert client.delete(f"/v1/jobs/{job}").json()["state"] == "expired"
    assert not (server.data / "jobs" / job).exists()
    gone = client.get(f"/v1/jobs/{job}/files/0")
    assert (gone.status_code, gone.json()["code"]) == (410, "gone")


def test_figures_count_requests_by_route_and_jobs_by_state(client: httpx.Client) -> None:
    text = client.get("/metrics").text
    assert 'route="/v1/jobs/{id}"' in text
    assert 'cxr_cf_jobs{state="done"}' in text
    assert "cxr_cf_worker_ready 1.0" in text


def test_the_worker_yields_to_the_web_process(server: Serving) -> None:
    server.ready()
    nice = Path(f"/proc/{server.worker()}/stat").read_text().rpartition(")")[2].split()[16]
    assert server.process is not None
    own = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[16]
    assert int(nice) > int(own)
