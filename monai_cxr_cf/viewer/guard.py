# SPDX-License-Identifier: Apache-2.0
"""Who may speak with the viewer: pages that this very server gave out, under a name it has.

The viewer has one user and no key, so a page of somebody else, or a name that was bent to this
computer (DNS rebinding), must not reach it.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
LARGEST = 512 << 20  # bytes of an upload
CHUNK = 1 << 16
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
           "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}  # fmt: skip
Taken = Callable[[Path, str], bool]


def known(header: str, host: str) -> bool:
    """Whether a Host header, or the place of an Origin, names this server.

    Args:
        header: with or without a port.
        host: what the server listens on.
    """
    name = urlsplit(f"//{header}").hostname or ""
    name = f"[{name}]" if ":" in name else name
    return name in LOOPBACK or name == host.strip("[]").lower()


def same_origin(origin: str | None, header: str) -> bool:
    """Whether a page comes from the server it speaks with; no Origin is no page's request."""
    return origin is None or urlsplit(origin).netloc.lower() == header.lower()


def guarded(host: str) -> Any:
    """The rule as aiohttp's middleware."""
    from aiohttp import web

    @web.middleware
    async def check(request: web.Request, handler: Callable[..., Awaitable[Any]]) -> Any:
        header = request.headers.get("Host", "")
        if not known(header, host) or not same_origin(request.headers.get("Origin"), header):
            raise web.HTTPForbidden(text="This viewer answers its own page only.")
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    return check


def receiver(folder: Callable[[], str], taken: Taken) -> Any:
    """Takes a file from the page: written as it comes, handed on when it is whole.

    Args:
        folder: makes a new folder that nobody else can read.
        taken: opens the file; False if it was refused.
    """
    from aiohttp import web

    async def receive(request: web.Request) -> web.Response:
        path, size = Path(folder()) / "upload.dcm", 0
        with path.open("wb") as stream:
            async for chunk in request.content.iter_chunked(CHUNK):
                size += len(chunk)
                if size > LARGEST:
                    raise web.HTTPRequestEntityTooLarge(LARGEST, size)
                stream.write(chunk)
        opened = taken(path, request.query.get("name", "")[:80])
        return web.Response(status=204 if opened else 422)

    return receive
