# SPDX-License-Identifier: Apache-2.0
"""What may be asked of a DICOM store, and what a store may answer, without one at hand."""

from pathlib import Path

import pytest

from monai_cxr_cf.dicom.store import pacs
from monai_cxr_cf.dicom.store.dimse import Node, parse_node
from monai_cxr_cf.dicom.store.remote import USER
from monai_cxr_cf.errors import BadRequest, RemoteFailure

pytest.importorskip("dicomweb_client", reason="pip install '.[server]'")
CLOSED = "http://127.0.0.1:9/dicom-web"  # nobody listens on the discard port


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://a/b",
        "http://",
        "a",
        "https://me:secret@pacs/x",
        "http://a/?b=c",
    ],
)
def test_an_unsafe_address_is_refused(url: str) -> None:
    with pytest.raises(BadRequest) as refused:
        pacs.Pacs(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("uid", ["../../x", "1.2/3", "", "1" * 65, "1.2\n", "1.2?a=b"])
def test_what_is_no_uid_never_reaches_an_address(uid: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest):
        pacs.Pacs(CLOSED).fetch("1.2", "1.3", uid, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_credentials_do_not_travel_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER, "me")
    with pytest.raises(BadRequest, match="clear"):
        pacs.Pacs("http://pacs.example/dicom-web")
    assert pacs.Pacs("https://pacs.example/dicom-web")
    assert pacs.Pacs(CLOSED)


def test_a_store_that_is_not_there_is_a_remote_failure(tmp_path: Path) -> None:
    with pytest.raises(RemoteFailure) as failed:
        pacs.fetcher(CLOSED)("1.2", "1.3", "1.4", tmp_path / "out")
    assert (failed.value.code, failed.value.http_status) == ("store_unreachable", 502)


def test_a_node_is_title_host_and_port() -> None:
    assert parse_node("dimse://ARCHIVE@pacs.example:104") == Node("ARCHIVE", "pacs.example", 104)


@pytest.mark.parametrize("text", ["dimse://A@b", "dimse://A@b:0", "dimse://A B@c:1", "http://a"])
def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_node(text)
