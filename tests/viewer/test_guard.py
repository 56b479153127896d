# SPDX-License-Identifier: Apache-2.0
"""Who is let in: the rules, and the routes behind them on a real aiohttp server."""

import asyncio
import io
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar, web
from aiohttp.test_utils import TestServer

from monai_cxr_cf.viewer import files, guard

KEY = "a-key-of-this-test"


@pytest.mark.parametrize("header", ["127.0.0.1:80", "localhost:8050", "[::1]:1", "LOCALHOST"])
def test_its_own_names_are_known(header: str) -> None:
    assert guard.known(header, "127.0.0.1")


@pytest.mark.parametrize("header", ["", "radiology.example", "127.0.0.1.example:80", "[", "0"])
def test_other_names_are_not(header: str) -> None:
    assert not guard.known(header, "127.0.0.1")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_pages_of_others_have_another_origin(origin: str) -> None:
    assert not guard.same_origin(origin, "127.0.0.1:8050")
    assert guard.same_origin("http://127.0.0.1:8050", "127.0.0.1:8050")


def served(tmp_path: Path, act: Callable[[ClientSession, str], Awaitable[None]]) -> list[Path]:
    """Run ``act`` against a guarded server with both routes; the files it was given."""
    given: list[Path] = []

    def opened(path: Path, name: str) -> bool:
        given.append(path)
        return name != "refused"

    def folder() -> str:
        (made := tmp_path / f"temporary-{len(list(tmp_path.iterdir()))}").mkdir()
        return str(made)

    async def serve() -> None:
        app = web.Application(middlewares=[guard.guarded("127.0.0.1", KEY)])
        app.router.add_post(files.UPLOAD, files.receiver(folder, opened))
        app.router.add_get(files.RESULT, files.giver(folder, lambda: tmp_path / "out"))
        app.router.add_get("/nothing", files.giver(folder, lambda: None))
        async with (
            TestServer(app) as server,
            ClientSession(cookie_jar=CookieJar(unsafe=True)) as client,
        ):
            await act(client, str(server.make_url("/")))

    (tmp_path / "out" / "cf").mkdir(parents=True)
    (tmp_path / "out" / "cf" / "0001.dcm").write_bytes(b"synthetic")
    asyncio.run(serve())
    return given


def test_without_the_key_nothing_is_answered_and_with_it_a_cookie_is_enough(tmp_path: Path) -> None:
    async def act(client: ClientSession, address: str) -> None:
        async with client.get(f"{address}result.zip") as refused:
            assert refused.status == 403
        async with client.get(f"{address}result.zip?key={KEY}") as first:
            assert first.status == 200
            assert first.headers["Cache-Control"] == "no-store"
        async with client.get(f"{address}result.zip") as again:
            assert again.status == 200
            data = await again.read()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.namelist() == ["cf/0001.dcm"]
        async with client.get(f"{address}nothing") as missing:
            assert missing.status == 404

    served(tmp_path, act)


def test_a_file_arrives_whole_in_a_folder_of_its_own(tmp_path: Path) -> None:
    async def act(client: ClientSession, address: str) -> None:
        place = f"{address}upload?key={KEY}"
        for name, status in (("chest.dcm", 204), ("refused", 422)):
            async with client.post(f"{place}&name={name}", data=b"x" * 300_000) as answer:
                assert answer.status == status

    given = served(tmp_path, act)
    assert [path.stat().st_size for path in given] == [300_000, 300_000]
    assert given[0].parent != given[1].parent


def test_a_page_of_others_cannot_send_even_with_the_cookie(tmp_path: Path) -> None:
    async def act(client: ClientSession, address: str) -> None:
        async with client.get(f"{address}result.zip?key={KEY}"):
            pass
        foreign = {"Origin": "http://evil.example"}
        async with client.post(f"{address}upload", data=b"x", headers=foreign) as answer:
            assert answer.status == 403

    assert not served(tmp_path, act)


def test_too_large_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST", 1000)

    async def act(client: ClientSession, address: str) -> None:
        async with client.post(f"{address}upload?key={KEY}", data=b"x" * 5000) as answer:
            assert answer.status == 413

    assert not served(tmp_path, act)
