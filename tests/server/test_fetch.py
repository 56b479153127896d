# SPDX-License-Identifier: Apache-2.0
"""A job on an image of the DICOM store: fetched by UIDs, checked and queued like an upload."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from monai_cxr_cf.errors import RemoteFailure
from monai_cxr_cf.server.app import create_app
from monai_cxr_cf.server.settings import Settings
from tests.server.serving import WORDS

UIDS = {"study": "1.2.3", "series": "1.2.4", "instance": "1.2.5"}


@pytest.fixture
def client(tmp_path: Path, phantom: bytes) -> TestClient:
    """An app whose store holds one instance."""

    def fetch(study: str, series: str, instance: str, file: Path) -> None:
        if instance != UIDS["instance"]:
            raise RemoteFailure("The store has no such instance.")
        file.write_bytes(phantom if (study, series) == ("1.2.3", "1.2.4") else b"no image")

    app = create_app(Settings(data=tmp_path / "data"), fetch=fetch, work=False)
    return TestClient(app, base_url="http://127.0.0.1:8000")


def submit(client: TestClient, **uids: str) -> "tuple[int, dict[str, str]]":
    answer = client.post("/v1/jobs", data={"request": json.dumps(WORDS), **UIDS, **uids},
                         headers={"content-type": "application/x-www-form-urlencoded"})  # fmt: skip
    return answer.status_code, answer.json()


def test_uids_of_the_store_stand_for_an_upload(client: TestClient, phantom: bytes) -> None:
    status, job = submit(client)
    assert status == 202
    upload = client.post("/v1/jobs", data={"request": json.dumps(WORDS)}, files={"dicom": phantom})
    assert (upload.status_code, upload.json()["id"]) == (200, job["id"])  # the same bytes


def test_what_the_store_does_not_give_is_said(client: TestClient) -> None:
    assert submit(client, instance="1.2.6")[0] == 502
    status, body = submit(client, series="1.2.9")
    assert (status, body["code"]) == (415, "not_dicom")


@pytest.mark.parametrize("uid", ["../../x", "1.2.3/x", "1" * 65, "1.2%2e", "1.2\n3"])
def test_a_uid_that_is_none_reaches_no_store(uid: str, client: TestClient) -> None:
    status, body = submit(client, study=uid)
    assert (status, body["code"]) == (400, "invalid_uid")
