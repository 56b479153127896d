# SPDX-License-Identifier: Apache-2.0
"""What may be asked of a DICOM store, and what a store may answer, without one at hand."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from monai_cxr_cf.cli import main
from monai_cxr_cf.dicom.store import pacs
from monai_cxr_cf.dicom.store.dimse import Node, _send_one, parse_node
from monai_cxr_cf.dicom.store.remote import USER
from monai_cxr_cf.errors import BadRequest, RemoteFailure
from tests.dicom.store.small_store import Answer, small_store

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


class Association:
    """Answers every C-STORE with one status."""

    def __init__(self, status: int | None) -> None:
        self.status = status

    def send_c_store(self, ds: object) -> object:
        """An answer as pynetdicom gives it: without a status if the node fell silent."""
        answer = Dataset()
        if self.status is not None:
            answer.Status = self.status
        return answer


def test_a_node_s_warning_is_told_and_its_refusal_has_a_reason() -> None:
    assert _send_one(Association(0), Dataset(), 1) == ""
    assert _send_one(Association(0xB006), Dataset(), 2) == "file 2: elements were discarded (B006)"
    for status, words in ((0xA700, "out of resources (A700)"), (None, "no answer")):
        with pytest.raises(RemoteFailure, match="refused file 3") as refused:
            _send_one(Association(status), Dataset(), 3)
        assert words in str(refused.value)


def test_the_command_line_says_when_nothing_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    with small_store(Answer(b"", "", 204)) as store:
        assert main(["pacs", "find", store.url, "--study", "1.2.3"]) == 0
        assert capsys.readouterr().out == "The store has no CR or DX image that fits.\n"
        assert main(["pacs", "find", store.url, "--json"]) == 0
        assert capsys.readouterr().out == "[]\n"


def test_a_page_is_one_sentence_and_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_store(Answer(b"<html/>", "text/html")) as store:
        out = ["--out", str(tmp_path / "film.dcm")]
        assert main(["pacs", "fetch", store.url, "1.2.3", "1.2.4", "1.2.5", *out]) == 5
    told = capsys.readouterr().err
    assert "answered with a web page, perhaps a page to log in" in told
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


def test_a_store_that_counts_nothing_gets_a_question_mark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [pacs.SeriesFound("1.2", "1.2.3", "CR", instances=count) for count in (None, 0, 2)]
    monkeypatch.setattr(pacs.Pacs, "find_series", lambda self, *, date: found)
    assert main(["pacs", "find", "http://127.0.0.1:9/x"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("  ")[2] for line in lines] == ["? images", "0 images", "2 images"]
