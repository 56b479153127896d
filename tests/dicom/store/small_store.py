# SPDX-License-Identifier: Apache-2.0
"""A DICOMweb store on loopback that answers whatever a test tells it to, once or for ever."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    body: bytes = b""
    kind: str = "application/dicom+json"  # Content-Type; empty: none is sent
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Store:
    """The store at ``url``; ``asked`` holds method, path and headers of every request."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)  # by the beginning of a path
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def small_store(answer: Answer, **others: Answer) -> Iterator[Store]:
    """Serve ``answer`` for every path under ``/dicom``, and ``others`` under their own names."""
    store = Store(answers={"dicom": answer, **others})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            store.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self._answer()

        def _answer(self) -> None:
            store.asked.append((self.command, self.path, dict(self.headers)))
            found = store.answers[self.path.split("/")[1].partition("?")[0]]
            self.send_response(found.status)
            if found.kind:
                self.send_header("Content-Type", found.kind)
            for name, value in found.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.url = f"http://127.0.0.1:{server.server_port}/dicom"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
