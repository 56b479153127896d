# SPDX-License-Identifier: Apache-2.0
"""The client of a server against one that misbehaves: retries, refusals, cancel, nothing left."""

import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from CXRCounterfactualLib.contract import jobs
from CXRCounterfactualLib.contract.events import Failed, Preview, Progressed, Result
from CXRCounterfactualLib.contract.params import Choice

from tests.slicer.helpers.fake_server import DATA, KEY, FakeServer
from tests.slicer.helpers.remote import Client, start

LIMIT = 1.0  # seconds: the back end kills after that
Serve = Callable[..., FakeServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers, all stopped afterwards."""
    started: list[FakeServer] = []

    def begin(mode: str = "good") -> FakeServer:
        started.append(FakeServer(mode))
        return started[-1]

    yield begin
    for server in started:
        server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job folder; the source's name is a patient's."""
    (tmp_path / "Doe_John.dcm").write_bytes(b"DICM" + b"x" * 700_000)
    (tmp_path / "Doe_roi.nii.gz").write_bytes(b"roi")
    jobs.write_job(
        jobs.make_request(
            Choice(side="left"), source=tmp_path / "Doe_John.dcm", roi=tmp_path / "Doe_roi.nii.gz"
        ),
        tmp_path,
    )
    return tmp_path


def left(folder: Path) -> set[str]:
    """What lies in a job folder beside its own files."""
    return {p.name for p in folder.iterdir()} - {"Doe_John.dcm", "Doe_roi.nii.gz", "job.json"}


def error_of(client: Client) -> Failed:
    """The last event, an error."""
    *_, failed = client.events()
    assert isinstance(failed, Failed)
    return failed


def test_a_run_looks_like_a_local_one(serve: Serve, folder: Path) -> None:
    client = start(serve().url, folder)
    events = client.events()
    assert client.wait() == 0
    stages = list(dict.fromkeys(e.stage for e in events if isinstance(e, Progressed)))
    assert stages == ["upload", "queue", "sample", "download"]
    assert [type(e) for e in events[-2:]] == [Preview, Result]
    result = events[-1]
    assert [file.role for file in result.files] == ["cf", "preview", "report"]
    assert all(file.path.read_bytes() for file in result.files)
    assert (client.out / "cf" / "0001.dcm").read_bytes() == DATA["cf/0001.dcm"]
    assert not (client.out / "view").exists()
    assert left(folder) == {"out"}


def test_the_form_holds_the_files_but_neither_their_names_nor_a_path(
    serve: Serve, folder: Path
) -> None:
    server = serve()
    assert start(server.url, folder).wait() == 0
    assert b"Doe" not in server.body
    assert str(folder).encode() not in server.body
    assert (folder / "Doe_John.dcm").read_bytes() in server.body
    for part in (b'name="dicom"; filename="dicom.dcm"', b'name="roi"; filename="roi.nii.gz"'):
        assert part in server.body
    head = server.body.index(b"{")
    request = json.loads(server.body[head : server.body.index(b"\r\n", head)])
    assert request["findings"][0]["side"] == "left"
    assert not set(request) & {"source", "masks", "roi"}


@pytest.mark.parametrize("mode", ["drops", "damages_once"])
def test_a_stumble_of_the_network_is_passed_over(serve: Serve, folder: Path, mode: str) -> None:
    server = serve(mode)
    client = start(server.url, folder)
    assert client.wait() == 0
    assert (client.out / "cf" / "0001.dcm").read_bytes() == DATA["cf/0001.dcm"]
    assert server.counts["POST /v1/jobs"] == 1


@pytest.mark.parametrize(
    ("mode", "code", "exit_code"),
    [
        ("vanishes", "server_lost", 5),
        ("damages", "damaged_download", 5),
        ("escapes", "protocol", 5),
        ("fails", "resource_exhausted", 4),
        ("locked", "unauthorised", 2),
        ("refuses", "too_large", 2),
        ("moved", "http_302", 2),
        ("foreign", "protocol", 5),
    ],
)
def test_each_mishap_has_a_sentence_and_leaves_nothing(
    serve: Serve, folder: Path, mode: str, code: str, exit_code: int
) -> None:
    client = start(serve(mode).url, folder, key="a-wrong-key")
    failed = error_of(client)
    assert (failed.code, client.wait()) == (code, exit_code)
    assert failed.message.endswith(".")
    assert failed.hint
    assert left(folder) == set()
    assert not (folder.parent / "evil").exists()


def test_the_key_goes_with_every_request_and_is_in_no_word(serve: Serve, folder: Path) -> None:
    server = serve("locked")
    client = start(server.url, folder, key=KEY)
    assert client.wait() == 0
    assert server.keys == {f"Bearer {KEY}"}
    assert KEY not in " ".join(str(word) for word in client.process.args)  # type: ignore[union-attr]


def test_the_key_does_not_follow_a_redirect(serve: Serve, folder: Path) -> None:
    server = serve("moved")
    start(server.url, folder, key=KEY).wait()
    assert not [words for words in server.asked if "elsewhere" in words]


@pytest.mark.parametrize("how", ["signal", "cancel", "eof"])
@pytest.mark.parametrize("mode", ["stalls", "hangs"])
def test_cancel_reaches_the_server_within_a_second(
    serve: Serve, folder: Path, mode: str, how: str
) -> None:
    server = serve(mode)
    client = start(server.url, folder)
    client.until("upload" if mode == "hangs" else "hello")
    time.sleep(0.4)
    assert client.stop(how) < LIMIT
    assert client.wait() == 143
    assert server.asked[-1] == "DELETE /v1/jobs/0123456789abcdef"
    assert left(folder) == set()


def test_a_reader_that_is_gone_is_a_cancel(serve: Serve, folder: Path) -> None:
    server = serve()
    client = start(server.url, folder, read=False)
    assert client.process.stdout is not None
    client.process.stdout.close()
    assert client.wait() == 143
    assert left(folder) == set()


def test_an_output_folder_that_holds_files_is_left_alone(serve: Serve, folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "theirs").write_text("kept")
    server = serve()
    client = start(server.url, folder)
    assert (error_of(client).code, client.wait()) == ("bad_request", 2)
    assert (folder / "out" / "theirs").read_text() == "kept"
    assert server.asked == []


def test_a_radiograph_that_is_gone_is_not_looked_for_on_the_server(
    serve: Serve, folder: Path
) -> None:
    server = serve()
    (folder / "Doe_John.dcm").rename(folder / "job.dcm")
    failed = error_of(start(server.url, folder))
    assert failed.code == "no_file"
    assert "Doe" not in failed.message
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://cxr.hospital.example", "bad_address"),
        ("ftp://127.0.0.1", "bad_address"),
        ("http://127.0.0.1:9", "server_lost"),
        ("https://nowhere.invalid", "server_lost"),
    ],
)
def test_an_address_that_cannot_be_called_says_why(folder: Path, url: str, code: str) -> None:
    assert error_of(start(url, folder)).code == code


