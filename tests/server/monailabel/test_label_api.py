# SPDX-License-Identifier: Apache-2.0
"""What the plugins of Slicer and OHIF send, replayed byte by byte, and what is refused."""

import json
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import SimpleITK
from fastapi.testclient import TestClient

from tests.server.serving import PATIENCE, Serving

# As MONAILabelClient 0.8.5 builds it, in Slicer: its boundary, no quotes, the whole path as name.
EDGE = "----------lImIt_of_THE_fIle_eW_$"
SLICER = {"result_extension": ".nrrd", "result_dtype": "uint8", "client_id": "user-xyz"}
# As axios does for OHIF (MonaiLabelClient.js): another origin, an accept list, more params.
OHIF = {"result_extension": ".nrrd", "result_dtype": "uint16", "result_compress": False,
        "restore_label_idx": False}  # fmt: skip
ORIGIN = "http://127.0.0.1:3000"
WRONG: dict[str, tuple[str, str, dict[str, Any]]] = {
    "an unknown model": ("POST", "/infer/other?image=a", {"data": {"params": "{}"}}),
    "an unknown param": ("POST", "/infer/cxr_organs?image=a", {"data": {"params": '{"x": 1}'}}),
    "another extension": (
        "POST", "/infer/cxr_organs?image=a", {"data": {"params": '{"result_extension": ".png"}'}},
    ),
    "params that are no JSON": ("POST", "/infer/cxr_organs?image=a", {"data": {"params": "{"}}),
    "no image at all": ("POST", "/infer/cxr_organs", {"data": {"params": "{}"}}),
    "a path as image": ("POST", "/infer/cxr_organs?image=/etc/passwd", {"data": {"params": "{}"}}),
    "dots as image": ("GET", "/datastore/image?image=../jobs.sqlite", {}),
    "dots as tag": ("GET", "/datastore/label?label=a&tag=../x", {}),
    "no such image": ("GET", "/datastore/image?image=nobody", {}),
    "no such session": ("GET", "/session/0b4ad3c0-28a1-4f9c-9c8e-1d1f1c6f7a11", {}),
    "a path as session": ("GET", "/session/..%2f..%2fetc", {}),
    "a text as image": ("PUT", "/datastore/image?image=a", {"files": {"file": b"hello"}}),
    "a text as session": ("PUT", "/session/", {"files": {"files": b"hello"}}),
    "an archive": ("PUT", "/session/?uncompress=true", {"files": {"files": b"PK"}}),
    "a strategy": ("POST", "/activelearning/other", {"json": {}}),
    "a training": ("POST", "/train/", {"json": {}}),
    "a scoring": ("POST", "/scoring/dice", {"json": {}}),
    "a DICOM SEG": ("POST", "/infer/cxr_organs?image=a&output=dicom_seg", {"data": {}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def volume(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as Slicer may send it: NIfTI, header lost, stored turned and saying so."""
    source = SimpleITK.ReadImage(str(root / "docs" / "example.dcm"))
    turned = SimpleITK.GetArrayFromImage(source)[:, ::-1, ::-1]
    source = SimpleITK.GetImageFromArray(turned)
    source.SetSpacing((0.29, 0.3, 1.0))
    source.SetOrigin((12.5, -7.0, 3.0))
    source.SetDirection((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    path = tmp_path_factory.mktemp("volume") / "tmp1234.nii.gz"
    SimpleITK.WriteImage(source, str(path))
    return path


def multipart(fields: dict[str, str], files: dict[str, Path]) -> tuple[bytes, dict[str, str]]:
    """A body and headers exactly as the client library makes them."""
    lines: list[bytes] = []
    for name, value in fields.items():
        head = f'Content-Disposition: form-data; name="{name}"'
        lines += [f"--{EDGE}".encode(), head.encode(), b"", value.encode()]
    for name, path in files.items():
        head = f'Content-Disposition: form-data; name="{name}"; filename="{path}"'
        kind = b"Content-Type: application/octet-stream"
        lines += [f"--{EDGE}".encode(), head.encode(), kind, b"", path.read_bytes()]
    lines += [f"--{EDGE}--".encode(), b""]
    body = b"".join(line + b"\r\n" for line in lines)
    kind_of_all = f"multipart/form-data; boundary={EDGE}"
    return body, {"content-type": kind_of_all, "content-length": str(len(body))}


def parts(answer: httpx.Response) -> tuple[dict[str, Any], bytes]:
    """params and image of a multipart answer."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + answer.content)
    first, second = message.get_payload()  # type: ignore[misc]
    assert second.get_filename().endswith(".nrrd")  # type: ignore[union-attr]
    return json.loads(first.get_payload()), second.get_payload(decode=True)  # type: ignore


def test_slicer_gets_masks_with_the_geometry_of_what_it_sent(
    server: Serving, volume: Path, tmp_path: Path
) -> None:
    with server.ready().client() as client:
        client.timeout = PATIENCE
        with volume.open("rb") as stream:
            opened = client.put("/session/", files={"files": (volume.name, stream)}).json()
        body, headers = multipart({"params": json.dumps(SLICER)}, {})
        path = f"/infer/cxr_organs?image=&session_id={opened['session_id']}"
        answer = client.post(path, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    params, picture = parts(answer)
    (tmp_path / "out.nrrd").write_bytes(picture)
    masks, source = (SimpleITK.ReadImage(str(p)) for p in (tmp_path / "out.nrrd", volume))
    assert masks.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    assert masks.GetSize() == source.GetSize()
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(masks, name)(), getattr(source, name)(), atol=1e-5)
    labels = SimpleITK.GetArrayFromImage(masks)[0]
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    right, left, heart = (np.argwhere(labels == value).mean(axis=0) for value in (1, 2, 3))
    assert right[1] > left[1], "the right lung lies on the right of the turned picture"
    assert heart[0] < right[0]
    assert params["label_names"]["heart"] == 3


def test_ohif_gets_what_it_asks_for_from_its_own_origin(
    serve: Any, root: Path, tmp_path: Path
) -> None:
    serving: Serving = serve("--allow-origin", ORIGIN).ready()
    ask = {"origin": ORIGIN, "access-control-request-method": "POST"}
    with serving.client() as client:
        client.timeout, client.headers["origin"] = PATIENCE, ORIGIN
        before = client.options("/infer/cxr_organs", headers=ask)
        with (root / "docs" / "example.dcm").open("rb") as stream:
            client.put("/datastore/image?image=1.2.3", files={"file": ("x.dcm", stream)})
        form = {"params": (None, json.dumps(OHIF))}
        headers = {"accept": "application/json, multipart/form-data"}
        where = "/infer/cxr_organs?image=1.2.3&output=all"
        answer = client.post(where, files=form, headers=headers)
    assert before.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    _, picture = parts(answer)
    (tmp_path / "out.nrrd").write_bytes(picture)
    assert b"encoding: raw" in picture[:1000]
    kind = SimpleITK.ReadImage(str(tmp_path / "out.nrrd")).GetPixelIDTypeAsString()
    assert kind == "16-bit unsigned integer"


@pytest.mark.parametrize("what", WRONG)
def test_the_callers_mistake_is_answered_with_a_reason(what: str, within: Any) -> None:
    method, path, more = WRONG[what]
    with within() as client:
        answer = client.request(method, path, **more)
    assert 400 <= answer.status_code < 500, answer.text
    assert set(answer.json()) == {"code", "message", "hint"}
    assert "/etc" not in answer.text


def test_the_password_is_the_key_and_another_is_refused(within: Any) -> None:
    key = "a-key-that-is-long-enough"
    with within(key=key) as client:
        good = client.post("/auth/token", data={"username": "me", "password": key})
        bad = client.post("/auth/token", data={"username": "me", "password": "another"})
        token = good.json()
        bearer = {"authorization": f"{token['token_type']} {token['access_token']}"}
        codes = [client.get("/auth/token/valid", headers=h).status_code for h in (bearer, {})]
        closed = client.get("/info/").status_code
    assert (bad.status_code, codes, closed) == (401, [200, 401], 401)


def test_a_detached_or_many_sliced_volume_is_refused(within: Any, tmp_path: Path) -> None:
    slices = SimpleITK.GetImageFromArray(np.random.default_rng(0).random((3, 64, 64)))
    SimpleITK.WriteImage(slices, str(tmp_path / "many.nrrd"))
    elsewhere = (
        b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 64 64\nencoding: raw\n"
        b"data file: /etc/passwd\n\n"
    )
    with within() as client:
        sent = [(tmp_path / "many.nrrd").read_bytes(), elsewhere]
        answers = [_put(client, data) for data in sent]
    assert [a.json()["code"] for a in answers] == ["slices", "detached_header"]


def test_an_image_keeps_its_id_and_another_does_not_get_it(
    within: Any, phantom: bytes, root: Path
) -> None:
    with within() as client:
        first, again = _put(client, phantom), _put(client, phantom)
        other = _put(client, (root / "docs" / "example.dcm").read_bytes())
        back = client.get("/datastore/image?image=a").content
        stats = client.get("/datastore/").json()
    assert [a.status_code for a in (first, again, other)] == [200, 200, 409]
    assert back == phantom
    assert stats == {"total": 1, "completed": 0, "label_tags": {}}


def _put(client: TestClient, data: bytes) -> httpx.Response:
    answer: httpx.Response = client.put("/datastore/image?image=a", files={"file": data})
    return answer


def test_a_store_that_is_down_keeps_no_client_from_the_models(within: Any) -> None:
    with within(dicomweb="http://127.0.0.1:9/dicom-web") as client:
        told = client.get("/info/").json()
        assert told["models"]
        assert told["datastore"]["total"] == 0
        assert "127.0.0.1:9" not in told["datastore"]["error"]
        assert len(told["datastore"]["error"]) > 20
        assert client.get("/datastore/").status_code == 502
