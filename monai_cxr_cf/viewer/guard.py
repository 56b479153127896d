# SPDX-License-Identifier: Apache-2.0
"""Who may speak with the viewer: the one who was given its address, on pages of its own.

The address carries a key, which becomes a cookie; so other users of this computer stay out. A page
of somebody else, or a name that was bent to this computer (DNS rebinding), does not reach it.
"""

from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
           "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}  # fmt: skip
COOKIE = "cxr-cf-viewer-{}"  # one for each viewer: cookies do not tell ports apart


def known(header: str, host: str) -> bool:
    """Whether a Host header names this server, which listens on ``host``."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    return name in LOOPBACK or name == host.lower()


def same_origin(origin: str | None, header: str) -> bool:
    """Whether a page comes from the server it speaks with; no Origin is no page's request."""
    return origin is None or urlsplit(origin).netloc.lower() == header.lower()


def guarded(host: str, key: str) -> Any:
    """The rules as aiohttp's middleware.

    Args:
        host: what the server listens on.
        key: what the address given to the user carries.
    """
    from aiohttp import web

    cookie = COOKIE.format(key[:6])

    async def check(request: Any, handler: Callable[..., Awaitable[Any]]) -> Any:
        header = request.headers.get("Host", "")
        if not known(header, host) or not same_origin(request.headers.get("Origin"), header):
            raise web.HTTPForbidden(text="This viewer answers its own page only.")
        given = request.query.get("key", "")
        shown = given or request.cookies.get(cookie, "")
        if not compare_digest(shown.encode(), key.encode()):
            raise web.HTTPForbidden(text="Open the address that cxr-cf viewer printed.")
        try:
            response = await handler(request)
        except web.HTTPFound as moved:  # from / to the page
            _finish(moved, cookie, given)
            raise
        if not response.prepared:
            _finish(response, cookie, given)
        return response

    return web.middleware(check)


def _finish(response: Any, cookie: str, given: str) -> None:
    response.headers.update(HEADERS)
    if given:
        response.set_cookie(cookie, given, httponly=True, samesite="Strict", path="/")