def test_a_server_without_a_known_certificate_gets_nothing(
    serve: Serve, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = tmp_path_factory.mktemp("tls")
    key, certificate = str(where / "key.pem"), str(where / "certificate.pem")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost"]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    server = serve()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    address = f"https://localhost:{server.http.server_port}"
    assert error_of(start(address, folder, key=KEY)).code == "certificate"
    assert (server.asked, server.keys) == ([], set())
    assert start(address, folder, ca=certificate).wait() == 0
    other_name = address.replace("localhost", "127.0.0.1")
    shutil.rmtree(folder / "out")
    assert error_of(start(other_name, folder, ca=certificate)).code == "certificate"


def test_tls_towards_a_server_without_it_is_explained(serve: Serve, folder: Path) -> None:
    failed = error_of(start(serve().url.replace("http", "https"), folder))
    assert failed.code == "tls"


def test_the_check_says_what_is_wrong_row_by_row(serve: Serve, folder: Path) -> None:
    wrong = {
        serve("locked").url: "The server wants a key, or another one",
        serve("foreign").url: "does not answer as one of ours",
        "": "Give the address of the server, for example https://cxr.hospital.example",
        "http://127.0.0.1:9": "The server does not answer",
    }
    for url, found in wrong.items():
        client = start(url, folder, "--check")
        document = client.document()
        assert client.wait() == 3
        assert document["ok"] is False
        assert document["checks"][-1]["found"] == found
        assert not document["checks"][-1]["ok"]
