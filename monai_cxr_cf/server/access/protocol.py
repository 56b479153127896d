# SPDX-License-Identifier: Apache-2.0
"""uvicorn's HTTP/1.1 protocol with an end to patience, and its server without a second signal.

uvicorn waits for ever for the headers of a request and for a client to take what was sent.
"""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(seconds: float) -> type[H11Protocol]:
    """The protocol class that drops a connection without a request after ``seconds``, or two."""

    class Patient(H11Protocol):
        """Looks at its connection at intervals."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._seen: object = self
            self._tick = self.loop.call_later(seconds, self._look)

        def connection_lost(self, exc: Exception | None) -> None:
            self._tick.cancel()
            super().connection_lost(exc)

        def _look(self) -> None:
            cycle = self.cycle
            idle = cycle is None or cycle.response_complete
            if self.transport.is_closing():
                self.transport.abort()
                return
            if idle and self._seen is cycle:
                self.transport.close()
            self._seen = cycle if idle else self
            self._tick = self.loop.call_later(seconds, self._look)

    return Patient


class Server(uvicorn.Server):
    """Ends with code 0 on SIGTERM or Ctrl-C; uvicorn's own raises the signal once more."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop serving on a signal while the block runs; then restore the handlers."""
        signals = (signal.SIGTERM, signal.SIGINT)
        previous: list[Any] = [signal.signal(number, self.handle_exit) for number in signals]
        try:
            yield
        finally:
            for number, handler in zip(signals, previous, strict=True):
                signal.signal(number, handler)


class WithholdTraceback(logging.Filter):
    """Drops the traceback of a record: it carries paths and perhaps values."""

    def filter(self, record: logging.LogRecord) -> bool:
        """The record itself passes."""
        record.exc_info = record.exc_text = record.stack_info = None
        return True
