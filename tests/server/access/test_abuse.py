# SPDX-License-Identifier: Apache-2.0
"""Callers that mean harm: other hosts and pages, wrong keys, too much, too slow, out of place."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from monai_cxr_cf.server.settings import Limits, Settings
from tests.server.serving import WORDS, Web, post
from tests.server.test_refusals import check

KEY = "a-key-of-32-characters-for-tests"
PATIENCE_S = 2.0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server with a key, a small upload limit and a foreign page that may call."""
    settings = Settings(
        data=tmp_path_factory.mktemp("guarded") / "data",
        key=KEY,
        hosts=("cxr.example",),
        origins=("https://pacs.example",),
        limits=Limits(upload_bytes=1_000_000),
    )
    found = Web(settings)
    yield found
    found.stop()


@pytest.fixture
def bare(guarded: Web) -> Iterator[httpx.Client]:
    """A client that sends no key of its own."""
    with httpx.Client(base_url=guarded.url, timeout=30) as found:
        yield found


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": KEY},
        {"authorization": b"Bearer \xff\xfe"},
    ],
)
def test_without_the_right_key_nothing_is_told(headers: Any, bare: httpx.Client) -> None:
    for path in ("/v1/jobs", "/v1/capabilities", "/metrics", "/info/", "/v1/jobs/x/files/0"):
        answer = bare.get(path, headers=headers)
        check(answer, 401, "unauthorised")
        assert answer.headers["www-authenticate"] == "Bearer"
    check(post(bare, {"dicom": b"x"}), 401)


def test_with_the_key_and_on_public_paths_it_answers(guarded: Web, bare: httpx.Client) -> None:
    assert bare.get("/v1/jobs", headers={"authorization": f"bearer {KEY}"}).status_code == 200
    for path in ("/healthz", "/docs", "/docs.js", "/openapi.json", "/assets/docs/swagger-ui.css"):
        assert bare.get(path).status_code == 200
    assert bare.get("/readyz").status_code in (200, 503)


@pytest.mark.parametrize("path", ["/assets/../v1/jobs", "//v1/jobs", "/healthz/../v1/jobs"])
def test_a_public_path_opens_no_other(path: str, guarded: Web) -> None:
    assert raw(guarded, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")[0] in (401, 404)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil"])
def test_another_host_name_is_refused_also_on_loopback(host: str, caller: httpx.Client) -> None:
    check(caller.get("/healthz", headers={"host": host}), 403, "host_refused")


