# SPDX-License-Identifier: Apache-2.0
"""Refusals of docs/dicom-conformance.md 3.3 and malformed requests: a 4xx with a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dicom.refused import REFUSED
from tests.server.serving import WORDS, Web, post

Answer = httpx.Response


def check(answer: Answer, status: int, code: str | None = None) -> dict[str, str]:
    """Assert that an answer is a refusal of ours; returns its body."""
    body: dict[str, str] = answer.json()
    assert answer.status_code == status, body
    assert set(body) == {"code", "message", "hint"}
    assert body["message"]
    assert code is None or body["code"] == code, body
    return body


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_file_that_the_reader_refuses_is_refused_with_its_reason(
    name: str, caller: httpx.Client, tmp_path: Path
) -> None:
    make, kind, code, words = REFUSED[name]
    answer = post(caller, {"dicom": make(tmp_path).read_bytes()})
    body = check(answer, kind.http_status, None if code == "*" else code)
    flag = words.startswith("--")
    said = f"{body['message']} {body['hint']}"
    wanted = f"reading.{words.removeprefix('--').replace('-', '_')}" if flag else words
    assert wanted in said, body
    assert "--allow" not in said


def test_a_refused_upload_leaves_nothing_on_disk(caller: httpx.Client, web: Web) -> None:
    check(post(caller, {"dicom": b"no image"}), 415, "not_dicom")
    assert list((web.data / "incoming").iterdir()) == []


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "bad_request"),
    "a list": ("[]", "bad_request"),
    "NaN": ('{"prompt": "edema", "strength": NaN}', "bad_request"),
    "deep": ("[" * 100_000, "bad_request"),
    "no words": ({"prompt": None}, "bad_request"),
    "prompt and findings": ({"findings": [{"finding": "edema"}]}, "bad_request"),
    "unknown key": ({"promt": "edema"}, "bad_request"),
    "unknown finding": ({"prompt": "a unicorn"}, None),
    "unknown preset": ({"preset": "best"}, "bad_request"),
    "unknown law": ({"overrides": {"magic": {"eta": 1}}}, None),
    "unknown dial": ({"overrides": {"boost": {"etta": 1}}}, None),
    "strength 2": ({"strength": 2}, "bad_request"),
    "a path as source": ({"source": "/etc/passwd"}, "path_refused"),
    "a path as masks": ({"masks": "../../x.png"}, "path_refused"),
    "a path as region": ({"roi": "/etc/passwd"}, "path_refused"),
    "a folder of pictures": (
        {"method": "external", "method_settings": {"folder": "/etc"}, "overrides": {}},
        "path_refused",
    ),
    "an unknown method": ({"method": "gan"}, "bad_request"),
    "a setting of no method": ({"method": "pie", "method_settings": {"x": 1}}, "bad_request"),
    "a path as backbone": ({"backbone": "/etc"}, "bad_request"),
    "a hub as backbone": ({"backbone": "runwayml/stable-diffusion-v1-5"}, "bad_request"),
    "many members": ({"seeds": list(range(60)), "levels": [0.5, 1]}, "too_many_members"),
    "pixels": ({"reading": {"max_pixels": 10**9}}, "limit"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_a_wrong_request_is_named_and_refused_before_the_image_is_looked_at(
    name: str, caller: httpx.Client
) -> None:
    given, code = BAD[name]
    text = given if isinstance(given, str) else json.dumps({**WORDS, **given})
    answer = caller.post("/v1/jobs", data={"request": text}, files={"dicom": b"x"})
    check(answer, 400, code)


FORMS: dict[str, tuple[dict[str, Any], int]] = {
    "no image": ({"data": {"request": json.dumps(WORDS)}}, 400),
    "no request": ({"files": {"dicom": b"x"}}, 400),
    "an unknown field": (
        {"data": {"request": json.dumps(WORDS), "path": "/etc"}, "files": {"dicom": b"x"}},
        400,
    ),
    "an unknown kind": (
        {"data": {"request": json.dumps(WORDS), "kind": "train"}, "files": {"dicom": b"x"}},
        400,
    ),
    "JSON instead of a form": ({"json": WORDS}, 415),
    "text": ({"content": b"hello", "headers": {"content-type": "text/plain"}}, 415),
    "a broken form": (
        {"content": b"--b\r\nx", "headers": {"content-type": "multipart/form-data; boundary=b"}},
        400,
    ),
    "UIDs without a store": (
        {"data": {"request": json.dumps(WORDS), "study": "1.2", "series": "1", "instance": "1"}},
        503,
    ),
    "a UID that is a path": (
        {"data": {"request": json.dumps(WORDS), "study": "../x", "series": "1", "instance": "1"}},
        400,
    ),
    "two UIDs": ({"data": {"request": json.dumps(WORDS), "study": "1", "series": "1"}}, 400),
}


@pytest.mark.parametrize("name", list(FORMS))
def test_a_wrong_form_is_refused(name: str, caller: httpx.Client) -> None:
    given, status = FORMS[name]
    check(caller.post("/v1/jobs", **given), status)


MASKS: dict[str, tuple[bytes, int]] = {
    "text": (b"not a mask" * 50, 415),
    "another size": (b"", 400),
    "NRRD with its data elsewhere": (
        b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 96 120\nencoding: raw\n"
        b"data file: /etc/passwd\n\n",
        400,
    ),
    "NRRD header without end": (b"NRRD0004\ntype: uint8\n", 400),
    "a broken PNG": (b"\x89PNG\r\n\x1a\n" + b"rubbish" * 20, 415),
}


@pytest.mark.parametrize("name", list(MASKS))
def test_a_wrong_mask_is_refused(name: str, caller: httpx.Client, phantom: bytes) -> None:
    content, status = MASKS[name]
    if name == "another size":
        import io

        import numpy as np
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(np.ones((7, 9), np.uint8)).save(stream, "PNG")
        content = stream.getvalue()
    answer = post(caller, {"dicom": phantom, "masks": ("m", content)})
    body = check(answer, status)
    assert "/" not in body["message"].replace("a/b", "")


def test_segment_jobs_know_fewer_keys(caller: httpx.Client, phantom: bytes) -> None:
    data = {"request": '{"seeds": [1]}', "kind": "segment"}
    body = check(caller.post("/v1/jobs", data=data, files={"dicom": phantom}), 400)
    assert "seeds" in body["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/jobs/unknown", 404),
        ("GET", "/v1/jobs/unknown/events", 404),
        ("GET", "/v1/jobs/unknown/files", 404),
        ("GET", "/v1/jobs/unknown/files.zip", 404),
        ("DELETE", "/v1/jobs/unknown", 404),
        ("GET", "/v1/jobs/unknown/files/-1", 400),
        ("GET", "/v1/jobs/unknown/files/x", 400),
        ("GET", "/v1/jobs?state=odd", 400),
        ("GET", "/v1/jobs?limit=0", 400),
        ("GET", "/v1/jobs?skip=99999999999999999999999", 400),
        ("GET", "/v1/jobs/unknown/events?after=-1", 400),
        ("GET", "/nothing", 404),
        ("PATCH", "/v1/jobs", 405),
        ("TRACE", "/v1/jobs", 405),
        ("POST", "/healthz", 405),
    ],
)
def test_a_wrong_route_method_or_query_is_json(
    method: str, path: str, status: int, caller: httpx.Client
) -> None:
    check(caller.request(method, path), status)


def test_full_queue_and_full_storage_are_said(
    within: Callable[..., Any], files: dict[str, Any]
) -> None:
    from monai_cxr_cf.server.settings import Limits

    busy = within(limits=Limits(queue=1))
    assert post(busy, files).status_code == 202
    answer = post(busy, files, seeds=[2])
    check(answer, 429, "queue_full")
    assert answer.headers["retry-after"]
    assert post(busy, files).status_code == 200  # the same job again is no new one
