# SPDX-License-Identifier: Apache-2.0
"""Stands before every route: who may call, how much and how slowly; the log and the last word.

Outermost layer of the application (ASGI). What it logs holds route templates, never a path, a
query or a header, for these may carry identifiers.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from monai_cxr_cf.errors import CxrError
from monai_cxr_cf.server.access.metrics import Metrics
from monai_cxr_cf.server.access.security import HEADERS, admit
from monai_cxr_cf.server.answers import answer, unexpected
from monai_cxr_cf.server.refusals import TimedOut, TooLarge
from monai_cxr_cf.server.settings import Limits, Settings

log = logging.getLogger(__name__)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """ASGI middleware: admits, limits, counts, and answers what nobody else answered."""

    def __init__(self, app: App, *, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection event; only HTTP and the server's own start and stop pass."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, Exchange(receive, send, self._settings.limits))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Message, exchange: "Exchange") -> None:
        began = time.perf_counter()
        try:
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            admit(self._settings, headers, method=scope["method"], path=scope["path"])
            exchange.announced(headers.get("content-length"))
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as raised:  # the last word: nothing foreign reaches the server's log
            exchange.refusal = exchange.refusal or unexpected(raised)
        if exchange.refusal is not None and exchange.status is None:
            slow = isinstance(exchange.refusal, TimedOut)
            response = answer(exchange.refusal, {"connection": "close"} if slow else None)
            await response(scope, exchange.receive, exchange.send_now)
        self._note(scope, exchange.status or 0, time.perf_counter() - began)

    def _note(self, scope: Message, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "-")
        method = scope["method"] if scope["method"] in METHODS else "-"
        self._metrics.seen(route, method, status, seconds=seconds)
        # Two hundred clients that poll would drown what matters; the metrics count them all.
        told = logging.INFO if method != "GET" or status in (0, *range(400, 503)) else logging.DEBUG
        log.log(told, "%s %s %d %.0f ms", method, route, status, seconds * 1000)


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Exchange:
    """One request and its response, measured.

    Args:
        receive: gives the parts of the request's body.
        send: takes the parts of the response.
        limits: size and patience.
    """

    def __init__(self, receive: Receive, send: Send, limits: Limits) -> None:
        self._receive, self._send, self._limits = receive, send, limits
        self._bytes, self._began, self._whole = 0, time.monotonic(), False
        self.refusal: CxrError | None = None
        self.status: int | None = None

    def announced(self, length: str | None) -> None:
        """Refuse a body by its announced length, before any of it is read."""
        if length is not None and length.isdigit() and int(length) > self._limits.upload_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next part of the body; raises TooLarge or TimedOut."""
        if self._whole:  # what comes now is the end of the connection: wait as long as it takes
            return await self._receive()
        if self.refusal is not None:
            raise self.refusal
        try:
            message = await asyncio.wait_for(self._receive(), self._limits.idle_s)
        except TimeoutError:
            self.refusal = TimedOut("The client sent nothing for too long.", hint="Send it again.")
            raise self.refusal from None
        self._whole = not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        self._judge()
        return message

    async def send(self, message: Message) -> None:
        """A part of the response; none of it once the request is refused."""
        if self.refusal is None:
            await self.send_now(message)

    async def send_now(self, message: Message) -> None:
        """The same, also for the refusal itself."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name for name, _ in message["headers"]}
            more = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
            message["headers"] = [*message["headers"], *(h for h in more if h[0] not in present)]
        try:
            await asyncio.wait_for(self._send(message), self._limits.idle_s)
        except TimeoutError:
            self.refusal = TimedOut("The client took nothing for too long.")
            raise self.refusal from None

    def _judge(self) -> None:
        if self._bytes > self._limits.upload_bytes:
            self.refusal = self._too_large()
            raise self.refusal
        seconds = time.monotonic() - self._began
        slow = seconds > self._limits.idle_s and self._bytes < self._limits.rate * seconds
        if slow and not self._whole:
            self.refusal = TimedOut("The client sends too slowly.", hint="Send it again.")
            raise self.refusal

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The body is larger than {self._limits.upload_bytes / 1e6:g} MB.",
            hint="Crop or compress the image, or raise --max-upload-mb.",
        )