def test_names_of_this_machine_and_allowed_ones_pass(
    caller: httpx.Client, guarded: Web, bare: httpx.Client
) -> None:
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"):
        assert caller.get("/healthz", headers={"host": host}).status_code == 200
    assert bare.get("/healthz", headers={"host": "cxr.example"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "127.0.0.1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
)
def test_a_foreign_page_is_refused_also_on_loopback(
    headers: dict[str, str], caller: httpx.Client
) -> None:
    check(caller.get("/v1/jobs", headers=headers), 403, "origin_refused")
    answer = caller.post("/v1/jobs", data={"request": "{}"}, headers=headers)
    check(answer, 403, "origin_refused")
    assert "access-control-allow-origin" not in answer.headers


def test_our_own_page_and_an_allowed_one_may_call(
    caller: httpx.Client, web: Web, guarded: Web, bare: httpx.Client
) -> None:
    assert caller.get("/v1/jobs", headers={"origin": web.url}).status_code == 200
    allowed = {"origin": "https://pacs.example", "authorization": f"Bearer {KEY}"}
    answer = bare.get("/v1/jobs", headers=allowed)
    assert answer.headers["access-control-allow-origin"] == "https://pacs.example"
    asked = {"origin": "https://pacs.example", "access-control-request-method": "POST",
             "access-control-request-headers": "authorization"}  # fmt: skip
    assert bare.options("/v1/jobs", headers=asked).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/../../etc/passwd",
        "/v1/jobs/..%2f..%2f..%2fetc%2fpasswd/files/0",
        "/v1/jobs/%2e%2e/files.zip",
        "/v1/jobs/%00/files/0",
        "/assets/docs/../../../pyproject.toml",
        "/assets/docs/..%2f..%2f..%2fpyproject.toml",
        "/assets/docs/%2e%2e/%2e%2e/pyproject.toml",
        "/v1/jobs/C:%5Cwindows/files/0",
    ],
)
def test_no_path_leads_out_of_the_data_folder(path: str, web: Web) -> None:
    status, text = raw(web, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert status in (400, 404)
    assert "root:" not in text
    assert "[project]" not in text


def test_an_uploads_own_name_is_not_used(caller: httpx.Client, web: Web) -> None:
    names = ("../../../../tmp/cxr-cf-was-here.dcm", "/tmp/cxr-cf-was-here.dcm", "\0", "a" * 5000)
    for name in names:
        answer = post(caller, {"dicom": (name, b"no image"), "masks": (name, b"no mask")})
        assert answer.status_code in (400, 415)
    assert not Path("/tmp/cxr-cf-was-here.dcm").exists()
    assert list((web.data / "incoming").iterdir()) == []


def test_a_body_over_the_limit_is_refused_announced_or_not(guarded: Web) -> None:
    with guarded.client() as client:
        big = b"x" * 1_200_000
        check(post(client, {"dicom": big}), 413, "too_large")

        def stream() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="dicom"; filename="x"\r\n\r\n'
            for _ in range(20):
                yield big[:100_000]

        kind = {"content-type": "multipart/form-data; boundary=b"}
        check(client.post("/v1/jobs", content=stream(), headers=kind), 413, "too_large")
        assert client.get("/healthz").status_code == 200
    assert list((guarded.data / "incoming").iterdir()) == []


def test_a_form_of_a_thousand_fields_is_refused(caller: httpx.Client) -> None:
    data = {f"field{number}": "x" for number in range(2000)}
    assert caller.post("/v1/jobs", data=data, files={"dicom": b"x"}).status_code == 400
    text = json.dumps({**WORDS, "prompt": "x" * 3_000_000})
    answer = caller.post("/v1/jobs", data={"request": text}, files={"dicom": b"x"})
    assert answer.status_code == 400


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server with little patience; its port."""
    limits = Limits(idle_s=PATIENCE_S, rate=1000)
    found = Web(Settings(data=tmp_path_factory.mktemp("hasty") / "data", limits=limits))
    yield found.port
    found.stop()


HEAD = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
)


def test_a_client_that_stops_sending_is_told_and_dropped(hasty: int) -> None:
    with socket.create_connection(("127.0.0.1", hasty), timeout=20) as door:
        door.sendall(HEAD)
        said = everything(door)
    assert said.startswith(b"HTTP/1.1 408")
    assert b'"code":"timed_out"' in said


def test_a_client_that_drips_is_told_and_dropped(hasty: int) -> None:
    began, said = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", hasty), timeout=0.2) as door:
        door.sendall(HEAD)
        while not said and time.monotonic() - began < 20:
            door.sendall(b"x")
            try:
                said = door.recv(4096)
            except TimeoutError:
                continue
    assert said.startswith(b"HTTP/1.1 408")


def test_a_client_that_never_ends_its_headers_is_dropped(hasty: int) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", hasty), timeout=20) as door:
        door.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        assert everything(door) == b""
    assert time.monotonic() - began < 4 * PATIENCE_S


def test_rubbish_instead_of_http_breaks_nothing(web: Web, caller: httpx.Client) -> None:
    for text in ("\x16\x03\x01rubbish\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9\r\n\r\n"):
        assert raw(web, text)[0] in (0, 400)
    two = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"
    assert raw(web, two)[0] in (400, 403)
    assert caller.get("/healthz").status_code == 200


def test_answers_forbid_framing_sniffing_and_caching(caller: httpx.Client) -> None:
    headers = caller.get("/v1/jobs").headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "server" not in headers


def raw(serving: Web, text: str) -> tuple[int, str]:
    """Send text as it is; status (0 for none) and whole answer."""
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as door:
        door.sendall(text.replace("\r\n", "\r\nConnection: close\r\n", 1).encode("latin-1"))
        said = everything(door).decode("latin-1")
    words = said.split(" ", 2)
    return (int(words[1]) if said.startswith("HTTP/") else 0), said


def everything(door: socket.socket) -> bytes:
    """All until the other side closes."""
    said = b""
    try:
        while chunk := door.recv(65536):
            said += chunk
    except ConnectionResetError:
        pass
    return said
